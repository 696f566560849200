"""Figures of boxes that are found, from rows of what was asked: how often and how well they are where the truth is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from avssl.localize import score
from retrieval.moments import Box

RANDOM_BOXES = 200
FOUND_AMONG = 10
"""hits among which the right recording is looked for"""
Row = dict[str, Any]
"""of one thing that was asked; see ``Judge.row`` in regions.py"""


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    sides = [min(one[2 + axis], other[2 + axis]) - max(one[axis], other[axis]) for axis in (0, 1)]
    shared = max(sides[0], 0.0) * max(sides[1], 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared) if shared else 0.0


def points(box: Box, truth: Box) -> float:
    """1.0 where the middle of a box is inside the truth."""
    across, down = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return float(truth[0] <= across <= truth[2] and truth[1] <= down <= truth[3])


SCORES: dict[str, Callable[[Box, Box], float]] = {"pointing": points, "iou": overlap}


def blind(
    truths: list[Box], size: tuple[float, float], cells: tuple[int, int], seed: int
) -> dict[str, dict[str, float]]:
    """Score -> {center, random, oracle}: boxes of this size in the middle and anywhere, and the truth on the cells."""
    width, height = size
    center = ((1 - width) / 2, (1 - height) / 2, (1 + width) / 2, (1 + height) / 2)
    corners = np.random.default_rng(seed).uniform(size=(RANDOM_BOXES, 2)) * (1 - width, 1 - height)
    anywhere = [(x, y, x + width, y + height) for x, y in corners.tolist()]
    down, across = cells
    grid = np.array([across, down, across, down])
    snapped = [tuple((np.round(np.array(truth) * grid) / grid).tolist()) for truth in truths]
    return {
        name: {
            "center": float(np.mean([judge(center, truth) for truth in truths])),
            "random": float(np.mean([judge(box, truth) for truth in truths for box in anywhere])),
            "oracle": float(np.mean([judge(box, truth) for box, truth in zip(snapped, truths, strict=True)])),
        }
        for name, judge in SCORES.items()
    }


def values(rows: list[Row]) -> Iterator[tuple[str, list[float]]]:
    """Name of a figure -> its value for each of what was asked."""
    placed = [row for row in rows if row["truth"] is not None]
    groups = {"": placed, "_bystander": [row for row in placed if row["case"] == "bystander"]}
    for ending, held in groups.items():
        for name, judge in SCORES.items() if held else ():
            told = {who: [judge(row[who], row["truth"]) for row in held] for who in ("index", "localizer")}
            yield f"{name}{ending}", told["index"]
            yield f"{name}{ending}_localizer", told["localizer"]
            pairs = zip(told["index"], told["localizer"], strict=True)
            yield f"{name}{ending}_index_minus_localizer", [one - other for one, other in pairs]
    yield "overlap_with_localizer", [overlap(row["index"], row["localizer"]) for row in placed]
    yield "overlap_with_uncompressed", [overlap(row["index"], row["uncompressed"]) for row in placed]
    for ending, held in {"shown": placed, "offscreen": [row for row in rows if row["truth"] is None]}.items():
        if held and held[0]["lit"] is not None:
            yield f"lit_{ending}", [float(row["lit"][0]) for row in held]
            yield f"lit_{ending}_localizer", [float(row["lit"][1]) for row in held]
    yield "recording_first", [float(row["rank"] == 1) for row in placed]
    yield f"recording_among_{FOUND_AMONG}", [float(row["rank"] is not None) for row in placed]


def figures(columns: dict[str, list[Row]], beside: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Figure -> its columns, with the 95 % interval of the trained network's over what was asked."""
    tree: dict[str, dict[str, float]] = {}
    for who, rows in columns.items():
        for name, held in values(rows):
            told = tree.setdefault(name, {})
            told[who] = float(np.mean(held))
            if who == "trained":
                told["low"], told["high"] = score.bootstrap(held)
    for name, trivial in beside.items():
        tree[name] |= trivial
    return {name: told for name, told in tree.items() if "trained" in told}
