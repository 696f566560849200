"""The rows of results/localizers.jsonl as tables: one per bed, a line per method, trivial predictors last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markdown_table import lines_of
from rich.console import Console
from rich.table import Table
from seeds import Row, by_label, spread

FIGURES = {
    "ciou": "cIoU", "auc": "AUC", "pointing": "pointing", "ciou_moments": "moments",
    "two_things": "two things", "both": "both", "all_three": "all three",
    "iiou": "IIoU", "iauc": "IAUC", "ap": "AP", "max_f1": "max F1", "swap_gap": "swap gap", "f_loc": "F_LOC",
    "miou": "mIoU",
    "silence_area": "silence", "noise_area": "noise", "offscreen_area": "off-screen", "lit_sounding": "lit sounding",
}  # fmt: skip
"""figure -> its column; those after mIoU are what is lit at the threshold"""
TRIVIAL = {
    "center": "centre disc", "average": "average box", "whole": "whole image", "random": "random map",
    "oracle": "oracle",
}  # fmt: skip


def tables(rows: Sequence[Row]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """(title, columns, lines) of each bed, in the order of the rows; percent, mean and spread over seeds."""
    grouped: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        for bed in row["beds"]:
            grouped[(row["on"], bed)].append(row)
    for (on, bed), held in grouped.items():
        known = [name for name in FIGURES if any(name in row["beds"][bed] for row in held)]
        lines = []
        for who in ("trained", "untrained"):
            for label, of_one in by_label(held).items():
                figures = [row["beds"][bed] for row in of_one]
                lines.append([f"{label}, untrained" if who == "untrained" else label, *_cells(figures, known, who)])
        # every run is judged on the same clips, so any row tells what the trivial predictors score
        lines += [[title, *_cells([held[0]["beds"][bed]], known, who)] for who, title in TRIVIAL.items()]
        yield f"{bed}, trained on {on}", ["", *(FIGURES[name] for name in known)], lines


def _cells(figures: Sequence[Mapping[str, Mapping[str, float]]], known: Sequence[str], who: str) -> list[str]:
    return [spread([one[name][who] for one in figures if who in one.get(name, {})]) for name in known]


def section(rows: Sequence[Row], note: Mapping[str, Any]) -> Iterator[str]:
    """The lines of RESULTS.md."""
    yield from (f"## {note.get('title', 'Localizers')}", "", f"`{note.get('command', 'localizers')}`", "")
    seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in rows}))
    spans = [row["train_seconds"] for row in rows]
    steps = sorted({row["steps"] for row in rows})
    data = ", ".join(sorted({str(row["data"])[:12] for row in rows}))
    told = f"{steps[0]} steps" if len(steps) == 1 else f"{steps[0]} to {steps[-1]} steps"
    yield f"Seeds {seeds}; {told}; training {min(spans)} to {max(spans)} s; data {data}; percent."
    yield ""
    if note.get("text"):
        yield from (str(note["text"]), "")
    for title, columns, lines in tables(rows):
        yield from (f"### {title}", "", *lines_of(columns, lines), "")


def show(console: Console, rows: Sequence[Row]) -> None:
    """Print the tables, each in as many parts as the terminal's width asks for."""
    for title, columns, lines in tables(rows):
        room = console.width - 2 - max(len(line[0]) for line in lines)
        each = max(1, room // (2 + max(len(cell) for line in [columns, *lines] for cell in line[1:])))
        for first in range(1, len(columns), each):
            shown = slice(first, first + each)
            table = Table("", *columns[shown], title=title, box=None, pad_edge=False, title_justify="left")
            for line in lines:
                beside = "untrained" in line[0] or line[0] in TRIVIAL.values()
                table.add_row(line[0], *line[shown], style="dim" if beside else None)
            console.print(table)
            console.print("")
