"""Rows as tables of text: every figure beside what it must be compared with."""

from __future__ import annotations

from collections.abc import Sequence

from avssl.probe.study import Row

NOTE = "percent; intervals: Wilson's of the accuracy, a paired bootstrap of the gain over the untrained network"


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Titles and a line for each row of one run and one label set; accuracies in percent."""
    names = list(dict.fromkeys(name for row in rows for name in row["beside"]))
    lines = []
    for row in rows:
        others = (row["beside"].get(name, {}).get("accuracy") for name in names)
        beside = ["" if x is None else f"{100 * x:.1f}" for x in others]
        gain, least, most = (f"{100 * x:+.1f}" for x in row["gain"])
        low, high = (f"{100 * x:.0f}" for x in row["interval"])
        lines.append([about(row), f"{100 * row['accuracy']:.1f}", f"{low}-{high}", *beside, gain, f"{least} {most}"])
    return ["", "right", "95 %", *names, "gain", "95 %"], lines


def about(row: Row) -> str:
    """The evaluator with what is special about this row."""
    words = [str(row["part"].get("stage", row["probe"]))]
    words += [str(row["under"])] if row.get("under") else []
    words += ["max-pooled"] if row.get("pooled") == "max" else []
    if row.get("freeze") or row.get("rest") == "random":
        words.append(f"{row['freeze']} frozen, others {row['rest']}")
    words += [f"{100 * row['fraction']:g} %"] if row["fraction"] < 1 else []
    return " ".join(words)
