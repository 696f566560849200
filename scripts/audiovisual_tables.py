"""The rows of results/audiovisual.jsonl as tables and curves, and who is ahead of the flagship.

Used by scripts/audiovisual.py and scripts/results.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from seeds import Row, by_label, difference, spread

from retrieval.files import replacing

FLAGSHIP = "trimodal"
KINDS = {"video": "picture", "audio": "sound", "text": "text"}
TITLES = {"world": "the made-up world", "grid": "GRID"}
FIGURES = {"ndcg10": "nDCG@10", "r1": "R@1"}
USES = {
    "sound within a picture": "offset of a sound within a picture",
    "narration off by": "narration off by, 1/100 s",
    "dropped rightly": "sentences dropped that are foreign",
}
LOWER = (USES["narration off by"],)
"""better when they are small"""
FEW = 6
"""probes that stand in one table; more are told encoder by encoder"""
NAMED = 3
"""methods above the flagship within the noise that a column names"""
NOISE = (
    "the difference of the means is beyond its 95 % interval by Welch's t, which for three seeds of each is 2.8 "
    "standard errors or more and for two 4.3 or more; each comparison by itself"
)
PLOTS = Path(__file__).resolve().parent.parent / "results" / "plots"
COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee7733", "#663333", "#999933", "#009988")
STYLES = ("-", "--", ":")
Cells = Mapping[str, Mapping[str, float]]
"""column -> trained, untrained and what stands beside"""


class Told(NamedTuple):
    """A table of one data set: title, columns of figures, label -> seed -> cells, what stands beside, in words."""

    title: str
    columns: list[str]
    cells: dict[str, list[Cells]]
    beside: dict[str, str]
    rows: dict[str, list[Row]]

    def lines(self) -> Iterator[list[str]]:
        """A line for each method, then those that have learnt nothing."""
        for label, seeds in self.cells.items():
            yield [label, *(_cell(seeds, name) for name in self.columns), *self.about(label)]
        for key, title in self.beside.items():
            yield [title, *(self.level(name, key) for name in self.columns), "", "", ""]

    def level(self, column: str, key: str) -> str:
        """What stands beside is the same for all, but for what one picture tells and what a window of them does."""
        held = [one[column][key] for seeds in self.cells.values() for one in seeds if column in one]
        return " or ".join(dict.fromkeys(spread([value]) for value in sorted(held)))

    def about(self, label: str) -> list[str]:
        """Steps, seconds of training, seeds."""
        rows = self.rows[label]
        seconds = statistics.fmean(row["train_seconds"] for row in rows)
        return [f"{rows[0]['steps']:,}", f"{seconds:.0f}", str(len(rows))]

    def ahead(self) -> str:
        """Per column, the single methods whose mean is above the flagship's, beyond the noise and within it."""
        own = next((label for label, rows in self.rows.items() if rows[0]["name"] == FLAGSHIP), None)
        if own is None:
            return f"`{FLAGSHIP}` has no run here to compare with."
        others = [label for label, rows in self.rows.items() if not rows[0]["name"].startswith(FLAGSHIP)]
        told, within, none, unsure = list[str](), list[str](), list[str](), list[str]()
        for name in self.columns:
            sign = -1 if name in LOWER else 1
            limit, *rest = ([sign * x for x in _values(self.cells[label], name)] for label in [own, *others])
            found = {label: difference(values, limit) for label, values in zip(others, rest, strict=True)}
            known = {label: one for label, one in found.items() if one is not None}
            if not known:
                unsure.append(name)
                continue
            above = sorted((label for label in known if known[label].margin > 0), key=lambda k: -known[k].margin)
            better = [label for label in above if known[label].told]
            if better:
                told.append(f"{name}: {', '.join(f'{label} ({known[label]})' for label in better)}")
            else:
                none.append(name)
            near = [label for label in above if label not in better]
            if near:
                within.append(f"{name}: {', '.join(f'{label} ({known[label]})' for label in near[:NAMED])}")
        told += [f"{', '.join(none)}: none"] if none else []
        lines = [f"Ahead of `{FLAGSHIP}` by more than the noise ({NOISE}): {'; '.join(told)}."] if told else []
        lines += [f"Above it, but within the noise: {'; '.join(within)}."] if within else []
        lines += [f"Nothing can be said of {', '.join(unsure)}: the noise needs two seeds of each."] if unsure else []
        few = [label for label in [own, *others] if len(self.cells[label]) < 2]
        if few and told:
            lines.append(f"Nothing can be said of {', '.join(few)}: one seed tells no noise.")
        return " ".join(lines)


def _values(seeds: Iterable[Cells], name: str) -> list[float]:
    return [one[name]["trained"] for one in seeds if name in one]


def _cell(seeds: Sequence[Cells], name: str) -> str:
    """Mean and spread, the untrained network's mean in brackets."""
    values = _values(seeds, name)
    before = [one[name]["untrained"] for one in seeds if name in one]
    return f"{spread(values)} ({100 * statistics.fmean(before):.1f})" if values else ""


def tables(rows: Sequence[Row]) -> Iterator[Told]:
    """Finding, probes and what else runs are good for, one data set after the other."""
    for on in dict.fromkeys(row["on"] for row in rows):
        held = by_label([row for row in rows if row["on"] == on])
        title, figure = TITLES.get(on, on), next(iter(held.values()))[0]["figure"]
        names = [f"{a} → {b}" for a in KINDS.values() for b in KINDS.values() if a != b]
        cells: dict[str, list[Cells]] = {label: [_found(row) for row in seeds] for label, seeds in held.items()}
        yield Told(f"{title}: finding, {FIGURES[figure]}", names, cells, {"chance": "chance"}, held)
        cells = {label: [_probed(row) for row in seeds] for label, seeds in held.items()}
        known = list(dict.fromkeys(name for seeds in cells.values() for one in seeds for name in one))
        known.sort(key=lambda name: list(KINDS.values()).index(name.split()[0]))
        whole = f"{title}: what encoders know, accuracy of a linear probe"
        groups = {kind: [name for name in known if name.startswith(f"{kind} ")] for kind in KINDS.values()}
        for part in [known] if len(known) <= FEW else groups.values():
            if part:
                of = part[0].split()[0]
                told = whole if part == known else f"{whole}, encoder of {of}"
                kept = {label: seeds for label, seeds in cells.items() if any(name in seeds[0] for name in part)}
                beside = {"chance": "chance", "trivial": "without an encoder"}
                yield Told(told, part, kept, beside, {label: held[label] for label in kept})
        cells = {label: [_used(row) for row in seeds] for label, seeds in held.items() if seeds[0]["uses"]}
        names = [name for name in USES.values() if any(name in seeds[0] for seeds in cells.values())]
        if names:
            beside = {"chance": "chance; narration as it was"}
            of = f"{title}: sync and alignment"
            yield Told(of, names, cells, beside, {label: held[label] for label in cells})


def _used(row: Row) -> Cells:
    return {USES[name]: figures for name, figures in row["uses"].items()}


def _found(row: Row) -> Cells:
    """Direction -> figure; one picture of a window or all of them are a picture."""
    found = {}
    for name, figures in row["retrieval"].items():
        a, b = name.replace("image", "video").split("_to_")
        if a != b:
            found[f"{KINDS[a]} → {KINDS[b]}"] = figures[row["figure"]]
    return found


def _probed(row: Row) -> Cells:
    return {
        f"{KINDS[modality.replace('image', 'video')]} {'ESC-10' if label == 'esc10' else label}": figure
        for modality, labels in row["probes"].items()
        for label, figure in labels.items()
    }


def section(rows: Sequence[Row], note: Mapping[str, Any]) -> Iterator[str]:
    """The lines of RESULTS.md."""
    yield from (f"## {note.get('title', 'Audio-visual methods')}", "", f"`{note.get('command', 'audiovisual')}`", "")
    seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in rows}))
    spans = [row["train_seconds"] for row in rows]
    data = ", ".join(f"{on} {which[:12]}" for on, which in sorted({(row["on"], row["data"]) for row in rows}))
    yield f"Seeds {seeds}; training {min(spans):.0f} to {max(spans):.0f} s; data {data}; percent (untrained)."
    yield ""
    if note.get("text"):
        yield from (str(note["text"]), "")
    for told in tables(rows):
        columns = ["", *told.columns, "steps", "seconds", "seeds"]
        yield from (f"### {told.title}", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns))
        yield from ("| " + " | ".join(line) + " |" for line in told.lines())
        yield from ("", told.ahead(), "")
    for name, told_of in note.get("plots", {}).items():
        if (PLOTS / name).is_file():
            yield from (f"![{told_of}](results/plots/{name})", "")


def show(console: Console, rows: Sequence[Row]) -> None:
    """Print the tables, each in as many parts as the terminal's width asks for."""
    for told in tables(rows):
        columns, lines = [*told.columns, "steps", "seconds", "seeds"], list(told.lines())
        room = console.width - 2 - max(len(line[0]) for line in lines)
        each = max(1, room // (2 + max(len(cell) for line in [columns, *lines] for cell in line[1:])))
        for first in range(0, len(columns), each):
            table = Table("", *columns[first : first + each], title=told.title, box=None, pad_edge=False,
                          title_justify="left")  # fmt: skip
            for line in lines:
                style = "dim" if line[0] in told.beside.values() else None
                table.add_row(line[0], *line[1 + first : 1 + first + each], style=style)
            console.print(table)
        console.print(told.ahead(), highlight=False)
        console.print("")


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

    pairs = (("video", "audio"), ("video", "text"), ("audio", "text"))
    figure = Figure(figsize=(15, 5), layout="constrained")
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    held, shown = by_label(rows), {}
    for place, (label, seeds) in enumerate(held.items()):
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
