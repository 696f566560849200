"""How sure an accuracy is, and what is right without having learnt anything."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Z = 1.959963984540054
"""standard normal quantile of a two-sided 95 % interval"""
RESAMPLES = 2000
INTERVALS = {"accuracy": "Wilson, 95 %", "gain": "paired bootstrap, 95 %"}
"""how each figure's interval is made"""


class Interval(NamedTuple):
    """A figure between 0 and 1 (a gain: -1 and 1) and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(right: int, count: int) -> Interval:
    """Share of right answers with Wilson's score interval (E. B. Wilson, 1927), as if examples were independent.

    Unlike value +- 1.96 standard errors it stays inside 0..1, and has a width where all or none are right.
    """
    if count < 1 or not 0 <= right <= count:
        raise ValueError(f"{right} of {count} answers are right; there must be answers, and no more right ones")
    share, square = right / count, Z * Z / count
    middle = (share + square / 2) / (1 + square)
    half = Z * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def gain(right: NDArray[np.bool_], other: NDArray[np.bool_], seed: int = 0) -> Interval:
    """By how much more often ``right`` is right than ``other``, both bool [N] on the same examples.

    The examples are drawn again with repetition; what both get right or wrong alike does not widen the interval.
    """
    if right.shape != other.shape or not right.size:
        raise ValueError(f"{right.size} answers against {other.size}; they are compared example by example")
    ahead, behind = int((right & ~other).sum()), int((~right & other).sum())
    count = right.size
    shares = [ahead / count, behind / count, 1 - (ahead + behind) / count]
    drawn = np.random.default_rng(seed).multinomial(count, shares, RESAMPLES)
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / count, [2.5, 97.5])
    return Interval((ahead - behind) / count, float(low), float(high))


def majority(fitted: NDArray[np.int64], judged: NDArray[np.int64]) -> float:
    """Accuracy of always saying the commonest class of the labels ``fitted`` [M], on the labels ``judged`` [N]."""
    values, counts = np.unique(fitted, return_counts=True)
    return float((judged == values[counts.argmax()]).mean())


def per_class(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Mean over classes of the share of each class that is right."""
    return float(np.mean([(predicted[truth == number] == number).mean() for number in np.unique(truth)]))
