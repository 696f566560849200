"""Rows of experiments by what was run, and a figure over the seeds of it."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def by_label(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Label -> its seeds, in the order of the rows; steps are told where runs of one name differ in them, and levels of
    the world (``learn``) where a run learnt from several."""
    lengths: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        lengths[row["name"]].add(row["steps"])
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        told = [f"{row['steps']:,} steps"] if len(lengths[row["name"]]) > 1 else []
        if len(row.get("learn", ())) > 1:
            told.insert(0, " + ".join(row["learn"]))
        found[f"{row['name']} ({'; '.join(told)})" if told else row["name"]].append(row)
    return dict(found)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation of fractions, in percent; "" where there are none."""
    if not values:
        return ""
    told = f"{100 * statistics.fmean(values):.1f}"
    return f"{told} ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else told
