"""What is learnt from recordings of which a third lack sound and a third lack words?

    python scripts/lacking.py [key=value ...] [-o runs/lacking] [--config demo] [--clips 1500] [--seeds 0 1 2]

Of the made-up world's training recordings every third has its sound taken out of the file, and every third loses its
narration. A run learns from these, one from all recordings as they were (`whole`), and one from the third that has
everything (`complete`), which is what is left where incomplete recordings are thrown away. All are judged on the same
held-out recordings, which lack nothing. What is done is not done again, so an interrupted comparison goes on. A row
per run is added to results/lacking.jsonl.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

import av
import kept
from rich.console import Console
from rich.progress import track
from rich.table import Table
from streams import command

from avssl.config import load
from avssl.data.manifest import Manifest
from avssl.evaluation import evaluate
from avssl.methods.base import config_of
from avssl.train.build import dump
from avssl.train.checkpoint import load_run

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("whole", "lacking", "complete")
FIGURES = ("ndcg10", "r1")


def silenced(path: Path, out: Path) -> None:
    """The film without its sound, its pictures packet by packet as they were."""
    with av.open(str(path)) as source, av.open(str(out), "w") as made:
        pictures = source.streams.video[0]
        stream = made.add_stream_from_template(pictures)
        for packet in source.demux(pictures):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)


def made_folder(videos: Path, out: Path, which: str) -> None:
    """The world's videos as ``which`` has them, made once; what lacks nothing is the same file."""
    if out.is_dir():
        return
    partial = out.with_name(f".{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    for number, path in enumerate(track(sorted(videos.rglob("*.mp4")), which)):
        copy = partial / path.relative_to(videos)
        copy.parent.mkdir(parents=True, exist_ok=True)
        lacks = ("sound", "words", "")[number % 3] if path.parent.name == "train" and which != "whole" else ""
        if lacks and which == "complete":
            continue
        if lacks == "sound":
            silenced(path, copy)
        else:
            os.link(path, copy)
        if lacks != "words" and path.with_suffix(".vtt").is_file():
            os.link(path.with_suffix(".vtt"), copy.with_suffix(".vtt"))
    os.replace(partial, out)


def listed(out: Path, which: str, clips: int) -> Path:
    """The manifest of one folder, made once."""
    world, path = out / f"world-{clips}", out / f"{which}-{clips}.jsonl"
    if not (world / "labels.tsv").is_file():
        command("world", "-o", world, "--clips", str(clips))
    if not path.is_file():
        made_folder(world / "videos", out / f"{which}-{clips}", which)
        command("manifest", out / f"{which}-{clips}", "-o", path, "--labels", world / "labels.tsv")
    return path


def row(out: Path, path: Path, judged_on: Path, which: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train on one folder with one seed, or go on, and judge it on the held-out recordings of the whole world."""
    run = out / f"{which}-{args.clips}-{args.config}-{seed}"
    command("train", args.config, f"data={path}", f"seed={seed}", *args.changes, "-o", run)
    judged = evaluate(run, Manifest.load(judged_on))
    cfg = load_run(run).cfg
    across = {name: one for name, one in judged["retrieval"].items() if len(set(name.split("_to_"))) > 1}
    return {
        "config": "lacking", "run": dump(cfg), "overrides": [which, *args.changes], "digest": judged["digest"],
        "data": judged["manifest_digest"], "seed": seed, "steps": cfg.steps, "split": judged["split"],
        "train_seconds": round(kept.trained(run)),
        "recordings": len(Manifest.load(path).split("train")),
        "retrieval": {name: {key: one[key] for key in FIGURES} for name, one in across.items()},
    }  # fmt: skip


def show(rows: list[dict[str, Any]]) -> None:
    """nDCG@10 by kind of every direction of every run."""
    table = Table("learnt from", "seed", "recordings", "nDCG@10 of", "trained", "untrained", "chance", box=None)
    for one in rows:
        for direction, figures in one["retrieval"].items():
            values = (f"{figures['ndcg10'][who]:.3f}" for who in ("trained", "untrained", "chance"))
            told = direction.replace("_to_", " to ")
            table.add_row(one["overrides"][0], str(one["seed"]), str(one["recordings"]), told, *values)
    Console().print(table)


def main() -> None:
    """Every folder and seed that has no row yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/lacking"))
    parser.add_argument("--config", default="demo", help="of a method that takes recordings as they are")
    parser.add_argument("--clips", type=int, default=1500, help="of the made-up world")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(FOLDERS), choices=FOLDERS)
    parser.add_argument("--rows", type=Path, default=ROOT / "results" / "lacking.jsonl", help="where rows are added")
    args, args.changes = parser.parse_known_args()
    out: Path = args.output
    out.mkdir(parents=True, exist_ok=True)
    rows = kept.rows_of(args.rows)
    whole = listed(out, "whole", args.clips)
    for seed in args.seeds:
        for which in args.only:
            path = listed(out, which, args.clips)
            cfg = load(args.config, [f"data={path}", *args.changes], config_of)
            wanted = {"overrides": [which, *args.changes], "seed": seed}
            if any(wanted.items() <= one.items() and kept.of_today(one, cfg) for one in rows):
                continue
            rows.append(row(out, path, whole, which, seed, args))
            kept.keep(args.rows, rows)
    show(rows)


if __name__ == "__main__":
    kept.start(main)
