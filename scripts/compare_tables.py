"""The rows of results/compare.jsonl as tables: stages beside the published ones, labels, transfer, and what follows."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import compare_figures as figures
import kept
import published
from compare_figures import UNTOLD, WORSE, beats, by_name, gain, learners, mean, percent, rank, solved_of, stages_of
from markdown_table import lines_of
from rich.console import Console
from rich.table import Table
from seeds import Row, spread

from avssl.probe import transfer

LABELS = {"linear": "linear", "knn": "kNN", "labels_1": "1 %", "labels_10": "10 %", "tuned": "tuned"}
PROTOCOLS = {"linear": "linear", "tuned": "fine-tuned"}
TRANSFERRED = ("mnist", "world")
PUBLISHED = "Transfer as published: SimCLR's ResNet-50 (4x)"
PLOTS = Path(__file__).resolve().parent.parent / "results" / "plots"
QUESTIONS = {
    "learns": "Does it beat its own random initialization?",
    "order": "Is the order that of the papers?",
    "transfer": "Does it transfer?",
    "pretext": "Does the pretext's own accuracy predict the probe?",
    "robust": "Is what is learnt better more robust too?",
    "seen": "What do filters and neighbors look like?",
}
TUNED = PLOTS.parent / "transfer.jsonl"
"""rows of ``avssl probe --how transfer``: fine-tuning at rates chosen for each network"""
EDGE = "°"
"""behind a figure whose probe chose a penalty at the end of those tried, in some seed"""


class Told(NamedTuple):
    """A table: title, columns, lines."""

    title: str
    columns: list[str]
    lines: list[list[str]]


def tables(rows: Sequence[Row]) -> Iterator[Told]:
    """All tables of the rows."""
    held, stages = by_name(rows), stages_of(rows)
    own = [[label, *(_edged(seeds, name) for name in stages), percent(seeds, "best"), gain(seeds), beats(seeds),
            *_published(seeds[0]["name"]), _runs(seeds)] for label, seeds in held.items()]  # fmt: skip
    beside = [f"{name} (AlexNet, ImageNet)" for name in published.COLUMNS]
    columns = ["", *stages, "best", "best above random (95 %)", "beats random", *beside, "seeds x steps"]
    yield Told("A linear probe of each stage", columns, own)
    asked = {**LABELS, **WORSE}
    lines = [[label, gain(seeds, "linear"), *(_edged(seeds, name) for name in asked), spread(solved_of(seeds))]
             for label, seeds in held.items()]  # fmt: skip
    columns = ["", "linear above random (95 %)", *asked.values(), "pretext solved"]
    yield Told("The encoder's own vector: fewer labels, fine-tuning, worse pictures", columns, lines)
    transfers = [name for name in dict.fromkeys(key for row in rows for key in row["figures"]) if "_" in name]
    transfers = [name for name in transfers if name.endswith(("_linear", "_tuned"))]
    lines = [[label, *(_edged(seeds, name) for name in transfers)] for label, seeds in held.items()]
    yield Told("Transfer", ["", *(name.replace("_", ", ") for name in transfers)], lines)
    lines = [[PROTOCOLS[protocol], "random initialization" if who == "random" else who, *map(str, values)]
             for (protocol, who), values in published.TRANSFER.items()]  # fmt: skip
    yield Told(PUBLISHED, ["", "", *published.SETS], lines)


def _edged(seeds: Sequence[Row], question: str) -> str:
    """A figure in percent, marked where its penalty was chosen at an edge."""
    chosen = [row["figures"].get(question, {}).get("chosen", {}) for row in seeds]
    return percent(seeds, question) + EDGE * any(one.get("at_edge", False) for one in chosen)


def _published(name: str) -> list[str]:
    figures = published.STAGES.get(name, ())
    return [f"{value:.1f}" for value in figures] if figures else [""] * len(published.COLUMNS)


def _runs(seeds: Sequence[Row]) -> str:
    return f"{len(seeds)} x {seeds[0]['steps']:,}"


def agreement(rows: Sequence[Row]) -> Told | None:
    """Rank correlation of each of our stages with each published column, over what learns without labels and is in
    both: a floor and a ceiling would agree whatever the order between them. None of too few."""
    both = {seeds[0]["name"]: seeds for seeds in learners(rows).values() if seeds[0]["name"] in published.STAGES}
    lines = []
    for stage in stages_of(rows):
        cells = []
        for place in range(len(published.COLUMNS)):
            known = [(mean(seeds, stage), published.STAGES[name][place]) for name, seeds in both.items()]
            found = rank([(ours, theirs) for ours, theirs in known if ours is not None])
            cells.append("" if found is None else f"{found:+.2f}")
        lines.append([stage, *cells])
    if not any(cell for line in lines for cell in line[1:]):
        return None
    return Told(f"Spearman's rank correlation over {len(both)} methods in both", ["", *published.COLUMNS], lines)


def conclusions(rows: Sequence[Row], why: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What the tables say: keys of QUESTIONS with paragraphs."""
    alike = figures.common(rows)
    held = learners(alike)
    behind = {label: verdict for label, seeds in held.items() if (verdict := beats(seeds)) != "yes"}
    if held:
        vector = sum(beats(seeds, "linear") == "yes" for seeds in held.values())
        told = f"{len(held) - len(behind)} of {len(held)} beat their own random initialization on the best stage"
        yield "learns", f"{told}, {vector} of {len(held)} on the encoder's own vector."
    reasons: dict[str, list[str]] = {}
    for label, verdict in behind.items():
        said = why.get(label, why.get(held[label][0]["name"], why.get("others", "why is not known yet.")))
        after = "".join(
            f"; after {steps:,} steps: {beats(seeds)}, {gain(seeds)}"
            for steps, seeds in figures.longer(rows, held[label]).items()
        )
        reasons.setdefault(said, []).append(f"**{label}** ({verdict}{after})")
    for said, names in reasons.items():
        verb = "does" if len(names) == 1 else "do"
        told = f"On the best stage {', '.join(names)} {verb} not beat random initialization at this budget: {said}"
        yield "learns", told
    yield from (("transfer", line) for line in _ahead(alike))
    for topic, line in (("pretext", figures.pretext_pairs(held)), ("robust", figures.robust_pairs(held))):
        found = rank(list(line.values()))
        if found is not None:
            low, high = figures.rank_interval(found, len(line))
            told = f"{found:+.2f} (95 % {low:+.2f} to {high:+.2f})"
            yield topic, f"Spearman's rank correlation over {len(line)} methods: {told}."
    for name, told in UNTOLD.items():
        if any(seeds[0]["name"].partition("-")[0] == name for seeds in held.values()):
            yield "pretext", f"How well **{name}** solves its pretext is not asked: {told}."
    along = [found for seeds in held.values() for row in seeds if (found := figures.course(row)) is not None]
    if along:
        told = f"{statistics.fmean(along):+.2f}, mean of {len(along)} runs"
        yield "pretext", f"Within a run, pretext and probe at its quarters: rank correlation {told}."


def _ahead(rows: Sequence[Row]) -> Iterator[str]:
    """Who is ahead of labels by transfer, and by how much above random; ours and as published."""
    held = by_name(rows)
    labels, random = (next((s for label, s in held.items() if label.startswith(name)), None)
                      for name in ("supervised", "random"))  # fmt: skip
    for protocol, told in PROTOCOLS.items():
        if labels is None or random is None:
            continue
        names = [name for name in labels[0]["figures"] if name.endswith(f"_{protocol}")]
        found = {label: figures.wins(seeds, labels, names) for label, seeds in learners(rows).items()}
        lead = [f"{label} ({some} of {len(names)}, {sure} surely)" for label, (some, sure) in found.items() if some]
        theirs = published.TRANSFER
        wins = sum(a > b for a, b in zip(theirs[protocol, "simclr"], theirs[protocol, "supervised"], strict=True))
        rate = " at one rate" if protocol == "tuned" else ""
        line = f"Transfer, {told}{rate}: ahead of labels are {', '.join(lead) or 'none'}"
        line += f" (published: SimCLR on {wins} of {len(published.SETS)})."
        own = next((seeds for label, seeds in learners(rows).items() if label.startswith("simclr")), None)
        if own is not None:
            gains = {name: (mean(own, name) or 0) - (mean(random, name) or 0) for name in names}
            gaps = ", ".join(f"{name.split('_')[0]} {100 * value:+.1f}" for name, value in gains.items())
            line += f" SimCLR above random initialization: {gaps}"
            if (protocol, "random") in theirs:
                pairs = zip(theirs[protocol, "simclr"], theirs[protocol, "random"], strict=True)
                above = [a - b for a, b in pairs]
                line += f" (published: {min(above):+.1f} to {max(above):+.1f})"
            line += "."
        yield line


def section(rows: Sequence[Row], note: Mapping[str, Any]) -> Iterator[str]:
    """The lines of RESULTS.md."""
    yield from (f"## {note.get('title', 'Methods of pictures')}", "", f"`{note.get('command', 'compare')}`", "")
    seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in rows}))
    data = ", ".join(sorted({str(row["data"])[:12] for row in rows}))
    spans = [row["train_seconds"] for row in rows if row["learns"]] or [0]
    sets = rows[0]["sets"]
    sizes = "; ".join(f"{name} {one['fitted']:,} fitted, {one['judged']:,} judged" for name, one in sets.items())
    yield f"Seeds {seeds}; training {min(spans)} to {max(spans)} s; data {data}; percent. {sizes}."
    halves = [(name, (one["interval"][1] - one["interval"][0]) / 2) for row in rows
              for name, one in row["figures"].items()]  # fmt: skip
    main = max(value for name, value in halves if not name.startswith(TRANSFERRED))
    told = f"±{100 * main:.1f} on CIFAR-10, ±{100 * max(value for _, value in halves):.1f} at most"
    yield (
        f"A figure of one seed is known to within {told} (Wilson, 95 %), as far as other test pictures go; another "
        "training, and for a share of the labels another draw of them, would change it too. Behind "
        f"a figure with {EDGE} stands a penalty at the end of those tried."
    )
    yield ""
    if note.get("text"):
        yield from (str(note["text"]), "")
    found = agreement(figures.common(rows))
    for told in [*tables(rows), *([found] if found else [])]:
        yield from (f"### {told.title}", "", *lines_of(told.columns, told.lines), "")
    yield from _answers(rows, note)


def _answers(rows: Sequence[Row], note: Mapping[str, Any]) -> Iterator[str]:
    """Question for question: what is to be said of it, what the rows say themselves, and its plot."""
    counted = list(conclusions(rows, note.get("why", {})))
    for topic, question in QUESTIONS.items():
        said = note.get("answers", {}).get(topic, {})
        lines = [*filter(None, [said.get("text")]), *(line for key, line in counted if key == topic)]
        lines += list(_tuned()) if topic == "transfer" else []
        lines += [f"![{told}](results/plots/{name})" for name, told in said.get("plots", {}).items()
                  if (PLOTS / name).is_file()]  # fmt: skip
        if lines:
            yield from (f"### {question}", "")
        for line in lines:
            yield from (line, "")


def _tuned() -> Iterator[str]:
    """SimCLR's table for few networks, by rates chosen for each; nothing without its rows."""
    held = kept.rows_of(TUNED)
    if held:
        yield "\n".join(lines_of(*transfer.table(held)))
        yield "; ".join(transfer.summary(held)) + "."


def show(console: Console, rows: Sequence[Row]) -> None:
    """Print the tables, without the published figures, in as many parts as the terminal asks for."""
    for told in [one for one in tables(rows) if one.title != PUBLISHED] if rows else ():
        kept = [place for place, name in enumerate(told.columns) if "AlexNet" not in name]
        grid = [[line[place] for place in kept] for line in [told.columns, *told.lines]]
        widths = [2 + max(map(len, column)) for column in zip(*grid, strict=True)]
        parts: list[list[int]] = [[]]
        for place in range(1, len(kept)):
            if parts[-1] and widths[0] + sum(widths[k] for k in parts[-1]) + widths[place] > console.width:
                parts.append([])
            parts[-1].append(place)
        for part in parts:
            columns = [grid[0][place] for place in part]
            table = Table("", *columns, title=told.title, box=None, pad_edge=False, title_justify="left")
            for line in grid[1:]:
                table.add_row(line[0], *(line[place] for place in part))
            console.print(table)
            console.print("")
