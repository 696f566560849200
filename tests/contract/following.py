"""Training a tiny run on a light that flickers and a noise as loud as it is bright: for tests that time is learnt."""

from __future__ import annotations

import torch
from contract import timed, tiny
from torch import Generator

from avssl.methods.base import Batch


def batch_of(run: tiny.Tiny, first: int, size: int, follows: bool = True) -> Batch:
    """The windows first .. first + size - 1 as the data layer gives them; see :func:`timed.flickering`."""
    transform = run.kind.transform(run.cfg.method, run.inputs)
    rows = [
        transform(timed.flickering(run.needs, k, follows), Generator().manual_seed(k), 0.0)
        for k in range(first, first + size)
    ]
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}


def accuracies(run: tiny.Tiny, *, steps: int, size: int, lr: float) -> tuple[float, float]:
    """The accuracy on unseen windows after training, and on those whose noise has a flicker of its own."""
    method = run.method()
    tiny.steps(method, (batch_of(run, size * step, size) for step in range(steps)), tiny.optimizers(method, lr))
    method.eval()
    with torch.no_grad():
        unseen = method(batch_of(run, 10_000, 48)).metrics["accuracy"]
        unrelated = method(batch_of(run, 20_000, 96, follows=False)).metrics["accuracy"]
    return float(unseen), float(unrelated)
