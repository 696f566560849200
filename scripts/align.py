"""Does `avssl align` put narration right? Measured against truth, on the made-up world and on GRID.

    python scripts/align.py runs/grid/run runs/grid/grid.jsonl [--split test]
    python scripts/align.py runs/demo/run runs/demo/world.jsonl --truth runs/demo/world/truth.jsonl \\
        --window 0.24 --hop 0.04 --at begin --weight 0.4

With --truth, the world's own narration is judged: it lags what it is about, and a quarter of it is about nothing
visible and should be dropped. Without, every sentence is said to be right and is then spoiled: moved at random (a
normal distribution of half a second, or --jitter), its words misheard (8 %), and a third of the recordings get a
sentence of another one. It is then put right: with the times of words, if there are any, without, and with times
that words share (avssl align --share).
What is done is not done again; rows are added to results/align.jsonl.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import kept
import numpy as np
from rich.console import Console
from rich.table import Table

from avssl.cli._counting import counting
from avssl.data.manifest import Manifest, Recording
from avssl.data.narration import Phrase
from avssl.data.world.narration import NAMES, SOUNDING
from avssl.embedding import Embedder, chatter
from avssl.embedding.alignment import Aligner, Rule, moved, without
from avssl.train.build import dump
from avssl.train.checkpoint import load_run

ROOT = Path(__file__).resolve().parent.parent
JITTER_SECONDS = 0.5
ERROR_RATE = 0.08
FOREIGN_SHARE = 1 / 3
CLOSE_SECONDS = 0.1
SHARED = "no_times_but_shared"


class Said(NamedTuple):
    """A sentence as narration has it, and the truth: the seconds by which it should move, or None if it is foreign.

    ``named``: whether its words still name what it is about; where they were misheard, nobody can tell it from a
    foreign one.
    """

    phrase: Phrase
    right: float | None
    named: bool = True


def spoiled(
    recordings: list[Recording], words: list[str], seed: int, jitter: float = JITTER_SECONDS
) -> dict[str, list[Said]]:
    """Recording -> its sentences late or early, with wrong words, and foreign ones among them."""
    found = {}
    for number, recording in enumerate(recordings):
        rng = np.random.default_rng([seed, number])
        said = [_late(phrase, recording.seconds, words, rng, jitter) for phrase in recording.narration]
        if rng.random() < FOREIGN_SHARE:
            others = [one for one in recordings if one.narration and texts(one).isdisjoint(texts(recording))]
            borrowed = others[int(rng.integers(len(others)))].narration[0]
            said.append(_late(borrowed, recording.seconds, words, rng, jitter)._replace(right=None))
        found[recording.key] = said
    return found


def texts(recording: Recording) -> set[str]:
    """What is said in it."""
    return {phrase.text for phrase in recording.narration}


def _late(phrase: Phrase, seconds: float, words: list[str], rng: np.random.Generator, jitter: float) -> Said:
    length = phrase.end - phrase.start
    start = float(np.clip(phrase.start + rng.normal(0, jitter), 0, max(0.0, seconds - length)))
    shift = round(start - phrase.start, 3)
    later = moved(phrase, shift, seconds)
    heard = tuple((a, b, str(rng.choice(words)) if rng.random() < ERROR_RATE else word) for a, b, word in later.words)
    text = " ".join(word for *_, word in heard) or phrase.text
    return Said(Phrase(later.start, later.end, text, heard), -shift)


def of_world(recordings: list[Recording], truth: Path) -> dict[str, list[Said]]:
    """Recording -> its sentences as they are, with the moments that they are about from the world's truth."""
    with open(truth, encoding="utf-8") as file:
        known = {str(one["id"]): one["narration"] for one in map(json.loads, file)}
    found = {}
    for recording in recordings:
        rows = known[Path(recording.path).stem]
        said = []
        for phrase in recording.narration:
            own = [row for row in rows if row["text"] == phrase.text and abs(row["start"] - phrase.start) < 0.002]
            if own:  # cues that were joined because they say the same have no one moment
                kind = own[0]["kind"]
                right = own[0]["true_time"] - phrase.middle if kind else None
                words = set(phrase.text.split())
                said.append(Said(phrase, right, not kind or not words.isdisjoint((*NAMES[kind], SOUNDING[kind]))))
        found[recording.key] = said
    return found


def readable(said: dict[str, list[Said]]) -> float:
    """Precision of a reader who drops just what names nothing that is in its recording: no rule knows more."""
    lost = [row.right is None for rows in said.values() for row in rows if row.right is None or not row.named]
    return float(np.mean(lost)) if lost else 1.0


def judged(aligner: Aligner, said: dict[str, list[Said]], most: float | None = None) -> dict[str, float]:
    """Figures of one network; times in seconds. Of kept sentences but for ``median_error_of_all``, where a dropped one
    stays as far off as it was. Beside what the aligner's rule drops goes what is chatter with a probability of
    ``most``."""
    before, after, left, dropped, foreign = [], [], [], [], []
    with counting("sentences of recordings") as tell:
        found = {recording.key: placed for recording, placed in aligner.place(tell)}
    if most is not None:
        found = without(chatter.told(found), lambda one: one.chatter >= most)
    for name, placed in found.items():
        for one, (_, right, _) in zip(placed, said[name], strict=True):
            dropped.append(one.after is None)
            foreign.append(right is None)
            if right is not None:
                left.append(abs(right if one.after is None else one.shift - right))
            if right is not None and one.after is not None:
                before.append(abs(right))
                after.append(abs(one.shift - right))
    gone, wrong = np.array(dropped), np.array(foreign)
    raw = [abs(right) for rows in said.values() for _, right, _ in rows if right is not None]
    return {
        "median_before": float(np.median(raw)), "median_error": float(np.median(after)),
        "median_error_of_all": float(np.median(left)),
        "mean_before": float(np.mean(raw)), "mean_error": float(np.mean(after)),
        "close": float(np.mean(np.array(after) <= CLOSE_SECONDS + 1e-9)),
        "close_before": float(np.mean(np.array(raw) <= CLOSE_SECONDS + 1e-9)),
        "median_before_of_kept": float(np.median(before)),
        "drop_precision": float((gone & wrong).sum() / max(1, gone.sum())),
        "drop_recall": float((gone & wrong).sum() / max(1, wrong.sum())),
        "sentences": len(gone), "foreign": float(wrong.mean()), "dropped": float(gone.mean()),
    }  # fmt: skip


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """The row of one run."""
    held = Manifest.load(args.manifest)
    recordings = [one for one in held.split(args.split) if one.narration]
    if args.truth:
        said = of_world(recordings, args.truth)
    else:
        words = sorted(
            {word for one in held.split("train") for phrase in one.narration for word in phrase.text.split()}
        )
        said = spoiled(recordings, words, args.seed, args.jitter)
    told = {"told": said}
    if any(row.phrase.words for rows in said.values() for row in rows):
        bare = {name: [Said(replace(row.phrase, words=()), row.right) for row in rows] for name, rows in said.items()}
        told = {"timed_words": said, "no_times_of_words": bare, SHARED: bare}
    rule = Rule(weight=args.weight, standing=args.standing, at=args.at)
    rules = {SHARED: replace(rule, share=True)}
    figures: dict[str, Any] = {name: {} for name in told}
    for who in ("trained", "untrained"):
        loaded = load_run(args.run, trained=who == "trained")
        embedder = Embedder(loaded.method, loaded.inputs, args.window)
        with counting("recordings") as tell:
            spoken_of = replace(held, recordings=tuple(recordings))
            aligner = Aligner(embedder, spoken_of, rule, hop_seconds=args.hop, progress=tell)
        for name, rows_of in told.items():
            spoken = [replace(one, narration=tuple(row.phrase for row in rows_of[one.key])) for one in recordings]
            for figure, value in judged(aligner.saying(spoken, rules.get(name)), rows_of, args.chatter).items():
                figures[name].setdefault(figure, {})[who] = value
    if args.truth:
        figures["told"]["drop_precision"]["oracle"] = readable(said)
    loaded = load_run(args.run)
    return {
        **key(args, loaded.digest), "run": dump(loaded.cfg), "data": held.digest(),
        "seed": loaded.cfg.seed, "steps": loaded.step, "method": loaded.cfg.method.name, "rule": asdict(rule),
        "align": figures,
    }  # fmt: skip


def key(args: argparse.Namespace, digest: str) -> dict[str, Any]:
    """What tells one measurement from another."""
    of = "world" if args.truth else "grid"
    overrides = [f"window={args.window}", f"at={args.at}", f"weight={args.weight}", f"standing={args.standing}"]
    overrides += [f"hop={args.hop}"] if args.hop else []
    overrides += [f"chatter={args.chatter}"]
    overrides += [f"jitter={args.jitter}"] if args.jitter != JITTER_SECONDS else []
    return {
        "config": f"align_{of}", "digest": digest, "split": args.split, "spoiled": args.seed, "overrides": overrides,
    }  # fmt: skip


def show(rows: Iterator[dict[str, Any]]) -> None:
    """A table of all rows."""
    names = ("median_before", "median_error", "mean_error", "close", "drop_precision", "drop_recall")
    table = Table("", "split", "with", "who", *(name.replace("_", " ") for name in names), box=None)
    for one in rows:
        for told, figures in one["align"].items():
            for who in ("trained", "untrained"):
                cells = (f"{figures[name][who]:.3f}" for name in names)
                lead = (f"{one['config']}, {told}", one["split"], " ".join(one["overrides"]))
                table.add_row(*(lead if who == "trained" else ("", "", "")), who, *cells)
    Console(width=200).print(table)


def main() -> None:
    """One run's row, unless it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--truth", type=Path, help="truth.jsonl of a made-up world")
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--window", type=float, help="seconds; the run's own unless given")
    parser.add_argument("--hop", type=float, help="seconds between windows; as avssl align has it unless given")
    parser.add_argument("--at", default="middle", choices=("middle", "begin"))
    parser.add_argument("--weight", type=float, default=Rule.weight)
    parser.add_argument("--standing", type=float, default=Rule.standing)
    parser.add_argument("--chatter", type=float, default=0.9, help="probability with which chatter is dropped")
    parser.add_argument("--jitter", type=float, default=JITTER_SECONDS, help="seconds by which sentences are moved")
    parser.add_argument("--seed", type=int, default=0, help="of how narration is spoiled")
    parser.add_argument("--rows", type=Path, default=ROOT / "results" / "align.jsonl", help="where the row is added")
    args = parser.parse_args()
    rows = kept.rows_of(args.rows)
    wanted = key(args, load_run(args.run).digest)
    if not any(wanted.items() <= one.items() for one in rows):
        rows.append(measured(args))
        kept.keep(args.rows, rows)
    show(iter([one for one in rows if one["config"] == wanted["config"]]))


if __name__ == "__main__":
    kept.start(main)
