"""The rows of results/compare.jsonl as tables: stages beside the published ones, labels, transfer, and what follows."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import published
from rich.console import Console
from rich.table import Table
from seeds import Row, by_label, spread

LABELS = {"linear": "linear", "knn": "kNN", "labels_1": "1 %", "labels_10": "10 %", "tuned": "tuned"}
WORSE = {"blur": "blur", "noise": "noise", "contrast": "contrast"}
PROTOCOLS = {"linear": "linear", "tuned": "fine-tuned"}
PLOTS = Path(__file__).resolve().parent.parent / "results" / "plots"
UNTOLD = {
    "nce": "its bank knows the training pictures alone",
    "moco": "its untrained queue is random, so that the untrained network tells everything apart from it",
    "colorization": "rare colours weigh more in its loss once they are counted, and the untrained network has not",
}
"""method -> why its held-out pretext does not tell how well it is solved"""
NEARLY = 0.01
"""share of a pretext that the untrained network must leave to be solved"""
LEAST = 4
"""methods of which a rank correlation is told at least"""


class Told(NamedTuple):
    """A table: title, columns, lines."""

    title: str
    columns: list[str]
    lines: list[list[str]]


def by_name(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Label -> its seeds, as :func:`order` has them."""
    return dict(sorted(by_label(rows).items(), key=lambda pair: order(pair[1])))


def order(seeds: Sequence[Row]) -> tuple[int, float]:
    """Floors first, what is given labels last, between them the worst best stage first."""
    place = {"random": 0, "rescaled": 1}.get(seeds[0]["name"], 3 if seeds[0]["labels"] else 2)
    return place, mean(seeds, "best") or 0.0


def mean(seeds: Sequence[Row], question: str, who: str = "trained") -> float | None:
    """Mean of a figure over seeds; None where it was not asked."""
    values = [row["figures"][question][who] for row in seeds if question in row["figures"]]
    return statistics.fmean(values) if values else None


def percent(seeds: Sequence[Row], question: str, who: str = "trained") -> str:
    """Mean and standard deviation of a figure over seeds, in percent."""
    return spread([row["figures"][question][who] for row in seeds if question in row["figures"]])


def stages_of(rows: Sequence[Row]) -> list[str]:
    """Names of the stages, the finest first."""
    return sorted({name for row in rows for name in row["figures"] if name.startswith("stage")})


def beats(seeds: Sequence[Row]) -> str:
    """Whether the best stage, chosen on validation pictures, is ahead of the untrained network's: in every seed by more
    than the interval of the gain, or not."""
    if not seeds[0]["learns"]:
        return ""
    gains = [row["figures"]["best"]["gain"] for row in seeds]
    if all(low > 0 for _, low, _ in gains):
        return "yes"
    return "no" if statistics.fmean(value for value, _, _ in gains) <= 0 else "within noise"


def gain(seeds: Sequence[Row]) -> str:
    """Mean gain of the best stage, and the widest ends of the seeds' intervals."""
    if not seeds[0]["learns"]:
        return ""
    gains = [row["figures"]["best"]["gain"] for row in seeds]
    low, high = min(low for _, low, _ in gains), max(high for _, _, high in gains)
    return f"{100 * statistics.fmean(value for value, _, _ in gains):+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def tables(rows: Sequence[Row]) -> Iterator[Told]:
    """All tables of the rows."""
    held, stages = by_name(rows), stages_of(rows)
    own = [[label, *(percent(seeds, name) for name in stages), percent(seeds, "best"), gain(seeds), beats(seeds),
            *_published(seeds[0]["name"]), _runs(seeds)] for label, seeds in held.items()]  # fmt: skip
    beside = [f"{name} (AlexNet, ImageNet)" for name in published.COLUMNS]
    columns = ["", *stages, "best", "best above random (95 %)", "beats random", *beside, "seeds x steps"]
    yield Told("A linear probe of each stage", columns, own)
    asked = {**LABELS, **WORSE}
    lines = [[label, *(percent(seeds, name) for name in asked), spread(solved_of(seeds))] for label, seeds in
             held.items()]  # fmt: skip
    yield Told("Fewer labels, fine-tuning, worse pictures", ["", *asked.values(), "pretext solved"], lines)
    transfers = [name for name in dict.fromkeys(key for row in rows for key in row["figures"]) if "_" in name]
    transfers = [name for name in transfers if name.endswith(("_linear", "_tuned"))]
    lines = [[label, *(percent(seeds, name) for name in transfers)] for label, seeds in held.items()]
    yield Told("Transfer", ["", *(name.replace("_", ", ") for name in transfers)], lines)


def _published(name: str) -> list[str]:
    figures = published.STAGES.get(name, ())
    return [f"{value:.1f}" for value in figures] if figures else [""] * len(published.COLUMNS)


def _runs(seeds: Sequence[Row]) -> str:
    return f"{len(seeds)} x {seeds[0]['steps']:,}"


def solved(row: Row) -> float | None:
    """How well held-out pretext is solved, 0 as the untrained network, 1 wholly; None where no figure tells it, or the
    untrained network leaves nothing to be solved.

    Accuracy or explained variance, from what the untrained network has; else the share of its loss or error that is
    gone.
    """
    if row["name"] in UNTOLD:
        return None
    told, before = row["pretext"].get("trained", {}), row["pretext"].get("untrained", {})
    for name in ("accuracy", "explained"):
        if name in told:
            left = 1 - before[name]
            return float((told[name] - before[name]) / left) if left > NEARLY else None
    for name in ("loss", "error"):
        if name in told and before[name] > 0:
            return float(1 - told[name] / before[name])
    return None


def solved_of(seeds: Sequence[Row]) -> list[float]:
    """:func:`solved` of the seeds that tell it."""
    return [value for value in map(solved, seeds) if value is not None]


def learners(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Label -> seeds of what learns without labels."""
    return {label: seeds for label, seeds in by_name(rows).items() if seeds[0]["learns"] and not seeds[0]["labels"]}


def rank(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's rank correlation, ties sharing their ranks; None of too few pairs, or where all are alike."""
    if len(pairs) < LEAST or any(len(set(axis)) == 1 for axis in zip(*pairs, strict=True)):
        return None
    x = np.array(pairs)  # [N, 2]
    ranks = (x[:, None] > x).sum(1) + ((x[:, None] == x).sum(1) - 1) / 2
    return float(np.corrcoef(ranks.T)[0, 1])


def agreement(rows: Sequence[Row]) -> Told | None:
    """Rank correlation of each of our stages with each published column, over methods in both; None of too few."""
    both = {seeds[0]["name"]: seeds for seeds in by_name(rows).values() if seeds[0]["name"] in published.STAGES}
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
    return Told(f"Spearman's rank correlation over {len(both)} networks in both", ["", *published.COLUMNS], lines)


def conclusions(rows: Sequence[Row], why: Mapping[str, str]) -> Iterator[str]:
    """What the tables say, a paragraph for each question."""
    held = learners(rows)
    behind = {label: verdict for label, seeds in held.items() if (verdict := beats(seeds)) != "yes"}
    if held:
        yield f"{len(held) - len(behind)} of {len(held)} beat their own random initialization on the best stage."
    for label, verdict in behind.items():
        said = why.get(label, why.get(held[label][0]["name"], "why is not known yet."))
        yield f"**{label}** does not beat its random initialization at this budget ({verdict}): {said}"
    yield from _ahead(rows)
    for question, line in (
        ("Does the pretext's accuracy predict the probe?", pretext_pairs(held)),
        ("Is what is learnt better more robust too?", robust_pairs(held)),
    ):
        found = rank(list(line.values()))
        if found is not None:
            yield f"{question} Spearman's rank correlation over {len(line)} methods: {found:+.2f}."
    for name, told in UNTOLD.items():
        if any(seeds[0]["name"] == name for seeds in held.values()):
            yield f"How well **{name}** solves its pretext is not asked: {told}."
    along = [found for seeds in held.values() for row in seeds if (found := course(row)) is not None]
    if along:
        yield (
            "Within a run, pretext and probe at its quarters: rank correlation "
            f"{statistics.fmean(along):+.2f}, mean of {len(along)} runs."
        )


def pretext_pairs(held: Mapping[str, Sequence[Row]]) -> dict[str, tuple[float, float]]:
    """Label -> (pretext solved, linear probe of the best stage)."""
    pairs = {}
    for label, seeds in held.items():
        values, best = solved_of(seeds), mean(seeds, "best")
        if values and best is not None:
            pairs[label] = (statistics.fmean(values), best)
    return pairs


def robust_pairs(held: Mapping[str, Sequence[Row]]) -> dict[str, tuple[float, float]]:
    """Label -> (linear probe on clean pictures, share of it that is left under corruptions, their mean)."""
    pairs = {}
    for label, seeds in held.items():
        clean, worse = mean(seeds, "linear"), [mean(seeds, name) for name in WORSE]
        if clean and all(value is not None for value in worse):
            pairs[label] = (clean, statistics.fmean(value for value in worse if value is not None) / clean)
    return pairs


def path(row: Row) -> list[tuple[float, float]]:
    """(pretext solved, linear probe) at the quarters of one run; [] where the pretext tells nothing."""
    last = {"pretext": row["pretext"].get("trained", {}), "linear": row["figures"]["linear"]["trained"]}
    points = []
    for point in [*row["course"], last]:
        told = solved({**row, "pretext": {**row["pretext"], "trained": point["pretext"]}})
        if told is not None:
            points.append((told, float(point["linear"])))
    return points


def course(row: Row) -> float | None:
    """Rank correlation of pretext and linear probe along one run; None where there is none."""
    return rank(path(row))


def _ahead(rows: Sequence[Row]) -> Iterator[str]:
    """Who is ahead of labels by transfer, and by how much above random; ours and as published."""
    held = by_name(rows)
    labels, random = (next((s for label, s in held.items() if label.startswith(name)), None)
                      for name in ("supervised", "random"))  # fmt: skip
    for protocol, told in PROTOCOLS.items():
        if labels is None or random is None:
            continue
        names = [name for name in labels[0]["figures"] if name.endswith(f"_{protocol}")]
        lead = [f"{label} ({wins} of {len(names)})" for label, seeds in learners(rows).items()
                if (wins := _wins(seeds, labels, names))]  # fmt: skip
        theirs = published.TRANSFER
        wins = sum(a > b for a, b in zip(theirs[protocol, "simclr"], theirs[protocol, "supervised"], strict=True))
        line = f"Transfer, {told}: ahead of labels are {', '.join(lead) or 'none'}"
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


def _wins(seeds: Sequence[Row], labels: Sequence[Row], names: Sequence[str]) -> int:
    return sum((mean(seeds, name) or 0) > (mean(labels, name) or 0) for name in names)


def section(rows: Sequence[Row], note: Mapping[str, Any]) -> Iterator[str]:
    """The lines of RESULTS.md."""
    yield from (f"## {note.get('title', 'Methods of pictures')}", "", f"`{note.get('command', 'compare')}`", "")
    seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in rows}))
    data = ", ".join(sorted({str(row["data"])[:12] for row in rows}))
    spans = [row["train_seconds"] for row in rows if row["learns"]] or [0]
    sets = rows[0]["sets"]
    sizes = "; ".join(f"{name} {one['fitted']:,} fitted, {one['judged']:,} judged" for name, one in sets.items())
    yield f"Seeds {seeds}; training {min(spans)} to {max(spans)} s; data {data}; percent. {sizes}."
    yield ""
    if note.get("text"):
        yield from (str(note["text"]), "")
    found = agreement(rows)
    for told in [*tables(rows), *([found] if found else [])]:
        yield from (f"### {told.title}", "", "| " + " | ".join(told.columns) + " |", "|" + "---|" * len(told.columns))
        yield from ("| " + " | ".join(line) + " |" for line in told.lines)
        yield ""
    for line in conclusions(rows, note.get("why", {})):
        yield from (line, "")
    for name, told in note.get("plots", {}).items():
        if (PLOTS / name).is_file():
            yield from (f"![{told}](results/plots/{name})", "")


def show(console: Console, rows: Sequence[Row]) -> None:
    """Print the tables, without the published figures, in as many parts as the terminal asks for."""
    for told in tables(rows) if rows else ():
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
