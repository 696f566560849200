"""The box of a score map: where in the picture the best of it is."""

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.moments import Box

HALF_WAY = 0.5


class Found(NamedTuple):
    """Where in the picture something is, and the map's score at its best cell."""

    box: Box
    score: float


def box_of(scores: NDArray[np.floating], threshold: float | None = None) -> Found | None:
    """The box round the best cell of a map [h, w] and all lit cells joined to it (by a side).

    threshold: cells from this score on are lit; None comes back when there is none. Without a threshold those are lit
    that score at least half way from the map's median up to its best: a place stands out against its own picture.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"a map must be finite scores [h, w], got shape {values.shape}")
    best = float(values.max())
    if threshold is not None and best < threshold:
        return None
    if threshold is None:
        middle = float(np.median(values))
        threshold = middle + HALF_WAY * (best - middle)
    lit = values >= threshold
    height, width = values.shape
    start = divmod(int(values.argmax()), width)
    seen, waiting = {start}, deque([start])
    while waiting:
        row, column = waiting.popleft()
        for cell in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            inside = 0 <= cell[0] < height and 0 <= cell[1] < width
            if inside and lit[cell] and cell not in seen:
                seen.add(cell)
                waiting.append(cell)
    rows, columns = zip(*seen, strict=True)
    box = (min(columns) / width, min(rows) / height, (max(columns) + 1) / width, (max(rows) + 1) / height)
    return Found(box, best)
