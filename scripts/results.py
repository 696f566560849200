"""RESULTS.md, made from the rows in results/*.jsonl.

python scripts/results.py            # writes RESULTS.md
python scripts/results.py --check    # says whether RESULTS.md is what the rows make, exit code 1 if not
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import audiovisual_tables
import compare_tables
import localizer_tables

from avssl.train.checkpoint import replace_text

ROOT = Path(__file__).resolve().parent.parent
TABLES = {"localizers": localizer_tables, "compare": compare_tables, "audiovisual": audiovisual_tables}
"""config of rows -> what makes their section"""
TARGETS = ROOT / "results" / "targets.json"
COLUMNS = ("trained", "untrained", "chance", "center", "average", "whole", "random", "oracle")
Row = dict[str, Any]


def rows() -> Iterator[Row]:
    """Every row of every experiment."""
    for path in sorted((ROOT / "results").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, dict[str, float]]]:
    """Dotted name -> figure with its columns, for every figure in a row."""
    if isinstance(tree, dict):
        if "trained" in tree and not isinstance(tree["trained"], dict):
            yield prefix, tree
        else:
            for name, value in tree.items():
                yield from leaves(value, f"{prefix}.{name}" if prefix else name)


def spread(values: list[float]) -> str:
    """Mean, and standard deviation over seeds where there are several."""
    mean = statistics.fmean(values)
    form = "{:.1f}" if max(abs(value) for value in values) > 2 else "{:.3f}"
    if len(values) == 1:
        return form.format(mean)
    return f"{form.format(mean)} ± {form.format(statistics.stdev(values))}"


def group(held: list[Row], note: dict[str, Any]) -> Iterator[str]:
    """One experiment's section: command, seeds, a line per figure."""
    first = held[0]
    seeds = ", ".join(sorted({str(row["seed"]) for row in held}))
    yield f"`{note.get('command', first['config'])}`"
    yield ""
    steps = first["steps"] if isinstance(first["steps"], str) else f"{first['steps']} steps"
    told = f"Seeds {seeds}; {steps}; split {first['split']}; data {str(first['data'])[:12]}"
    seconds = [row["train_seconds"] for row in held if "train_seconds" in row]
    if seconds:
        told += f"; training {spread(seconds)} s"
    yield told + f"; checkpoints {', '.join(str(row['digest'])[:12] for row in held)}."
    yield ""
    if note.get("text"):
        yield from (note["text"], "")
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in held:
        for name, columns in leaves(row):
            for column in COLUMNS:
                if column in columns:
                    figures[name][column].append(float(columns[column]))
    shown = [column for column in COLUMNS if any(column in columns for columns in figures.values())]
    # Over seeds there is the deviation instead.
    sure = dict(leaves(first)) if len(held) == 1 else {}
    intervals = {name: f"{told['low']:.3f} .. {told['high']:.3f}" for name, told in sure.items() if "low" in told}
    titles = [f"{column} | 95 %" if column == "trained" and intervals else column for column in shown]
    yield "| figure | " + " | ".join(titles) + " | target |"
    yield "|" + "---|" * (len(shown) + 2 + bool(intervals))
    for name, columns in figures.items():
        if any(name.endswith(ending) for ending in note.get("hide", [])):
            continue
        cells = [spread(columns[column]) if column in columns else "" for column in shown]
        if intervals:
            cells.insert(shown.index("trained") + 1, intervals.get(name, ""))
        yield f"| {name} | " + " | ".join(cells) + f" | {note.get('targets', {}).get(name, '')} |"
    yield ""


def benchmark(row: Row, note: dict[str, Any]) -> Iterator[str]:
    """One benchmark's section: what was measured on which machine, a line per figure with its quartiles."""
    yield f"## {note['title']}: {row['size']:,} x {row['width']}, {row['vectors']}"
    yield ""
    yield f"`{note['command']}`"
    yield ""
    told = f"{row['date']}; {row['machine']}; load average {row['load'][0]} before and {row['load'][1]} after."
    yield from (told + " " + note["text"], "", "| figure | median | quartiles | target |", "|---|---|---|---|")
    for name, figure in row["figures"].items():
        middle, low, high = (f"{figure[which]:.4g}" for which in ("value", "low", "high"))
        spread = "" if low == high else f"{low} .. {high}"
        yield f"| {name} | {middle} {figure['unit']} | {spread} | {figure['target']} |"
    yield ""


def page() -> str:
    """The whole of RESULTS.md."""
    notes = json.loads(TARGETS.read_text(encoding="utf-8"))
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    measured: list[Row] = []
    tabled: dict[str, list[Row]] = defaultdict(list)
    for row in rows():
        if "probe" in row:  # tables of their own: avssl probe
            continue
        if "benchmark" in row:
            measured.append(row)
            continue
        if row["config"] in TABLES:
            tabled[row["config"]].append(row)
            continue
        groups[(row["config"], str(row["steps"]), str(row["split"]), json.dumps(row.get("overrides", [])))].append(row)
    lines = [
        "# Results",
        "",
        "Made by `python scripts/results.py` from the rows in `results/*.jsonl`. Mean ± standard deviation over seeds.",
        "Figures are fractions, but for `medr`, the median rank from 1. Beside each: the same network untrained,",
        "chance (or, for localization, a disc in the centre and the best that the rule allows).",
        "",
        *notes["machine"],
        "",
    ]
    said: set[str] = set()
    # what was judged on validation clips are the trials that chose settings: after the results
    for key, held in sorted(groups.items(), key=lambda pair: pair[0][2] == "val"):
        note = notes["experiments"].get(key[0], {})
        trial = f"Trial ({key[1]} steps, validation clips): " if key[2] == "val" else ""
        lines += [f"## {trial}{note.get('title', key[0])}{'' if key[3] == '[]' else ' with ' + key[3]}", ""]
        # what is said of an experiment stands above its first table
        lines += group(sorted(held, key=lambda row: row["seed"]), {**note, "text": ""} if key[0] in said else note)
        said.add(key[0])
    for name, own in tabled.items():
        lines += TABLES[name].section(own, notes["experiments"].get(name, {}))
    for row in measured:
        lines += benchmark(row, notes["experiments"][row["benchmark"]])
    lines += notes["closing"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    path = ROOT / "RESULTS.md"
    if args.check:
        same = path.is_file() and path.read_text(encoding="utf-8") == page()
        sys.exit(0 if same else "RESULTS.md is not what the rows make: python scripts/results.py")
    replace_text(path, page())
    print(path)


if __name__ == "__main__":
    main()
