"""The plots of scripts/compare.py: what rows tell, as PNG; and a sheet of filters and nearest neighbors."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import compare_figures as told
import published
from compare_sheet import sheet
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from rich.console import Console
from seeds import Row

from retrieval.files import replacing

COLORS = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee7733", "#663333", "#999933", "#0077bb",
    "#cc3311", "#009988",
)  # fmt: skip
LETTER, LINE = 5.2, 11.0
"""room of a name's letter, and between lines, in pixels"""
SPECIAL: Mapping[str, dict[str, Any]] = {
    "random": {"color": "#888888", "linestyle": "--"},
    "rescaled": {"color": "#888888", "linestyle": ":"},
    "supervised": {"color": "black", "linestyle": "-"},
}
"""floor and ceiling"""


def draw(rows: Sequence[Row], folder: Path, out: Path) -> None:
    """All plots for which there are rows, into ``folder``; runs for the sheet lie in ``out``.

    Raises ValueError where there is no row.
    """
    if not rows:
        raise ValueError("there are no rows to draw yet; compare first")
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    _kept(best(rows), folder / "best.png", console)
    plots = {"stages": stages, "transfer": transfer, "pretext": pretext, "robust": robust}
    for name, plot in plots.items():
        _kept(plot(told.common(rows)), folder / f"{name}.png", console)
    drawn, missing = sheet(rows, out)
    if missing:
        console.print(f"not on the sheet, for their runs are not in {out}: {', '.join(missing)}", highlight=False)
    if drawn is not None:
        _kept(drawn, folder / "sheet.png", console)


def _kept(figure: Figure, path: Path, console: Console) -> None:
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    for axes in figure.axes:
        _named(axes)
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
    console.print(f"wrote {path}", highlight=False)


def _axes(figure: Figure, rows: int, columns: int) -> list[list[Axes]]:
    found = figure.subplots(rows, columns, squeeze=False)
    for axes in found.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="both", color="#eeeeee")
        axes.set_axisbelow(True)
    return [list(line) for line in found]


def best(rows: Sequence[Row]) -> Figure:
    """Each method's best stage, with the widest interval of its seeds, beside that of its own network untrained."""
    held = told.by_name(rows)
    figure = Figure(figsize=(8, 0.9 + 0.27 * len(held)), layout="constrained")
    ((axes,),) = _axes(figure, 1, 1)
    for place, (label, seeds) in enumerate(held.items()):
        figures = [row["figures"]["best"] for row in seeds]
        low, high = min(one["interval"][0] for one in figures), max(one["interval"][1] for one in figures)
        color = SPECIAL.get(label, {"color": COLORS[0]})["color"]
        axes.plot([100 * low, 100 * high], [place, place], color=color, linewidth=1.5)
        axes.plot([100 * one["trained"] for one in figures], [place] * len(figures), "o", color=color, markersize=5)
        before = 100 * statistics.fmean(one["untrained"] for one in figures)
        axes.plot([before], [place], "|", color="#888888", markersize=11, markeredgewidth=2)
    axes.set_yticks(range(len(held)), list(held))
    axes.set_xlabel("best stage: linear probe on test pictures, % (bar: 95 %; gray: untrained)")
    return figure


def stages(rows: Sequence[Row]) -> Figure:
    """The stage table of networks that are in the published one too: ours, and theirs."""
    names = told.stages_of(rows)
    held = {seeds[0]["name"]: seeds for seeds in told.by_name(rows).values() if seeds[0]["name"] in published.STAGES}
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    ((ours, theirs),) = _axes(figure, 1, 2)
    for label, style in _styles(list(published.STAGES)):
        if label in held:
            values = [100 * (told.mean(held[label], name) or 0) for name in names]
            ours.plot(names, values, marker="o", markersize=4, label=label.replace("_", " "), **style)
        theirs.plot(published.COLUMNS, published.STAGES[label], marker="o", markersize=4, **style,
                    label=label.replace("_", " "))  # fmt: skip
    ours.set_title("ours: CIFAR-10, small trunk", fontsize=10)
    theirs.set_title("published: ImageNet, AlexNet (with RotNet, 2018)", fontsize=10)
    ours.set_ylabel("accuracy of a linear probe, %")
    figure.legend(*theirs.get_legend_handles_labels(), loc="outside right center", fontsize=8, frameon=False)
    return figure


def _styles(names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    plain = [name for name in names if name not in SPECIAL]
    for name in names:
        yield name, SPECIAL[name] if name in SPECIAL else {"color": COLORS[plain.index(name) % len(COLORS)]}


def transfer(rows: Sequence[Row]) -> Figure:
    """Who is ahead of labels, and how far above random initialization: every method of ours, SimCLR as published."""
    held, others = told.by_name(rows), told.learners(rows)
    figure = Figure(figsize=(11, 3 + 0.4 * len(others)), layout="constrained")
    grid = _axes(figure, 2, 2)
    for line, (beside, title) in enumerate((("supervised", "ahead of labels"), ("random", "above random"))):
        left, right = grid[line]
        compared = next((seeds for label, seeds in held.items() if label.startswith(beside)), [])
        names = [name for name in rows[0]["figures"] if name.endswith(("_linear", "_tuned"))]
        for number, name in enumerate(names if compared else ()):
            base = told.mean(compared, name) or 0
            gaps = [100 * ((told.mean(seeds, name) or 0) - base) for seeds in others.values()]
            linear = name.endswith("_linear")
            left.plot(gaps, range(len(gaps)), "o" if linear else "s", color=COLORS[number // 2], markersize=5,
                      fillstyle="full" if linear else "none", label=name.replace("_", ", "))  # fmt: skip
        left.set_yticks(range(len(others)), [label.replace("_", " ") for label in others], fontsize=8)
        for label in left.get_yticklabels():
            label.set_fontweight("bold" if label.get_text().startswith("simclr") else "normal")
        if compared:
            left.legend(fontsize=8, frameon=False)
        left.set_title(f"ours: {title}, percentage points", fontsize=10)
        left.axvline(0, color="black", linewidth=0.8)
        for protocol, marker in (("linear", "o"), ("tuned", "s")):
            if (protocol, beside) in published.TRANSFER:
                pairs = zip(published.TRANSFER[protocol, "simclr"], published.TRANSFER[protocol, beside], strict=True)
                right.plot(published.SETS, [a - b for a, b in pairs], marker, color=COLORS[1], label=protocol,
                           fillstyle="full" if protocol == "linear" else "none")  # fmt: skip
        right.tick_params(axis="x", rotation=45, labelsize=8)
        right.set_title(f"published: SimCLR (ResNet-50 4x), {title}", fontsize=10)
        right.legend(fontsize=8, frameon=False)
        right.set_ylabel("percentage points")
        right.axhline(0, color="black", linewidth=0.8)
    return figure


def pretext(rows: Sequence[Row]) -> Figure:
    """Does the pretext's accuracy predict the probe? Across methods, and along each run."""
    held = told.learners(rows)
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    ((across, along),) = _axes(figure, 1, 2)
    _scatter(across, {label: (100 * x, 100 * y) for label, (x, y) in told.pretext_pairs(held).items()})
    across.set_title("at the end of the runs", fontsize=10)
    across.set_ylabel("best stage, linear probe, %")
    ends: list[tuple[float, float, str]] = []
    for place, (label, seeds) in enumerate(held.items()):
        for row in seeds:
            points = [(100 * x, 100 * y) for x, y in told.path(row)]
            if len(points) > 1:
                along.plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=1,
                           color=COLORS[place % len(COLORS)])  # fmt: skip
                ends += [(*points[-1], label)] if row is seeds[0] else []
    _labels(along, ends)
    along.set_title("along each run, at its quarters", fontsize=10)
    along.set_ylabel("linear probe of the vector, %")
    for axes in (across, along):
        axes.set_xlabel("held-out pretext solved, % (0: as the untrained network)")
    return figure


def robust(rows: Sequence[Row]) -> Figure:
    """Is what is learnt better more robust too?"""
    every = told.robust_pairs(told.by_name(rows))
    figure = Figure(figsize=(7.5, 5.2), layout="constrained")
    ((axes,),) = _axes(figure, 1, 1)
    _scatter(axes, {label: (100 * x, 100 * y) for label, (x, y) in every.items()})
    axes.set_xlabel("linear probe on clean pictures, %")
    axes.set_ylabel(f"share above chance left under {', '.join(told.WORSE)}, mean, %")
    return figure


def _scatter(axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    for label, (x, y) in points.items():
        axes.plot([x], [y], "o", color=SPECIAL.get(label, {"color": COLORS[0]})["color"], markersize=5)
    _labels(axes, [(x, y, label) for label, (x, y) in points.items()])


def _labels(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Names right of points, kept for :func:`_named`, which needs to know where everything else stands."""
    for x, y, label in points:
        line = {"arrowstyle": "-", "color": "#cccccc", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
        name = label.replace("_", " ")
        text = axes.annotate(name, (x, y), (9, -3), textcoords="offset points", fontsize=7.5, arrowprops=line)
        text.set_in_layout(False)
    left, right = axes.get_xlim()
    axes.set_xlim(left, right + 0.25 * (right - left))


def _named(axes: Axes) -> None:
    """Move names up where they would stand on others, and down again where they would leave the picture."""
    names = [text for text in axes.texts if isinstance(text, Annotation)]
    known: list[list[float]] = []
    ordered = sorted(names, key=lambda text: float(text.xy[1]))
    for text in ordered:
        across, at = axes.transData.transform(text.xy)
        wide = LETTER * len(text.get_text())
        while any(abs(at - other) < LINE and across < end and begin < across + wide for begin, end, other in known):
            at += 1
        known.append([across, across + wide, at])
    most = {place: axes.bbox.y1 - LINE / 2 for place in range(len(known))}
    for place in sorted(most, key=lambda k: -known[k][2]):
        begin, end, stood = known[place]
        known[place][2] = min(stood, most[place])
        for other, (left, right, its) in enumerate(known):
            if its <= stood and other != place and left < end and begin < right:
                most[other] = min(most[other], known[place][2] - LINE)
    for text, (_, _, at) in zip(ordered, known, strict=True):
        up = axes.transData.transform(text.xy)[1]
        text.set_position((9, (at - up) * 72 / axes.figure.dpi - 3))
