"""How sure a mean over items is, and how it depends on the size of what is sought."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from avssl.localize.masks import as_scores
from avssl.localize.score.overlap import items_of

REFERENCE = 224 * 224


def bootstrap(values: ArrayLike | Any, n: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval (low, high) of the mean of `values` [N], from `n` resamplings of the items."""
    items = items_of(values, "bootstrap")
    generator = np.random.default_rng(seed)
    means = np.array([items[generator.integers(len(items), size=len(items))].mean() for _ in range(n)])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


SIZES = {"small": 32**2, "medium": 96**2, "large": 144**2, "huge": math.inf}
"""name of a size -> the pixels of a 224 x 224 truth that it stays below (the buckets of SLAVC, Mo and Morgado 2022)"""


def size_of(truth: ArrayLike | Any) -> str:
    """The name of the size of what a truth [H, W] in 0..1 marks: small, medium, large or huge.

    Its area is the sum of the truth (a pixel that half of the annotators mark counts half), scaled to a picture of
    224 x 224 where it has another size. An empty truth is small.
    """
    known = as_scores(truth)
    area = float(known.sum()) * (REFERENCE / known.size)
    return next(name for name, below in SIZES.items() if area < below)


def by_size(values: ArrayLike | Any, sizes: Sequence[str]) -> dict[str, list[float]]:
    """The values [N] of the items of each size, smallest first; sizes that no item has are left out."""
    scores = items_of(values, "by size")
    if len(sizes) != len(scores):
        raise ValueError(f"{len(scores)} items but sizes of {len(sizes)}")
    if unknown := set(sizes) - set(SIZES):
        raise ValueError(f"unknown size {sorted(unknown)[0]!r}; known: {', '.join(SIZES)}")
    grouped = {
        name: [float(value) for value, size in zip(scores, sizes, strict=True) if size == name] for name in SIZES
    }
    return {name: held for name, held in grouped.items() if held}
