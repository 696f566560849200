"""How well a method's own task is solved on recordings it has not seen: for methods that find nothing across
modalities, such as those of pictures, the only figure there is without labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import distributed

from avssl.config import RunConfig
from avssl.data import cache
from avssl.data.dataset import Items, Source
from avssl.data.loader import Loader
from avssl.data.manifest import Manifest
from avssl.methods.base import Method

MOST = 256
"""held-out items looked at, for finding too; chance of R@1 is then 0.4 %"""


def opened(cfg: RunConfig, method: Method[Any], held: Manifest, split: str) -> Loader:
    """Batches of a split as the method learns from them, as large as in training where there are so many items; each
    rank reads its share. Raises ValueError where no recording has what is needed."""
    kind = type(method)
    needs = kind.needs(cfg.method, method.inputs)
    items = Items(held, split, cfg.data.item_seconds, needs)
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
    batch = min(cfg.data.batch // cfg.optim.accumulate, len(items))
    return Loader(
        Source(items, needs, cache.folder(items, needs, cfg.data.cache_gb)),
        kind.transform(cfg.method, method.inputs),
        batch=max(1, batch // world) * world, seed=cfg.seed, workers=0, length=len(items), bad_budget=1.0,
        rank=rank, world=world,
    )  # fmt: skip


def solved(method: Method[Any], loader: Loader) -> dict[str, float]:
    """Mean loss and metrics over held-out batches, ``chance_`` of those that have one, and of how many ``items`` at
    most; each rank its share. Of several players' turns the last one's, which is not the critic's."""
    device = next(method.parameters()).device
    size = loader.maker.batch
    batches = max(1, min(MOST, loader.maker.length) // size)
    sums: dict[str, float] = {}
    turn = list(method.turns())[-1]
    for number, batch in enumerate(loader.batches(0, batches)):
        torch.manual_seed(number)
        step = method({key: value.to(device) for key, value in batch.items()}, turn)
        for key, value in {"loss": step.loss, **step.metrics}.items():
            sums[key] = sums.get(key, 0.0) + float(value) / batches
    if distributed.is_initialized():
        row = torch.tensor([sums[key] for key in sorted(sums)], dtype=torch.float64)
        distributed.all_reduce(row)
        sums = dict(zip(sorted(sums), (row / distributed.get_world_size()).tolist(), strict=True))
    guessed = {f"chance_{name}": value for name, value in method.chance(size).items() if name in sums}
    return {**sums, **guessed, "items": float(size * batches)}


def telling(method: Method[Any], figures: Mapping[str, float]) -> dict[str, float]:
    """Those of :func:`solved` that tell how well the task is solved: neither counts nor chances, nor, of players in a
    game, the loss, which depends on the critic."""
    left_out = {"items", *(("loss",) if len(method.turns()) > 1 else ())}
    return {name: x for name, x in figures.items() if name not in left_out and not name.startswith("chance_")}


def compared(
    cfg: RunConfig, networks: Mapping[str, Method[Any]], held: Manifest, split: str
) -> dict[str, dict[str, float]]:
    """Figure of the own task -> that of each network (``trained``, ``untrained``) and, where it is known, ``chance``;
    {} where the split lacks what the task needs.
    """
    told: dict[str, dict[str, float]] = {}
    for who, method in networks.items():
        try:
            loader = opened(cfg, method, held, split)
        except ValueError:
            return {}
        method.eval()
        with torch.no_grad():
            found = solved(method, loader)
        for name, value in telling(method, found).items():
            told.setdefault(name, {})[who] = value
            if f"chance_{name}" in found:
                told[name]["chance"] = found[f"chance_{name}"]
    return told
