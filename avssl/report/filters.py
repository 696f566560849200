"""What a network's first layer looks for: its filters as pictures, trained, untrained, and what lies between."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avssl.encoders.tower import Tower
from avssl.report.clips import Budget
from avssl.report.page import Markup, join, section, tag
from avssl.train.build import Loaded

MOST = 64
"""squares on a sheet: those of the strongest filters"""
ACROSS, SIDE, GAP = 8, 36, 4
"""squares side by side; pixels that one is enlarged to at most, and pixels between filters"""
COLORS = 3


def first(encoder: nn.Module) -> Tensor | None:
    """Weights of an encoder's first convolution [K, P, h, w], P planes; None where it begins otherwise.

    Of a convolution over time the middle slice is taken. A vision transformer's is that of its patches.
    """
    part = next((part for part in encoder.modules() if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d)), None)
    if part is None or isinstance(part, nn.Conv1d):
        return None
    weights: Tensor = part.weight.detach().float().cpu()
    return weights[:, :, weights.shape[2] // 2] if weights.ndim == 5 else weights


def strongest(weights: Tensor, most: int) -> Tensor:
    """Places of the filters with the greatest norms, the greatest first, int64 [<= most]; weights [K, P, h, w]."""
    places: Tensor = weights.flatten(1).norm(dim=1).argsort(descending=True, stable=True)[:most]
    return places


def pictures(weights: Tensor) -> NDArray[np.uint8]:
    """Each filter from black to white over its own range; one that is level is gray.

    Args:
        weights: [K, P, h, w]; three planes are red, green and blue, any others stand side by side.

    Returns:
        [K, h, w, 3], or [K, h, P * w, 3].
    """
    low, high = weights.amin((1, 2, 3), keepdim=True), weights.amax((1, 2, 3), keepdim=True)
    level = high <= low
    shown = torch.where(level, 0.5, (weights - low) / torch.where(level, 1.0, high - low))
    if weights.shape[1] != COLORS:
        shown = shown.transpose(1, 2).flatten(2)[:, None].expand(-1, COLORS, -1, -1)
    found: NDArray[np.uint8] = (shown * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return found


def sheet(weights: Tensor, across: int = ACROSS, side: int = SIDE) -> NDArray[np.uint8]:
    """Filters [K, P, h, w] in lines on white, ``across`` squares in each, enlarged to at most ``side``: [H, W, 3]."""
    shown = pictures(weights)
    height, width = weights.shape[2:]
    times = max(1, side // max(height, width))
    large = np.kron(shown, np.ones((1, times, times, 1), np.uint8))
    planes = shown.shape[2] // width
    if planes > 1:  # a line between planes, for they are pictures of their own
        large = large.copy()
        large[:, :, width * times :: width * times] = 255
    count = min(len(large), across if planes == 1 else max(2, across // planes))
    framed = np.pad(large, ((0, -len(large) % count), (0, GAP), (0, GAP), (0, 0)), constant_values=255)
    framed[len(large) :] = 255
    lines = framed.reshape(-1, count, *framed.shape[1:]).transpose(0, 2, 1, 3, 4)
    return lines.reshape(-1, count * framed.shape[2], COLORS)[:-GAP, :-GAP]


def on_page(loaded: Loaded, fresh: Loaded | None, budget: Budget) -> list[Markup]:
    """A section with a sheet for each encoder that begins with a convolution; none where there is no such encoder.

    Args:
        loaded: the run.
        fresh: the same untrained, None where it cannot be had. A filter has the same place on all sheets.
        budget: what sheets may take.
    """
    parts = []
    for name, encoder in loaded.method.encoders.items():
        # ours take sound as [1, M, F]; as what pretrained towers take it is theirs to know
        sound = loaded.method.kind_of(name) == "audio" and not any(isinstance(x, Tower) for x in encoder.modules())
        weights = first(encoder)
        if weights is None:
            continue
        shown = {"trained": weights}
        before = None if fresh is None else first(fresh.method.encoders[name])
        if before is not None and torch.equal(weights, before):
            shown = {"as they came: training left them alone": weights}
        elif before is not None:
            # a short training moves filters by less than they began with: seen alone, what it did is lost in the noise
            moved = weights - before
            share = float(moved.norm() / before.norm().clamp_min(1e-9))
            shown |= {"untrained": before, f"their difference, {share:.0%} of the norm": moved}
        planes = 1 if weights.shape[1] == COLORS else weights.shape[1]
        chosen = strongest(weights, max(ACROSS, MOST // planes))
        figures = []
        for note, held in shown.items():
            upright = held.transpose(2, 3).flip(2) if sound else held
            figures.append(_figure(budget, upright[chosen], f"{name} encoder", note))
        told = _about(name, weights, len(chosen)) + (", time to the right, high bands above" if sound else "")
        parts.append(join([tag("h3", told), tag("div", *figures, klass="filters")]))
    if not parts:
        return []
    told = "Filters of the first layer, each from black to white over its own range, the strongest first."
    return [section("What its first layer looks for", tag("p", told, klass="soft"), *parts)]


def _about(name: str, weights: Tensor, shown: int) -> str:
    count, planes, height, width = weights.shape
    told = f"{name}: {shown} filters" if shown == count else f"{name}: {shown} of {count} filters"
    kinds = {COLORS: "in color", 1: "in gray"}
    return f"{told} of {height} x {width}, {kinds.get(planes, f'each of {planes} planes, side by side')}"


def _figure(budget: Budget, weights: Tensor, name: str, note: str) -> Markup:
    address = budget.drawn(sheet(weights))
    if address is None:
        shown = tag("div", "the page is full", klass="words soft")
    else:
        shown = tag("img", src=address, alt=f"first filters of the {name}, {note}")
    return tag("figure", shown, tag("figcaption", tag("b", note)))
