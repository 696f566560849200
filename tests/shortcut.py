"""Training a tiny run on pictures that hold only a shortcut, for tests that it is closed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from contract import tiny
from torch import Generator, Tensor

from avssl.methods.base import Batch, Method
from avssl.sample import Sample

Pictures = Callable[[Generator], Tensor]
"""draws one picture uint8 [3, H, W]"""


def item(picture: Tensor) -> Sample:
    """A sample of one picture uint8 [3, H, W]."""
    return Sample("made", 0, (0.0,), {"video": picture[None, None]})


def batch_of(run: tiny.Tiny, pictures: Pictures, count: int, draw: Generator) -> Batch:
    """``count`` freshly drawn pictures as the data layer gives them; each is a recording of its own."""
    transform = run.kind.transform(run.cfg.method, run.inputs)
    rows = [transform(item(pictures(draw)), draw, 0.0) for _ in range(count)]
    batch = {key: torch.stack([row[key] for row in rows]) for key in rows[0]}
    return {**batch, "index": torch.arange(count), "recording": torch.arange(count)}


def trained(
    run: tiny.Tiny, pictures: Pictures, *, steps: int = 40, size: int = 24, lr: float = 3e-3
) -> tuple[Method, Generator]:
    """The run's method after a few steps on such pictures, in eval mode, and the generator for unseen ones."""
    method, draw = run.method(), Generator().manual_seed(0)
    optimizers = tiny.optimizers(method, lr)
    tiny.steps(method, (batch_of(run, pictures, size, draw) for _ in range(steps)), optimizers)
    return method.eval(), draw


def metrics(name: str, pictures: Pictures, *words: str, steps: int = 40, size: int = 24, count: int = 160,
            lr: float = 3e-3) -> dict[str, float]:  # fmt: skip
    """The metrics of unseen pictures after training on such pictures."""
    run = tiny.run(name, *words)
    method, draw = trained(run, pictures, steps=steps, size=size, lr=lr)
    with torch.no_grad():
        found = method(batch_of(run, pictures, count, draw), next(reversed(method.turns()))).metrics
    return {key: float(value) for key, value in found.items()}


def metric(name: str, what: str, pictures: Pictures, *words: str, steps: int = 40, size: int = 24, count: int = 160,
           lr: float = 3e-3) -> float:  # fmt: skip
    """One of them."""
    return metrics(name, pictures, *words, steps=steps, size=size, count=count, lr=lr)[what]
