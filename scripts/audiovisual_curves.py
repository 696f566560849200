"""The course of finding, of the rows of results/audiovisual.jsonl: score against seconds of training, as SVG.

Used by scripts/audiovisual.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audiovisual_ahead import FLAGSHIP
from audiovisual_tables import FIGURES, KINDS, TITLES, methods_of
from seeds import Row, by_label

from retrieval.files import replacing

COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee7733", "#663333", "#999933", "#009988")
STYLES = ("-", "--", ":")


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """The curves of each data set as SVG in ``folder``; what was drawn. Raises ValueError where there is no row."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    if not rows:
        raise ValueError("there are no rows to draw yet; compare first")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for on in dict.fromkeys(row["on"] for row in rows):
        figure = curves([row for row in rows if row["on"] == on], TITLES.get(on, on))
        FigureCanvasSVG(figure)
        path = folder / f"audiovisual-{on}.svg"
        with matplotlib.rc_context({"svg.hashsalt": on}), replacing(path) as partial:
            figure.savefig(partial, format="svg", metadata={"Date": None})
        drawn.append(path)
    return drawn


def curves(rows: Sequence[Row], title: str) -> Any:
    """A figure: score against seconds of training, a panel for each pair of modalities, a line for each seed."""
    from matplotlib.figure import Figure

    every = (("video", "audio"), ("video", "text"), ("audio", "text"))
    pairs = [pair for pair in every if any(_between(row, pair) for row in rows)] or every[:1]
    figure = Figure(figsize=(max(8, 5 * len(pairs)), 5), layout="constrained")
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    held, shown = by_label(rows), {}
    for place, label in enumerate(methods_of(held)):
        seeds = held[label]
        main = seeds[0]["name"] == FLAGSHIP
        look = {"color": "black", "linewidth": 2.2, "zorder": 3} if main else {
            "color": COLORS[place % len(COLORS)], "linestyle": STYLES[place // len(COLORS) % len(STYLES)],
            "linewidth": 1.0,
        }  # fmt: skip
        for axes, pair in zip(panels, pairs, strict=True):
            for row in seeds:
                if points := _between(row, pair):
                    (shown[label],) = axes.plot(*zip(*points, strict=True), marker="o", markersize=3, **look)
    for axes, (a, b) in zip(panels, pairs, strict=True):
        axes.set_title(f"{KINDS[a]} and {KINDS[b]}, both directions", fontsize=10)
        axes.set_xlabel("seconds of training")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#eeeeee")
        axes.set_axisbelow(True)
    panels[0].set_ylabel(f"{title}: {FIGURES[rows[0]['figure']]}, %")
    names = [label.replace("_", " ") for label in shown]
    figure.legend(list(shown.values()), names, loc="outside right center", fontsize=8, frameon=False)
    return figure


def _between(row: Row, pair: tuple[str, str]) -> list[tuple[float, float]]:
    """(seconds, mean of both directions in percent) along a run; [] where it does not compare these."""
    points = []
    for point in row["course"]:
        known = {name.replace("image", "video"): value for name, value in point["directions"].items()}
        both = [known[name] for name in (f"{pair[0]}_to_{pair[1]}", f"{pair[1]}_to_{pair[0]}") if name in known]
        if both:
            points.append((point["seconds"], 100 * statistics.fmean(both)))
    return points
