"""The rows of results/audiovisual.jsonl as tables, and who is ahead of the flagship, at the end and in equal time.

Used by scripts/audiovisual.py and scripts/results.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markdown_table import lines_of
from rich.console import Console
from rich.table import Table
from seeds import Row, by_label, difference, spread

FLAGSHIP = "trimodal"
KINDS = {"video": "picture", "audio": "sound", "text": "text"}
TITLES = {"world": "the made-up world", "grid": "GRID"}
FIGURES = {"ndcg10": "nDCG@10", "r1": "R@1"}
USES = {
    "sound within a picture": "offset of a sound within a picture",
    "narration off by": "narration off by, 1/100 s",
    "dropped rightly": "sentences dropped that are foreign",
    "foreign ones dropped": "foreign sentences dropped",
}
SHIFTED = USES["sound within a picture"]
TASK, SPREAD = "own task solved", "spread"
CHANCE = {"chance": "chance; narration as it was"}
LOWER = (USES["narration off by"],)
"""better when they are small"""
UNRANKED = (TASK, USES["foreign ones dropped"])
"""tasks are each method's own, and who drops everything misses nothing"""
FEW = 6
"""probes that stand in one table; more are told encoder by encoder"""
NAMED = 3
"""methods above the flagship within the noise that a column names"""
NOISE = (
    "of seeds: the difference of the means is beyond its 95 % interval by Welch's t, which for three seeds of each is "
    "2.8 standard errors or more and for two 4.3 or more; each comparison by itself"
)
ASKED = (
    "by more than other held-out recordings would change it as well (interval of seeds, and of means over as many "
    "recordings as were asked, which are the same for all seeds)"
)
PLOTS = Path(__file__).resolve().parent.parent / "results" / "plots"
Cells = Mapping[str, Mapping[str, float]]
"""column -> trained, untrained and what stands beside"""


class Above(NamedTuple):
    """Column -> methods above the flagship beyond the noise of seeds, and within it; of what nothing can be said."""

    beyond: dict[str, list[str]]
    within: dict[str, list[str]]
    unsure: list[str]
    sure: dict[str, list[str]]
    """of those beyond the noise, who is beyond what other recordings would change too"""


class Told(NamedTuple):
    """A table of one data set: title, columns of figures, label -> seed -> cells, what stands beside, in words, the
    rows; and the cells after as many seconds of training as the flagship takes, where there is a course to tell."""

    title: str
    columns: list[str]
    cells: dict[str, list[Cells]]
    beside: dict[str, str]
    rows: dict[str, list[Row]]
    in_time: dict[str, list[Cells]] | None = None

    def lines(self) -> Iterator[list[str]]:
        """A line for each method, then those that have learnt nothing."""
        for label, seeds in self.cells.items():
            yield [label, *(_cell(seeds, name) for name in self.columns), *self.about(label)]
        for key, title in self.beside.items():
            yield [title, *(self.level(name, key) for name in self.columns), "", "", ""]

    def level(self, column: str, key: str) -> str:
        """What stands beside is the same for all, but for what one picture tells and what a window of them does."""
        held = [one[column][key] for seeds in self.cells.values() for one in seeds if key in one.get(column, ())]
        return " or ".join(dict.fromkeys(spread([value]) for value in sorted(held)))

    def about(self, label: str) -> list[str]:
        """Steps, seconds of training, seeds."""
        rows = self.rows[label]
        return [f"{rows[0]['steps']:,}", f"{_seconds(rows):.0f}", str(len(rows))]

    def ahead(self) -> str:
        """Per column, the single methods whose mean is above the flagship's, beyond the noise and within it."""
        own = self._flagship()
        if own is None:
            return f"`{FLAGSHIP}` has no run here to compare with."
        found = self._above(own, self.cells)
        lines = []
        if found.beyond:
            told = _listed(found.beyond)
            none = [name for name, methods in found.beyond.items() if not methods]
            told += [f"{', '.join(none)}: none"] if none else []
            lines.append(f"Ahead of `{FLAGSHIP}` by more than the noise ({NOISE}): {'; '.join(told)}.")
            if any(found.beyond.values()):
                lines += [f"Of these, {ASKED}: {'; '.join(_listed(found.sure)) or 'none'}.", *self._sooner(own, found)]
        if within := _listed({name: methods[:NAMED] for name, methods in found.within.items()}):
            lines.append(f"Above it, but within the noise: {'; '.join(within)}.")
        if found.unsure:
            lines.append(f"Nothing can be said of {', '.join(found.unsure)}: the noise needs two seeds of each.")
        few = [label for label in self.rows if len(self.cells[label]) < 2]
        if few and found.beyond:
            lines.append(f"Nothing can be said of {', '.join(few)}: one seed tells no noise.")
        return " ".join(lines)

    def note(self) -> str:
        """What is said below: who is ahead, or, of vectors, who has collapsed."""
        if not self.columns[0].endswith(f" {SPREAD}"):
            return self.ahead()
        alarms = {
            f"`{label}` (seed {row['seed']}: {', '.join(found)})"
            for label, rows in self.rows.items()
            for row in rows
            if (found := [name.removesuffix("_alarm") for name, on in row["collapse"]["trained"].items()
                          if name.endswith("_alarm") and on])
        }  # fmt: skip
        return f"Alarms of collapse after training: {'; '.join(sorted(alarms)) or 'none'}."

    def _flagship(self) -> str | None:
        return next((label for label, rows in self.rows.items() if rows[0]["name"] == FLAGSHIP), None)

    def _above(self, own: str, cells: Mapping[str, Sequence[Cells]]) -> Above:
        others = [label for label, rows in self.rows.items() if not rows[0]["name"].startswith(FLAGSHIP)]
        found = Above({}, {}, [], {})
        for name in (name for name in self.columns if name not in UNRANKED):
            sign = -1 if name in LOWER else 1
            asked = next((int(one[name].get("n", 0)) for one in cells[own] if name in one), 0)
            apart = {}
            for label in others:
                pair = [_values(cells[label], name), _values(cells[own], name)]
                apart[label] = difference(*(pair if sign > 0 else pair[::-1]), asked)
            known = {label: one for label, one in apart.items() if one is not None}
            if not known:
                found.unsure.append(name)
                continue
            order = sorted((label for label in known if known[label].margin > 0), key=lambda k: -known[k].margin)
            found.beyond[name] = [f"{label} ({known[label]})" for label in order if known[label].told]
            found.sure[name] = [label for label in order if known[label].sure]
            found.within[name] = [f"{label} ({known[label]})" for label in order if not known[label].told]
        return found

    def _sooner(self, own: str, at_end: Above) -> Iterator[str]:
        """Of the columns in which somebody is ahead at the end, who is after the flagship's seconds."""
        if not self.in_time:
            return
        then = self._above(own, self.in_time).beyond
        told = [f"{name}: {', '.join(then.get(name, [])) or 'none'}" for name, who in at_end.beyond.items() if who]
        yield f"After as many seconds of training as it takes (mean {_seconds(self.rows[own]):.0f}): {'; '.join(told)}."


def _seconds(rows: Sequence[Row]) -> float:
    """How long runs have trained, on the average."""
    return statistics.fmean(row["train_seconds"] for row in rows)


def _listed(found: Mapping[str, Sequence[str]]) -> list[str]:
    """The columns that have methods, each with them."""
    return [f"{name}: {', '.join(methods)}" for name, methods in found.items() if methods]


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
        lasts = [_seconds(seeds) for seeds in held.values() if seeds[0]["name"] == FLAGSHIP][:1]
        then = {label: [_by(row, seconds) for row in seeds] for label, seeds in held.items() for seconds in lasts}
        yield Told(f"{title}: finding, {FIGURES[figure]}", names, cells, {"chance": "chance"}, held, then)
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
        more = {
            "sync, alignment and the method's own task": (_used, [*USES.values(), TASK], CHANCE),
            "how far vectors lie apart": (_apart, [f"{kind} {SPREAD}" for kind in KINDS.values()], {}),
        }
        for of, (told_of, names, beside) in more.items():
            cells = {label: one for label, seeds in held.items() if any(one := [told_of(row) for row in seeds])}
            names = [name for name in names if any(name in seeds[0] for seeds in cells.values())]
            if names:
                yield Told(f"{title}: {of}", names, cells, beside, {label: held[label] for label in cells})


def _used(row: Row) -> Cells:
    """What a run is good for beyond finding, and the accuracy of what it is taught to tell, if that is one."""
    asked = row.get("task", {})
    task = {who: told["accuracy"] for who, told in asked.items() if "accuracy" in told}
    used = {USES[name]: {**figures, "n": _clips(row, name)} for name, figures in row["uses"].items()}
    return used | ({TASK: task} if task else {})


def _clips(row: Row, name: str) -> int:
    """Of how many recordings a use is a share; 0 where it is none, or of sentences."""
    return int(row["used"]["clips"]) if USES[name] == SHIFTED else 0


def _apart(row: Row) -> Cells:
    """Spread of each modality's vectors, of all its encoders in the first space or in none."""
    found: dict[str, dict[str, float]] = {}
    for who, told in row.get("collapse", {}).items():
        for name, kind in {**KINDS, "image": KINDS["video"]}.items():
            if f"{name}_spread" in told:
                found.setdefault(f"{kind} {SPREAD}", {})[who] = told[f"{name}_spread"]
    return found


def _found(row: Row) -> Cells:
    """Direction -> figure; one picture of a window or all of them are a picture."""
    found = {
        _direction(name): {**figures[row["figure"]], "n": figures["n"]} for name, figures in row["retrieval"].items()
    }
    return {name: figures for name, figures in found.items() if name}


def _direction(name: str) -> str:
    """A direction in words, "" within a modality."""
    a, b = name.replace("image", "video").split("_to_")
    return f"{KINDS[a]} → {KINDS[b]}" if a != b else ""


def _by(row: Row, seconds: float) -> Cells:
    """The figures after so many seconds of training, or at the end; between the points of its course on lines."""
    times = [point["seconds"] for point in row["course"]]
    return {
        _direction(name): {"trained": float(np.interp(seconds, times, [p["directions"][name] for p in row["course"]]))}
        for name in row["course"][-1]["directions"]
    }


def _probed(row: Row) -> Cells:
    return {
        f"{KINDS[modality.replace('image', 'video')]} {'ESC-10' if label == 'esc10' else label}": {
            **figure,
            "n": figure["judged"],
        }
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
        yield from (f"### {told.title}", "", *lines_of(columns, told.lines()), "", told.note(), "")
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
        console.print(told.note(), highlight=False)
        console.print("")
