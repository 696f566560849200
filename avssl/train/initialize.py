"""Where a run's weights begin: those of another run (``init=FOLDER``), or random ones fitted to data (``rescaled``)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from avssl.config import MethodConfig, RunConfig
from avssl.data.loader import Loader
from avssl.data.maker import generator, mix
from avssl.methods.base import Batch, Method
from avssl.nn import rescaled
from avssl.nn.teacher import Teacher
from avssl.train import build, checkpoint

ROWS = 160
"""inputs of each encoder on which it is fitted"""

Fit = Callable[[nn.Module, tuple[Tensor, ...], int], None]
"""(encoder, what it is called with, seed): changes its weights in place"""


def fitted(encoder: nn.Module, given: tuple[Tensor, ...], seed: int) -> None:
    """Kraehenbuehl's initialization (:mod:`avssl.nn.rescaled`)."""
    rescaled.between(encoder, given, rescaled.within(encoder, given), seed)


INITIALIZERS: dict[str, Fit] = {"rescaled": fitted}
"""what ``init`` may name beside a run's folder"""


def folder(cfg: RunConfig) -> Path | None:
    """The run that ``init`` names; None where it names an initializer or nothing."""
    return Path(cfg.init) if cfg.init and cfg.init not in INITIALIZERS else None


def begin(method: Method[MethodConfig], cfg: RunConfig, loader: Loader, say: Callable[[str], None]) -> None:
    """Gives a fresh method the weights that ``cfg.init`` asks for; slow copies then start from them as well.

    Raises ValueError if the run it names does not fit, or an encoder's weights are not random to begin with.
    """
    run = folder(cfg)
    if run is not None:
        if not run.exists():
            raise ValueError(
                f"init={cfg.init}: no such folder, and no initializer; these are {', '.join(INITIALIZERS)}"
            )
        build.fill_encoders(method, checkpoint.load_run(run).method.state_dict(), cfg.init)
    elif cfg.init:
        say(f"init={cfg.init}: fitting random weights to {ROWS} inputs of each encoder")
        fit(method, cfg, some(loader, cfg.seed))
    for part in method.modules():
        if isinstance(part, Teacher):
            part.begin()


def some(loader: Loader, seed: int) -> Iterator[Batch]:
    """Training items drawn at random, the same on all ranks."""
    length = loader.maker.length
    drawn = torch.randperm(length, generator=generator(seed, 5))[: max(ROWS, loader.maker.batch)]
    yield from loader.batches_in_order(drawn.tolist())


def fit(method: Method[MethodConfig], cfg: RunConfig, examples: Iterable[Batch]) -> None:
    """Fits every encoder to what the method shows it of the examples; the global state of randomness is as before."""
    for modality, (_, spec) in type(method).towers(cfg.method, cfg.encoders).items():
        if modality in method.encoders and spec.name == "pretrained":
            raise ValueError(f"init={cfg.init}: it is for random weights, and encoders.{modality} is pretrained")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(mix(cfg.seed, 5))
        for modality, given in heard(method, examples).items():
            INITIALIZERS[cfg.init](method.encoders[modality], given, mix(cfg.seed, 6))


@torch.no_grad()
def heard(method: Method[MethodConfig], examples: Iterable[Batch]) -> dict[str, tuple[Tensor, ...]]:
    """What each encoder is called with, at most ``ROWS`` inputs: modality -> tensors [N, ...].

    A copy of the method is asked for its loss, in every turn until each encoder was used, so that whatever the method
    does to its examples (cutting tiles, hiding patches) is done here too, and nothing is remembered. Of calls with
    inputs of several shapes those like the first one count. Raises ValueError for an encoder that was never used.
    """
    asked = copy.deepcopy(method)
    calls: dict[str, list[tuple[Tensor, ...]]] = {modality: [] for modality in asked.encoders}
    for modality, encoder in asked.encoders.items():
        encoder.register_forward_pre_hook(lambda _, given, kept=calls[modality]: kept.append(given))
    for batch in examples:
        before = [len(kept) for kept in calls.values()]
        for turn in asked.turns():
            asked(batch, turn)
            if all(len(kept) > known for kept, known in zip(calls.values(), before, strict=True)):
                break
        if all(_rows(kept) >= ROWS for kept in calls.values()):
            break
    silent = [modality for modality, kept in calls.items() if not kept]
    if silent:
        raise ValueError(f"init: {method.cfg.name} shows nothing to its encoder of {', '.join(silent)}")
    return {modality: _joined(kept) for modality, kept in calls.items()}


def _rows(calls: list[tuple[Tensor, ...]]) -> int:
    return sum(len(given[0]) for given in calls)


def _joined(calls: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    like = [given for given in calls if [x.shape[1:] for x in given] == [x.shape[1:] for x in calls[0]]]
    return tuple(torch.cat(column)[:ROWS] for column in zip(*like, strict=True))
