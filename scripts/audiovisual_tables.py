"""The rows of results/audiovisual.jsonl as tables.

Used by scripts/audiovisual.py and scripts/results.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from audiovisual_ahead import FLAGSHIP, Cells, Pairs, above, at_end, in_equal_time, learnt, values
from markdown_table import lines_of
from rich.console import Console
from rich.table import Table
from seeds import Row, by_label, spread

KINDS = {"video": "picture", "audio": "sound", "text": "text"}
TITLES = {"world": "the made-up world", "grid": "GRID", "digits": "spoken digits and pictures of digits"}
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
PLOTS = Path(__file__).resolve().parent.parent / "results" / "plots"


class Told(NamedTuple):
    """A table of one data set: title, columns of figures, label -> seed -> cells, what stands beside, in words, the
    rows; and the cells of each method and of the flagship after equal time, where there is a course to tell."""

    title: str
    columns: list[str]
    cells: dict[str, list[Cells]]
    beside: dict[str, str]
    rows: dict[str, list[Row]]
    in_time: Pairs | None = None

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
        """Who is above the flagship, and who knows more than untrained."""
        own, others = told_apart(self.rows)
        methods = {label: self.cells[label] for label in methods_of(self.rows)}
        ranked = [name for name in self.columns if name not in UNRANKED]
        if own:
            pairs = {label: (self.cells[label], self.cells[own]) for label in others}
            few = [label for label, seeds in methods.items() if len(seeds) < 2]
            told = list(at_end(above(pairs, ranked, LOWER), few))
        else:
            told = [f"`{FLAGSHIP}` has no run here to compare with."]
        if own and self.in_time:
            told += in_equal_time(above(self.in_time, ranked, LOWER))
        return " ".join([*told, *learnt(methods, ranked)])

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


def told_apart(rows: Mapping[str, Sequence[Row]]) -> tuple[str | None, list[str]]:
    """The flagship's label, None where it has no rows, and those of the methods that it is compared with.

    Runs of it with other settings are neither.
    """
    own = [label for label, seeds in rows.items() if seeds[0]["name"] == FLAGSHIP]
    others = [label for label, seeds in rows.items() if not seeds[0]["name"].startswith(FLAGSHIP)]
    return min(own, key=lambda label: len(rows[label][0].get("words", ())), default=None), others


def methods_of(rows: Mapping[str, Sequence[Row]]) -> list[str]:
    """The labels of all methods, the flagship's own settings among them, in the order of the rows."""
    own, others = told_apart(rows)
    return [label for label in rows if label in (own, *others)]


def _seconds(rows: Sequence[Row]) -> float:
    """How long runs have trained, on the average."""
    return statistics.fmean(row["train_seconds"] for row in rows)


def _cell(seeds: Sequence[Cells], name: str) -> str:
    """Mean and spread, the untrained network's mean in brackets."""
    after = values(seeds, name)
    before = [one[name]["untrained"] for one in seeds if name in one]
    return f"{spread(after)} ({100 * statistics.fmean(before):.1f})" if after else ""


def tables(rows: Sequence[Row]) -> Iterator[Told]:
    """Finding, probes and what else runs are good for, one data set after the other."""
    for on in dict.fromkeys(row["on"] for row in rows):
        held = by_label([row for row in rows if row["on"] == on])
        title, figure = TITLES.get(on, on), next(iter(held.values()))[0]["figure"]
        names = [f"{a} → {b}" for a in KINDS.values() for b in KINDS.values() if a != b]
        cells: dict[str, list[Cells]] = {label: [_found(row) for row in seeds] for label, seeds in held.items()}
        names = [name for name in names if any(name in one for seeds in cells.values() for one in seeds)]
        yield Told(f"{title}: finding, {FIGURES[figure]}", names, cells, {"chance": "chance"}, held, _in_time(held))
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


def _in_time(held: Mapping[str, Sequence[Row]]) -> Pairs:
    """Each method and the flagship after as many seconds of training as that of both takes that takes fewer."""
    own, others = told_apart(held)
    found: dict[str, tuple[list[Cells], list[Cells]]] = {}
    for label in others if own else ():
        seconds = min(_seconds(held[label]), _seconds(held[own]))
        theirs, beside = ([_by(row, seconds) for row in held[name]] for name in (label, own))
        found[label] = (theirs, beside)
    return found


def _by(row: Row, seconds: float) -> Cells:
    """The figures after so many seconds of training, or at the end; between the points of its course on lines."""
    times = [point["seconds"] for point in row["course"]]
    return {
        _direction(name): {
            "trained": float(np.interp(seconds, times, [point["directions"][name] for point in row["course"]])),
            "n": row["retrieval"][name]["n"],
        }
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
