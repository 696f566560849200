"""Are two streams with a shared clock found by each other? Picture and depth, two cameras, two ears, face and voice.

    python scripts/streams.py [key=value ...] [-o runs/streams] [--only depth stereo] [--seeds 0 1 2]

Picture and depth, picture and infrared, left and right ear are of one made-up world with these sensors; face and voice
are GRID's talker 1 (Cooke, Barker, Cunningham, Shao, 2006; DATA/grid), whose face is one part of every picture, split
as in scripts/grid.py. Each pair is learnt by its shipped config of paired_contrast and judged by `avssl evaluate` on
held-out recordings: one window each, the other stream's window of the same recording being the right one. What is done
is not done again, so an interrupted comparison goes on. A row per run is added to results/streams.jsonl.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import grid
import kept
from rich.console import Console
from rich.table import Table

from avssl import cli
from avssl.config import load
from avssl.data.manifest import Manifest
from avssl.data.world import SENSORS
from avssl.evaluation import evaluate
from avssl.methods.base import config_of
from avssl.train.build import dump
from avssl.train.checkpoint import load_run

ROOT = Path(__file__).resolve().parent.parent
PAIRS = {
    "depth": "paired_contrast", "infrared": "paired_contrast_infrared", "stereo": "paired_contrast_stereo",
    "face": "paired_contrast_face",
}  # fmt: skip
"""name -> the config that learns it"""
FACE = (0.26, 0.45, 0.7, 0.95)
"""where the talker's mouth and chin are in every picture: left, top, right, bottom as shares"""
FIGURES = ("r1", "r5", "r10", "medr", "n")


def command(*words: str | Path) -> None:
    """A command of avssl; one that fails ends the script with its exit code."""
    code = cli.run([str(word) for word in words])
    if code:
        sys.exit(code)


def made_world(out: Path, clips: int) -> Path:
    """The world's manifest, made once."""
    listed, world = out / f"world-{clips}.jsonl", out / f"world-{clips}"
    if not listed.is_file():
        command("world", "-o", world, "--clips", str(clips), *(f"--{name}" for name in SENSORS))
        command(
            "manifest", world / "videos", "-o", listed, "--labels", world / "labels.tsv",
            "--stream", "depth,range=0:8000", "--stream", "infrared",
        )  # fmt: skip
    return listed


def talker(out: Path, data: Path) -> Path:
    """GRID's manifest with the face as a stream. Raises ValueError where the corpus is not there."""
    path = out / "talker.jsonl"
    held = Manifest.load(grid.listed(data / "grid", out))
    face = {"face": {"kind": "picture", "crop": list(FACE)}}
    replace(held, recordings=tuple(replace(one, streams=face) for one in held.recordings)).save(path)
    return path


def row(out: Path, listed: Path, pair: str, seed: int, changes: list[str]) -> dict[str, Any]:
    """Train one pair with one seed, or go on, and judge it."""
    run = out / f"{pair}-{seed}"
    command("train", PAIRS[pair], f"data={listed}", f"seed={seed}", *changes, "-o", run)
    judged = evaluate(run, Manifest.load(listed))
    cfg = load_run(run).cfg
    across = {name: one for name, one in judged["retrieval"].items() if len(set(name.split("_to_"))) > 1}
    return {
        "config": "streams", "run": dump(cfg), "pair": pair, "changes": changes,
        "digest": judged["digest"],
        "data": judged["manifest_digest"], "seed": seed, "steps": cfg.steps, "split": judged["split"],
        "overrides": changes, "train_seconds": round(kept.trained(run)), "recordings": judged["recordings"],
        "retrieval": {name: {key: one[key] for key in FIGURES} for name, one in across.items()},
    }  # fmt: skip


def show(rows: list[dict[str, Any]]) -> None:
    """Recall at 1 of every direction of every run."""
    table = Table("pair", "seed", "R@1 of", "trained", "untrained", "chance", "recordings", box=None)
    for one in rows:
        for direction, figures in one["retrieval"].items():
            values = (f"{figures['r1'][who]:.3f}" for who in ("trained", "untrained", "chance"))
            told = direction.replace("_to_", " to ")
            table.add_row(one["pair"], str(one["seed"]), told, *values, str(one["recordings"]))
    Console().print(table)


def main() -> None:
    """Every pair and seed that has no row yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/streams"))
    parser.add_argument("--only", nargs="+", default=list(PAIRS), choices=list(PAIRS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--clips", type=int, default=1500, help="of the made-up world")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("AVSSL_DATA", "../shared/data")))
    parser.add_argument("--rows", type=Path, default=ROOT / "results" / "streams.jsonl", help="where rows are added")
    args, changes = parser.parse_known_args()
    out: Path = args.output
    out.mkdir(parents=True, exist_ok=True)
    rows = kept.rows_of(args.rows)
    if "face" in args.only and not (args.data / "grid").is_dir():
        print(f"{args.data / 'grid'}: not there, so face and voice are passed over; see --data", file=sys.stderr)
        args.only.remove("face")
    for seed in args.seeds:
        for pair in args.only:
            listed = talker(out, args.data) if pair == "face" else made_world(out, args.clips)
            wanted = {"pair": pair, "seed": seed, "changes": changes, "data": Manifest.load(listed).digest()}
            cfg = load(PAIRS[pair], [f"data={listed}", *changes], config_of)
            if any(wanted.items() <= one.items() and kept.of_today(one, cfg) for one in rows):
                continue
            rows.append(row(out, listed, pair, seed, changes))
            kept.keep(args.rows, rows)
    show([one for one in rows if one["pair"] in args.only])


if __name__ == "__main__":
    kept.start(main)
