"""A linear probe on each stage of an encoder: where in the network what labels need can be read.

The table that Gidaris, Singh, Komodakis print with RotNet (ICLR 2018): all layers frozen, each stage's map pooled by
adaptive maximum to about the same number of values, a linear classifier on each. Deviations: fewer values by default
(theirs are about 9,200), and the classifier is that of :mod:`avssl.probe.linear`, which standardizes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from avssl.methods.base import Method
from avssl.probe import linear
from avssl.probe.decoded import Decoded
from avssl.probe.features import BATCH, encoder_of, enter, listening
from avssl.probe.study import Row, Study, compared

SIZE = 1024
"""values a stage is pooled to, about"""
MOMENTS = 4
"""of a map of a clip, how many are kept"""


class Stages(NamedTuple):
    """An encoder's stages.

    Attributes:
        names: of each stage the modules that give its maps, by name in the encoder; several where several networks see
            the input side by side.
        tokens: whether these maps are tokens [B, L, D].
        sides: what the names of each such network begin with.
    """

    names: tuple[tuple[str, ...], ...]
    tokens: bool
    sides: tuple[str, ...] = ("",)

    def of(self, keys: list[str]) -> list[int]:
        """The stage of each name of the encoder's state, from 0.

        What comes before the first stage of its side belongs to it, what comes after (a projection, mixing over time)
        to the last.
        """
        found: list[int] = []
        reached: set[str] = set()
        for key in keys:
            side = next((one for one in self.sides if key.startswith(one)), "")
            inside = [place for place, parts in enumerate(self.names) if key.startswith(tuple(f"{x}." for x in parts))]
            reached |= {side, ""} if inside else set()
            found.append(inside[0] if inside else (len(self.names) - 1 if side in reached else 0))
        return found


def stages(encoder: nn.Module) -> Stages:
    """The parts of ``stages``, ``trunk`` or ``blocks`` that have parameters; else of the longest list of modules.

    Where the encoder is a dictionary of networks built alike, place k of all of them is stage k.
    """
    lists = {name: held for name, held in encoder.named_modules() if isinstance(held, nn.ModuleList | nn.Sequential)}
    if not lists:
        raise ValueError(f"{type(encoder).__name__} has no stages to probe or freeze")
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    for tails, tokens in ((("stages", "trunk"), False), (("blocks",), True)):
        for name in outer:
            if name.rsplit(".", 1)[-1] in tails:
                return _side_by_side(encoder, name, tokens)
    return _side_by_side(encoder, max(lists, key=lambda one: len(lists[one])), True)


def _side_by_side(encoder: nn.Module, name: str, tokens: bool) -> Stages:
    """The stages of the list ``name``, joined with those of the networks that lie beside the one it belongs to."""
    modules, pieces = dict(encoder.named_modules()), name.split(".")
    for depth in range(len(pieces)):
        held = modules[".".join(pieces[:depth])]
        if isinstance(held, nn.ModuleDict):
            sides = [".".join([*pieces[:depth], key]) for key in held]
            rows = [".".join([side, *pieces[depth + 1 :]]) for side in sides]
            columns = [_weighted(row, modules[row]) for row in rows if row in modules]
            if len({len(column) for column in columns}) == 1 and len(columns) == len(sides):
                return Stages(tuple(zip(*columns, strict=True)), tokens, tuple(f"{side}." for side in sides))
    return Stages(tuple((one,) for one in _weighted(name, modules[name])), tokens)


def _weighted(name: str, row: nn.Module) -> tuple[str, ...]:
    held = [k for k, part in row.named_children() if next(part.parameters(), None) is not None]
    return tuple(f"{name}.{k}".lstrip(".") for k in held)


def pooled(x: Tensor, size: int) -> Tensor:
    """A map [B, C, ...] with up to three axes of places -> [B, about ``size``], the greatest value in equal cells."""
    places = x.shape[2:]
    grid: tuple[int, ...] = ()
    if len(places) == 1:
        grid = (min(places[0], max(1, round(size / x.shape[1]))),)
        return F.adaptive_max_pool1d(x.float(), grid[0]).flatten(1)
    moments = min(MOMENTS, places[0]) if len(places) == 3 else 1
    side = max(1, round(math.sqrt(size / (x.shape[1] * moments))))
    if len(places) == 3:
        grid = (moments, min(side, places[1]), min(side, places[2]))
        return F.adaptive_max_pool3d(x.float(), grid).flatten(1)
    if len(places) == 2:
        return F.adaptive_max_pool2d(x.float(), (min(side, places[0]), min(side, places[1]))).flatten(1)
    return x.float().flatten(1)


def features(
    method: Method[Any], data: Decoded, size: int = SIZE, tell: Callable[[int, int], None] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Name of each stage -> features [N, about ``size``] of all examples, averaged over their windows.

    Stages are an encoder's ``Features.maps`` where it gives several, else the outputs of its parts; ``stage1`` is the
    finest. The last is the map that the encoder gives.
    """
    rows: dict[str, list[NDArray[np.float32]]] = {}
    count, training = len(data.owner), method.training
    method.eval()
    try:
        for first in range(0, count, BATCH):
            given = min(BATCH, count - first)
            for place, told in enumerate(_maps(method, data, slice(first, first + given)), 1):
                x = told.unflatten(0, (given, -1))  # where frames are seen one by one, each clip has several rows
                x = x.movedim(1, 2) if x.shape[1] > 1 else x[:, 0]
                rows.setdefault(f"stage{place}", []).append(pooled(x, size).cpu().numpy())
            if tell is not None:
                tell(first + given, count)
    finally:
        method.train(training)
    return {name: data.averaged(np.concatenate(blocks)) for name, blocks in rows.items()}


def _maps(method: Method[Any], data: Decoded, places: slice) -> list[Tensor]:
    """The map of each stage, [R, C, ...]."""
    encoder = encoder_of(method, data.modality)
    row = stages(encoder)
    x = data.batch(places).to(next(method.parameters()).device)
    with torch.inference_mode(), ExitStack() as stack:
        heard = [
            [stack.enter_context(listening(encoder.get_submodule(name))) for name in parts] for parts in row.names[:-1]
        ]
        maps: tuple[Tensor, ...] = enter(method, data.modality, x).maps
    if len(maps) > 1:
        return list(maps)
    return [*(torch.cat([_map(side[-1], row.tokens) for side in sides], 1) for sides in heard), *maps]


def _map(told: Any, tokens: bool) -> Tensor:
    """What a module has given, as a map [R, C, ...]."""
    x: Tensor = told[0] if isinstance(told, tuple) else told
    return x.movedim(-1, 1) if tokens else x


def evaluate(study: Study, question: Mapping[str, Any]) -> list[Row]:
    """A row for each stage, beside the same stage untrained; ``size`` of the question is what stages are pooled to."""
    told = {}
    for who in ("trained", "untrained"):
        tell = functools.partial(study.tell, f"stages, {who}")
        told[who] = features(study.who(who), study.decoded, question["size"], tell)

    def fit(name: str, place: int, *given: Any) -> linear.Probe:
        return linear.fit(*given)

    name, raw = study.raw()
    without = compared(study, question["fraction"], {name: raw}, fit, linear.TOLD)
    rows = []
    for stage, x in told["trained"].items():
        both = {"trained": x, "untrained": told["untrained"][stage]}
        answers = {**compared(study, question["fraction"], both, fit, linear.TOLD), **without}
        rows.append(study.row(question, {"stage": stage, "values": x.shape[1]}, answers))
    return rows


def table(rows: Iterable[Row]) -> tuple[list[str], list[list[str]]]:
    """The stage table: a column for each stage, a line for each run on each label set, its untrained self below it."""
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        if row["probe"] == "stages":
            stage = row["part"]["stage"]
            label = f"{row['data']}, {100 * row['fraction']:g}%" if row["fraction"] < 1 else row["data"]
            for who, told in (("", row), ("untrained", row["beside"]["untrained"])):
                lines.setdefault((label, row["run"], who), {})[stage] = f"{100 * told['accuracy']:.1f}"
    columns = sorted({stage for cells in lines.values() for stage in cells}, key=lambda name: (len(name), name))
    body = [[*names, *(cells.get(stage, "") for stage in columns)] for names, cells in lines.items()]
    return ["data", "run", "", *columns], body
