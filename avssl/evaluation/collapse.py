"""Whether vectors of different things have become the same: how far apart, in how many directions, how many twins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FEW = 8
"""vectors of fewer things say nothing"""
LEAST_SPREAD = 0.02
"""a network without training may be as narrow as this; what learns is wider after a few steps"""
LEAST_RANK = 1.5
MOST_TWINS = 0.5
TWIN_DISTANCE = 0.005
"""nearer than this, unit vectors are the same; wider than what bf16 rounds off, narrower than two clips of one kind"""


class Health(NamedTuple):
    """What is measured of N unit vectors of different things."""

    spread: float
    """root of the mean squared distance from their mean: 0 all the same, 1 spread over the whole sphere"""
    rank: float
    """effective rank around the mean (Roy, Vetterli, 2007): in how many directions they differ; 1 on a line"""
    twins: float
    """share whose nearest other is the same"""


def health(vectors: NDArray[np.float32]) -> Health:
    """Of unit vectors [N, D] of N different things, N at least 2."""
    x = vectors.astype(np.float64)
    x -= x.mean(0)
    spread = float(np.sqrt((x**2).sum(1).mean()))
    values = np.linalg.svd(x, compute_uv=False)
    share = values / max(float(values.sum()), 1e-12)
    share = share[share > 0]
    rank = float(np.exp(-(share * np.log(share)).sum())) if spread > 1e-9 else 0.0
    squares = (x**2).sum(1)
    apart = squares[:, None] + squares - 2 * x @ x.T
    np.fill_diagonal(apart, np.inf)
    return Health(spread, rank, float((apart.min(1) < TWIN_DISTANCE**2).mean()))


def alarm(found: Health, count: int) -> str:
    """What is wrong, in a few words; empty where nothing is, or of fewer than 8 vectors."""
    if count < FEW:
        return ""
    if found.spread < LEAST_SPREAD:
        return f"all vectors are nearly the same (spread {found.spread:.3f} of 1)"
    if found.rank < LEAST_RANK:
        return f"all vectors lie nearly on a line (effective rank {found.rank:.1f})"
    if found.twins > MOST_TWINS:
        return f"{found.twins:.0%} of the vectors have a twin, though what they are of differs"
    return ""
