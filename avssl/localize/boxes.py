"""Boxes around what is lit: one for each connected part of a map at or above its threshold."""

from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avssl.localize.masks import as_scores

MOST = 8  # boxes of one map: a map that falls into more parts than this says little about any of them


class LitBox(NamedTuple):
    """x0, y0, x1, y1 as fractions of the picture, and the highest score inside."""

    box: tuple[float, float, float, float]
    peak: float


def boxes_of(scores: ArrayLike | Any, threshold: float) -> list[LitBox]:
    """The boxes of a map [h, w], the one with the highest score first, at most eight; none where nothing is lit.

    Cells joined by a side are one part. An edge lies where the enlarged map, which is linear between the centres of
    cells, crosses the threshold, so that a box holds what an overlay shows lit.
    """
    values = as_scores(scores)
    if float(values.max()) < threshold:
        return []
    lit = values >= threshold
    height, width = values.shape
    found = []
    for part in _parts(lit):
        inside = np.zeros_like(lit)
        inside[tuple(np.transpose(part))] = True
        x0, x1 = _span(values, inside, threshold)
        y0, y1 = _span(values.T, inside.T, threshold)
        found.append(LitBox((x0 / width, y0 / height, x1 / width, y1 / height), float(values[inside].max())))
    return sorted(found, key=lambda one: -one.peak)[:MOST]


def _parts(lit: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """The cells (row, column) of each connected part."""
    height, width = lit.shape
    left, parts = lit.copy(), []
    for start in zip(*np.nonzero(lit), strict=True):
        if not left[start]:
            continue
        left[start] = False
        part, waiting = [], deque([(int(start[0]), int(start[1]))])
        while waiting:
            row, column = waiting.popleft()
            part.append((row, column))
            for cell in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if 0 <= cell[0] < height and 0 <= cell[1] < width and left[cell]:
                    left[cell] = False
                    waiting.append(cell)
        parts.append(part)
    return parts


def _span(values: NDArray[np.float64], inside: NDArray[np.bool_], threshold: float) -> tuple[float, float]:
    """Where a part begins and ends along the columns, in cells; the picture's edge where it reaches that."""
    columns = np.flatnonzero(inside.any(axis=0))
    first, last, width = int(columns[0]), int(columns[-1]), values.shape[1]
    begin = 0.0 if first == 0 else first + 0.5 - _beyond(values, inside, first, first - 1, threshold)
    end = float(width) if last == width - 1 else last + 0.5 + _beyond(values, inside, last, last + 1, threshold)
    return begin, end


def _beyond(
    values: NDArray[np.float64], inside: NDArray[np.bool_], column: int, neighbour: int, threshold: float
) -> float:
    """How far from the centre of `column` towards its dark `neighbour` the part reaches, in cells 0 to 1."""
    rows = inside[:, column]
    here, there = values[rows, column], values[rows, neighbour]
    return float(((here - threshold) / (here - there)).max())
