"""Does avssl sync find a known offset? GRID clips whose sound is moved, left alone, or taken from another clip.

    python scripts/sync.py --run runs/grid/run --manifest runs/grid/grid.jsonl [--split test] -o runs/sync

Each clip gives three files of 2.4 s, encoded anew: the sound moved by 0.2 to 0.6 s either way (drawn by the seed), the
sound in its place, and the sound of another clip. All are cut out of the middle, so that no edge gives an offset away.
The clip as it was recorded is judged too. What confidence is asked for is chosen on validation clips, for each network.
An interrupted run goes on; a row is added to results/sync.jsonl.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from avssl.cli._counting import counting
from avssl.data.encode import write_clip
from avssl.data.manifest import Manifest, Recording
from avssl.data.media import decode
from avssl.sync import recording as sync
from avssl.sync.asked import Asked, Chosen, stored
from avssl.sync.choosing import choose
from avssl.train.build import Loaded, dump
from avssl.train.checkpoint import load_run, replace_text

ROOT = Path(__file__).resolve().parent.parent
LEAST, MOST = 0.2, 0.6
"""seconds by which sounds are moved"""
SECONDS = 2.4
"""of each file"""
FRAME_SECONDS = 0.04
KINDS = ("shifted", "unshifted", "other", "whole")
Judged = dict[str, Any]


def moves(count: int, seed: int) -> list[float]:
    """Seconds by which each clip's sound is made late (early where negative)."""
    random = np.random.default_rng(seed)
    return [float(random.uniform(LEAST, MOST) * random.choice([-1, 1])) for _ in range(count)]


def cut(path: Path, held: Manifest, one: Recording, other: Recording, late: float) -> None:
    """The picture of one clip with the sound of a clip, which is late by so many seconds."""
    assert one.video is not None
    assert other.audio is not None
    fps, hz = one.video["fps"], other.audio["hz"]
    # both lie inside the recording whatever the offset is
    first, frames = max(round((MOST / 2 + late / 2) * fps), math.ceil(late * fps)), round(SECONDS * fps)
    times = (first + np.arange(frames)) / fps
    seen = decode(held.path_of(one), times=times, size=(one.video["height"], one.video["width"]))
    heard = decode(held.path_of(other), audio=(first / fps - late, frames / fps), hz=hz)
    write_clip(path, iter(seen.video.transpose(0, 2, 3, 1)), fps, np.clip(heard.audio, -1, 1), hz)


def judge(loaded: Loaded, held: Manifest, clips: list[Recording], number: int, late: float, folder: Path) -> Judged:
    """What is found in the files of one clip: kind -> offset (None where there is no evidence) and confidence."""
    one, other = clips[number], clips[(number + 37) % len(clips)]
    made = folder / f"{loaded.step}.mp4"
    result: Judged = {"key": one.key, "late": late}
    for kind in KINDS:
        path = held.path_of(one)
        if kind != "whole":
            cut(made, held, one, other if kind == "other" else one, late if kind == "shifted" else 0.0)
            path = made
        found = sync.synchrony(loaded.method, loaded.inputs, path)
        result[kind] = [found.offset, found.confidence]
    made.unlink()
    return result


def figures(rows: list[Judged], asked: Asked) -> dict[str, float]:
    """Shares and times over all clips of one network."""
    late = np.array([row["late"] for row in rows])
    offsets = {kind: np.array([row[kind][0] if row[kind][0] is not None else np.inf for row in rows]) for kind in KINDS}
    errors = np.abs(offsets["shifted"] - late)
    verdicts = {
        kind: [asked.verdict(*row[kind], sync.TOLERANCE_SECONDS) for row in rows if row[kind][0] is not None]
        for kind in KINDS
    }

    def share(kind: str, *names: str) -> float:
        return sum(verdict in names for verdict in verdicts[kind]) / len(rows)

    return {
        "shifted_within_one_frame": float((errors <= FRAME_SECONDS).mean()),
        "shifted_median_error_seconds": float(np.median(errors)),
        "shifted_flagged_shifted": share("shifted", "shifted"),
        "unshifted_within_one_frame": float((np.abs(offsets["unshifted"]) <= FRAME_SECONDS).mean()),
        "unshifted_flagged_shifted": share("unshifted", "shifted"),
        "unshifted_flagged_dubbed": share("unshifted", "dubbed"),
        "whole_flagged": share("whole", "shifted", "dubbed"),
        "other_flagged_dubbed": share("other", "dubbed"),
        "other_flagged": share("other", "shifted", "dubbed"),
    }


def chance(frame: float = FRAME_SECONDS) -> dict[str, float]:
    """An offset drawn evenly from those that are looked for, in recordings with a frame every so many seconds."""
    drawn = np.linspace(-sync.REACH_SECONDS, sync.REACH_SECONDS, 1001)
    errors = np.abs(drawn[:, None] - np.linspace(LEAST, MOST, 101))
    within = frame / sync.REACH_SECONDS
    return {
        "shifted_within_one_frame": within,
        "shifted_median_error_seconds": float(np.median(errors)),
        "unshifted_within_one_frame": within,
    }


def judged(loaded: Loaded, held: Manifest, clips: list[Recording], args: argparse.Namespace, who: str) -> list[Judged]:
    """All clips by one network; those judged before are read from OUT."""
    path = args.output / f"{who}-{loaded.digest[:12]}-{args.split}-{args.seed}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    columns = TextColumn(who), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(who, total=len(clips), completed=len(rows))
        for number, late in list(enumerate(moves(len(clips), args.seed)))[len(rows) :]:
            rows.append(judge(loaded, held, clips, number, late, args.output))
            replace_text(path, "".join(json.dumps(row) + "\n" for row in rows))
            bar.advance(task)
    return rows


def asked_by(loaded: Loaded, held: Manifest, folder: Path, who: str) -> Chosen:
    """What confidence is asked for, chosen on validation clips or read from OUT."""
    kept = folder / f"{who}-{loaded.digest[:12]}"
    if found := stored(kept, loaded.digest):
        return found
    paths = [held.path_of(one) for one in held.split("val")]
    with counting(f"{who}, validation") as tell:
        found = choose(loaded.method, loaded.inputs, paths, loaded.digest, tell=tell)
    kept.mkdir(exist_ok=True)
    found.save(kept)
    return found


def main() -> None:
    """Files, offsets, figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a run whose method sync can use")
    parser.add_argument("--manifest", type=Path, required=True, help="of GRID, as scripts/grid.py makes it")
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the offsets")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/sync"))
    parser.add_argument("--rows", type=Path, default=ROOT / "results" / "sync.jsonl", help="where the row is added")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    held = Manifest.load(args.manifest)
    clips = list(held.split(args.split))[: args.clips]
    columns: dict[str, dict[str, float]] = {"chance": chance()}
    asked: dict[str, Chosen] = {}
    for who in ("trained", "untrained"):
        loaded = load_run(args.run, trained=who == "trained")
        asked[who] = asked_by(loaded, held, args.output, who)
        columns[who] = figures(judged(loaded, held, clips, args, who), asked[who].asked)
    loaded = load_run(args.run)
    tree = {
        name: {who: values[name] for who, values in columns.items() if name in values} for name in columns["trained"]
    }
    row = {
        "config": "sync", "run": dump(loaded.cfg), "method": loaded.cfg.method.name, "digest": loaded.digest,
        "data": held.digest(), "seed": loaded.cfg.seed, "offsets_seed": args.seed, "steps": loaded.step,
        "split": args.split, "clips": len(clips), "tolerance_seconds": sync.TOLERANCE_SECONDS,
        "asked": {who: asdict(one) for who, one in asked.items()}, "sync": tree,
    }  # fmt: skip
    kept = args.rows.read_text(encoding="utf-8").splitlines() if args.rows.is_file() else []
    if json.dumps(row) not in kept:
        replace_text(args.rows, "\n".join([*kept, json.dumps(row)]) + "\n")
    table = Table(f"{len(clips)} clips of {args.split}", "trained", "untrained", "chance", box=None, pad_edge=False)
    for name, figure in tree.items():
        cells = [f"{figure[who]:.3f}" if who in figure else "" for who in ("trained", "untrained", "chance")]
        table.add_row(name.replace("_", " "), *cells)
    Console().print(table)


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
