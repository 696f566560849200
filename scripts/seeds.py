"""Rows of experiments by what was run, and a figure over the seeds of it."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from scipy.stats import t as student

Row = dict[str, Any]
CERTAIN = 0.95
"""of the interval of a difference"""
NORMAL = 1.96
"""standard errors of that interval where no spread is estimated"""


def by_label(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Label -> its seeds, in the order of the rows; steps, data and what was changed in a config are told where runs of
    one name differ in them, and levels of the world (``learn``) where a run learnt from several."""
    lengths: dict[str, set[int]] = defaultdict(set)
    learnt: dict[Any, set[str]] = defaultdict(set)
    shared: dict[Any, set[str]] = {}
    for row in rows:
        words = set(row.get("words", ()))
        shared[_of(row)] = words & shared.get(_of(row), words)
        lengths[row["name"]].add(row["steps"])
        learnt[_of(row)].add(str(row.get("data", "")))
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        told = [f"{row['steps']:,} steps"] if len(lengths[row["name"]]) > 1 else []
        if len(learnt[_of(row)]) > 1:
            told.append(f"data {str(row.get('data', ''))[:8]}")
        told += [word.removeprefix("method.") for word in row.get("words", ()) if word not in shared[_of(row)]]
        if len(row.get("learn", ())) > 1:
            told.insert(0, " + ".join(row["learn"]))
        found[f"{row['name']} ({'; '.join(told)})" if told else row["name"]].append(row)
    return dict(found)


def _of(row: Row) -> tuple[str, str]:
    """Name and levels of a row."""
    return row["name"], " ".join(row.get("learn", ()))


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation of fractions, in percent; "" where there are none."""
    if not values:
        return ""
    told = f"{100 * statistics.fmean(values):.1f}"
    return f"{told} ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else told


class Difference(NamedTuple):
    """Of two means over seeds: ``margin``; half its interval by the spread of seeds, ``noise``, and by what was asked,
    ``asked``, which is the same for every seed, so that their spread does not show it."""

    margin: float
    noise: float
    asked: float = 0.0

    @property
    def told(self) -> bool:
        """Whether it is beyond the noise of seeds, upwards."""
        return self.margin > self.noise

    @property
    def sure(self) -> bool:
        """Whether it is beyond the noise of seeds and of what was asked, upwards."""
        return self.margin > math.hypot(self.noise, self.asked)

    def __str__(self) -> str:
        return f"{100 * self.margin:+.1f} ± {100 * self.noise:.1f}"


def difference(first: Sequence[float], second: Sequence[float], items: int = 0) -> Difference | None:
    """Mean of the first less that of the second, with the interval of Welch's t; None where either has one value.

    The standard error is sqrt(s1^2 / n1 + s2^2 / n2); the factor on it is the two-sided 95 % point of Student's t with
    Welch's degrees of freedom: 12.7 for one, 2.8 for four.

    With ``items``, how many were asked, the figures are means of something between 0 and 1 over them, whose variance is
    at most m (1 - m); both are taken as asked separately, which is too wide where the two err on the same items.
    """
    if min(len(first), len(second)) < 2:
        return None
    parts = [statistics.variance(values) / len(values) for values in (first, second)]
    means = [statistics.fmean(values) for values in (first, second)]
    margin, error = means[0] - means[1], math.sqrt(sum(parts))
    asked = NORMAL * math.sqrt(sum(mean * (1 - mean) for mean in means) / items) if items else 0.0
    if not error:
        return Difference(margin, 0.0, asked)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True)
    )
    return Difference(margin, error * float(student.ppf(0.5 + CERTAIN / 2, freedom)), asked)


def gained(gains: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Mean over seeds of a gain that has a 95 % interval, and the mean's: how other test items, and other training,
    would change it.

    Of one seed it is that of test items alone. Of several the squares of both standard errors are added: the mean one
    of test items, which are the same for all seeds, and sqrt(s^2 / n) of n seeds; the factor is Student's t with
    Satterthwaite's degrees of freedom, without end for items. That is wider than need be: how networks differ in what
    items they get right is in both.
    """
    if len(gains) == 1:
        return gains[0]
    middle = statistics.fmean(value for value, _, _ in gains)
    items = statistics.fmean(((high - low) / (2 * NORMAL)) ** 2 for _, low, high in gains)
    training = statistics.variance(value for value, _, _ in gains) / len(gains)
    if not training:
        half = NORMAL * math.sqrt(items)
    else:
        freedom = (len(gains) - 1) * ((items + training) / training) ** 2
        half = float(student.ppf(0.5 + CERTAIN / 2, freedom)) * math.sqrt(items + training)
    return middle, middle - half, middle + half
