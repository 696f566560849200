"""One talker, real recordings: which sound belongs to which lips, which sentence was said, which of two heads speaks.

    python scripts/grid.py --data GRID [--minutes 15] [--seed 0] -o runs/grid

GRID is the GRID corpus (Cooke, Barker, Cunningham, Shao, 2006), talker 1: GRID/video/*.mp4, GRID/align/*.align,
GRID/labels.tsv. By clip name in sorted order, every eighth clip (7, 15, ...) is test, the one before it validation.
The network sees whole frames: nobody tells it where the mouth is. An interrupted run goes on. Figures are in
OUT/results.json; a row is added to results/grid.jsonl.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from pathlib import Path
from typing import Any

import kept
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from avssl import config
from avssl.data import manifest as manifests
from avssl.data.manifest import Manifest, Recording
from avssl.embedding import Embedder
from avssl.methods import base
from avssl.train import run
from avssl.train.build import dump
from avssl.train.checkpoint import load_run, replace_text
from retrieval import metrics

ROOT = Path(__file__).resolve().parent.parent
WHOLE_SECONDS = 3.0
TRIAL_STEPS = 24
Vectors = dict[str, NDArray[np.float32]]


def listed(data: Path, out: Path) -> Path:
    """The manifest, with the split by name. Raises ValueError if the folder is not GRID."""
    path = out / "grid.jsonl"
    if path.is_file():
        return path
    if not (data / "video").is_dir() or not (data / "labels.tsv").is_file():
        raise ValueError(f"{data}: expected video/*.mp4, align/*.align and labels.tsv of the GRID corpus")
    out.mkdir(parents=True, exist_ok=True)
    names = sorted(file.stem for file in (data / "video").glob("*.mp4"))
    split = {name: {7: "test", 6: "val"}.get(number % 8, "train") for number, name in enumerate(names)}
    with open(data / "labels.tsv", encoding="utf-8", newline="") as file:
        rows = [
            {**row, "split": split[row["clip"]]} for row in csv.DictReader(file, delimiter="\t") if row["clip"] in split
        ]
    labels = out / "labels.tsv"
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
    replace_text(labels, "\n".join(lines) + "\n")
    manifests.make(data / "video", labels=labels).save(path)
    return path


def steps_for(minutes: float, words: list[str], out: Path) -> int:
    """How many steps fit: a short trial is timed, and forgotten."""
    trial = out / "trial"
    run.start(config.load("grid", [*words, f"steps={TRIAL_STEPS}", "log_every=1"], base.config_of), trial)
    lines = [json.loads(line) for line in (trial / "log.jsonl").read_text().splitlines()]
    times = [line["time"] for line in lines if "time" in line]
    each = float(np.median(np.diff(times)[4:]))
    return max(50, round(minutes * 60 / each))


def windows(embedder: Embedder, held: Manifest, recordings: list[Recording], starts: list[float]) -> Vectors:
    """Unit vectors [N, D] of one window of each recording, by modality."""
    clips = [
        embedder.window.read(held.path_of(recording), [start], video=True, audio=True)
        for recording, start in zip(recordings, starts, strict=True)
    ]
    found: dict[str, list[NDArray[np.float32]]] = {"video": [], "audio": []}
    for first in range(0, len(clips), 20):
        part = clips[first : first + 20]
        found["video"].append(embedder("video", torch.cat([clip.video for clip in part if clip.video is not None])))
        found["audio"].append(embedder("audio", torch.cat([clip.audio for clip in part if clip.audio is not None])))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def found(queries: NDArray[np.float32], gallery: NDArray[np.float32]) -> dict[str, float]:
    """Figures of one direction, each query's own clip being the right one."""
    own = np.arange(len(queries))
    summary = metrics.summarize(
        queries.astype(np.float64) @ gallery.T.astype(np.float64), np.eye(len(own)), positive=own
    )
    return {name: float(summary[name]) for name in ("r1", "r5", "r10", "medr", "ndcg10")}


def two_talkers(embedder: Embedder, held: Manifest, recordings: list[Recording]) -> float:
    """Two clips side by side with the sound of one: the share of pairs whose brightest place is on the right side."""
    right = 0.0
    method: Any = embedder.method
    clips = [embedder.window.read(held.path_of(one), [0.0], video=True, audio=True) for one in recordings]
    for number, clip in enumerate(clips):
        other = clips[(number + 37) % len(clips)]
        assert clip.audio is not None
        for pair, side in (((clip, other), 0), ((other, clip), 1)):
            both = torch.cat([one.video for one in pair if one.video is not None], 4)
            with torch.inference_mode():
                map_ = method.localize(both, embedder.inputs.audio(clip.audio), "audio").mean(1)[0]  # [h, w]
            half = map_.shape[1] // 2
            sides = map_[:, :half].max(), map_[:, -half:].max()
            right += float(sides[side] > sides[1 - side])
    return right / (2 * len(clips))


def same_clip(embedder: Embedder, held: Manifest, recordings: list[Recording], seconds: float) -> dict[str, float]:
    """One-second windows inside speech, the other windows of the same clip (every 0.2 s) among the candidates."""
    pictures, sounds = [], []
    for recording in recordings:
        begin, end = spoken(recording)
        starts = [begin]
        while starts[-1] + 0.2 + seconds <= max(end, begin + seconds) + 1e-6:
            starts.append(round(starts[-1] + 0.2, 3))
        clips = embedder.window.read(held.path_of(recording), starts, video=True, audio=True)
        assert clips.video is not None
        assert clips.audio is not None
        pictures += list(embedder("video", clips.video))
        sounds += list(embedder("audio", clips.audio))
    own = np.arange(len(pictures))
    scores = np.stack(pictures).astype(np.float64) @ np.stack(sounds).T.astype(np.float64)
    summary = metrics.summarize(scores, np.eye(len(own)), positive=own)
    return {"r1": float(summary["r1"]), "r5": float(summary["r5"]), "windows": float(len(own))}


def spoken(recording: Recording) -> tuple[float, float]:
    """When speech begins and ends, in seconds."""
    return float(recording.labels["speech_start_s"]), float(recording.labels["speech_end_s"])


def judge(out: Path, path: Path, split: str, trained: bool) -> dict[str, Any]:
    """All figures of one network on one split."""
    loaded = load_run(out / "run", trained=trained)
    held = Manifest.load(path)
    recordings = list(held.split(split))
    whole = Embedder(loaded.method, loaded.inputs, WHOLE_SECONDS)
    vectors = windows(whole, held, recordings, [0.0] * len(recordings))
    vectors["text"] = whole.text([recording.narration[0].text for recording in recordings])
    result: dict[str, Any] = {
        "retrieval": {f"{a}_to_{b}": found(vectors[a], vectors[b]) for a in vectors for b in vectors if a != b}
    }
    second = Embedder(loaded.method, loaded.inputs, 1.0)
    middles = [sum(spoken(one)) / 2 - 0.5 for one in recordings]
    short = windows(second, held, recordings, [max(0.0, round(start * 25) / 25) for start in middles])
    result["windows"] = {
        "video_to_audio": found(short["video"], short["audio"]), "audio_to_video": found(short["audio"], short["video"])
    }  # fmt: skip
    result["windows_same_clip"] = same_clip(second, held, recordings, 1.0)
    result["two_talkers"] = two_talkers(whole, held, recordings)
    return result


def beside(trained: Any, untrained: Any) -> Any:
    """The same tree with {trained, untrained} at its leaves."""
    if isinstance(trained, dict):
        return {name: beside(trained[name], untrained[name]) for name in trained}
    return {"trained": trained, "untrained": untrained}


def show(result: dict[str, Any], count: int) -> None:
    """A table of the figures that the targets are about."""
    table = Table("GRID, held-out clips", "trained R@1", "untrained", "chance", box=None, pad_edge=False)
    rows = {name: figures["r1"] for name, figures in result["retrieval"].items()}
    rows |= {f"1 s windows, {name}": figures["r1"] for name, figures in result["windows"].items()}
    rows["1 s windows, others of the clip too"] = result["windows_same_clip"]["r1"]
    for name, figures in rows.items():
        chance = 1 / result["windows_same_clip"]["windows"]["trained"] if "others" in name else 1 / count
        table.add_row(name, f"{figures['trained']:.3f}", f"{figures['untrained']:.3f}", f"{chance:.3f}")
    talkers = result["two_talkers"]
    table.add_row("two talkers, right side", f"{talkers['trained']:.3f}", f"{talkers['untrained']:.3f}", "0.500")
    Console().print(table)


def main() -> None:
    """Manifest, training, figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("AVSSL_DATA", "../shared/data")) / "grid"
    parser.add_argument("--data", type=Path, default=default, help="folder of the corpus")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/grid"))
    parser.add_argument("--minutes", type=float, default=0.0, help="of training; the config's steps unless given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--rows", type=Path, default=ROOT / "results" / "grid.jsonl", help="where the row is added")
    parser.add_argument("overrides", nargs="*", help="key=value, as in avssl train")
    args = parser.parse_args()
    out: Path = args.output
    began = time.perf_counter()
    path = listed(args.data, out)
    words = [f"data={path}", f"seed={args.seed}", *args.overrides]
    planned = out / "steps.json"
    if args.minutes and not planned.is_file():
        replace_text(planned, json.dumps(steps_for(args.minutes, words, out)))
    if planned.is_file():
        words.append(f"steps={json.loads(planned.read_text())}")
    cfg = config.load("grid", words, base.config_of)
    done = run.start(cfg, out / "run")
    if done.how == "interrupted":
        raise SystemExit(128 + done.signal)
    result = beside(judge(out, path, args.split, True), judge(out, path, args.split, False))
    held = Manifest.load(path)
    loaded = load_run(out / "run")
    row = {
        "config": "grid", "run": dump(loaded.cfg), "overrides": args.overrides, "digest": loaded.digest,
        "data": held.digest(), "seed": args.seed, "steps": cfg.steps, "split": args.split,
        "train_seconds": round(kept.trained(out / "run"), 1), **result,
    }  # fmt: skip
    replace_text(out / "results.json", json.dumps(row, indent=1) + "\n")
    rows = kept.rows_of(args.rows)
    if not any(one["digest"] == loaded.digest and one["split"] == args.split for one in rows):
        kept.keep(args.rows, [*rows, row])
    show(result, len(held.split(args.split)))
    print(f"\n{out / 'results.json'}; {time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    kept.start(main)
