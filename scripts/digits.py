"""Spoken digit <-> picture of the digit, on speakers that were never heard.

    python scripts/digits.py [--data DATA] [-o runs/digits] [--speakers george theo] [--seeds 0 1 2] [--method avid]

Spoken digits (DATA/fsdd/recordings: digit_speaker_take.wav; Jackson's Free Spoken Digit Dataset) are paired with
pictures of handwritten ones (DATA/mnist/train and test, class folders of PNG; LeCun, Cortes), each recording with a few
pictures of its digit drawn by chance: a still picture with a sound, as a short clip. Which recording goes with which
picture is all that a network is told; that two clips show the same digit it is not.

For each speaker in turn a network learns from the others and is asked about this one, whose recordings come with
pictures of MNIST's test part: is the digit of the best of all pictures the one that is said, and the other way round?
As the vectors are; centered, as ``avssl search --centered`` asks: without what all that this speaker says has in
common, which is his voice (all of it, or a few recordings); augmented, as ``avssl embed --augment`` hears: each sound
at three speeds; and both. Beside it stands what logistic regression, told the digits of heard speakers, makes of the
vectors of sound. Another method has the same trunk, inputs, batch and steps, and its own settings else.
Clips are written once; a run that was stopped goes on; a row per speaker and seed is added to results/digits.jsonl.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import kept
import numpy as np
from digits_asked import judged
from rich.console import Console
from rich.progress import track
from rich.table import Table

from avssl import cli
from avssl.config import find, load
from avssl.data.encode import write_clip
from avssl.data.manifest import Manifest
from avssl.data.media import decode
from avssl.embedding.network import SPEEDS
from avssl.methods.base import config_of
from avssl.train.build import dump
from avssl.train.checkpoint import load_run, replace_text

ROOT = Path(__file__).resolve().parent.parent
HZ, FPS, SECONDS, SIDE = 8000, 5, 0.8, 32
"""of the clips: longer recordings are cut, shorter ones end in silence; pictures have an edge of two pixels"""
SHIPPED = "digits"
"""the config whose method is asked unless another is named"""
INPUTS = (
    "inputs.height=32", "inputs.width=32", "inputs.frames=4", "inputs.fps=5", "inputs.hz=8000",
    "inputs.audio_seconds=0.8", "inputs.mels=40",
)  # fmt: skip
"""what any method is shown of a clip"""
ALIKE = (
    *INPUTS, "data.batch=64", "data.workers=1", "steps=1500", "checkpoint_every=100",
    *(f"encoders.{one}.{word}" for one in ("image", "video") for word in ("name=small", "width=96", "norm=batch")),
    "encoders.image.stride=4", "encoders.video.stride=4",
    "encoders.audio.name=small", "encoders.audio.width=96", "encoders.audio.norm=batch",
)  # fmt: skip
"""what that config says of trunk, inputs, batch and steps, for other methods"""
VALIDATION_TAKES = frozenset({"0", "1"})
"""takes of heard speakers that are held back, with pictures of the test part"""


def spoken(data: Path) -> list[tuple[Path, str, str, str]]:
    """(path, digit, speaker, take) of every recording. Raises ValueError where there are none."""
    folder = data / "fsdd" / "recordings"
    found = sorted(folder.glob("[0-9]_*_*.wav"))
    if not found:
        raise ValueError(f"{folder}: no spoken digits there (digit_speaker_take.wav); see --data")
    return [(path, *path.stem.split("_", 2)) for path in found]  # type: ignore[misc]


def written(data: Path, part: str) -> dict[str, list[Path]]:
    """Digit -> its pictures in one part of MNIST. Raises ValueError where a digit has none."""
    found = {digit: sorted((data / "mnist" / part / digit).glob("*.png")) for digit in "0123456789"}
    lacking = [digit for digit, held in found.items() if not held]
    if lacking:
        raise ValueError(f"{data / 'mnist' / part}: no pictures of {', '.join(lacking)}; see --data")
    return found


def clip(path: Path, sound: Path, picture: Path) -> None:
    """A still picture with a sound, nothing lost."""
    wave = np.zeros(round(SECONDS * HZ), np.float32)
    heard = decode(sound, audio=(0.0, SECONDS), hz=HZ).audio[: len(wave)]
    wave[: len(heard)] = heard.clip(-1, 1)
    seen = decode(picture, times=[0.0], size=(SIDE - 4, SIDE - 4)).video[0].transpose(1, 2, 0)
    frame = np.pad(seen, ((2, 2), (2, 2), (0, 0)))
    frames = [frame] * round(SECONDS * FPS)
    write_clip(path, iter(frames), FPS, wave, HZ, video_codec="ffv1", audio_codec="pcm_s16le")


def clips(out: Path, data: Path, copies: int, seed: int) -> Manifest:
    """Every recording with ``copies`` pictures to learn from and one to be asked about, written once."""
    folder, listed = out / "clips", out / "clips.jsonl"
    if listed.is_file():
        return Manifest.load(listed)
    random, rows = np.random.default_rng(seed), []
    pictures = {part: written(data, part) for part in ("train", "test")}
    wanted: list[tuple[Path, Path, Path]] = []
    for path, digit, speaker, take in spoken(data):
        for number in range(copies + 1):
            part = "train" if number < copies else "test"
            drawn = pictures[part][digit][int(random.integers(len(pictures[part][digit])))]
            name = f"{digit}_{speaker}_{take}_{number}.mkv"
            wanted.append((folder / name, path, drawn))
            rows.append(f"{name}\t{digit}\t{speaker}\t{take}\t{part}\n")
    folder.mkdir(parents=True, exist_ok=True)
    for path, sound, picture in track(wanted, "clips", console=Console(stderr=True)):
        if not path.is_file():
            clip(path, sound, picture)
    labels = out / "labels.tsv"
    replace_text(labels, "path\tdigit\tspeaker\ttake\tpictures\n" + "".join(rows))
    command("manifest", folder, "-o", listed, "--labels", labels)
    return Manifest.load(listed)


def without(held: Manifest, *unheard: str) -> Manifest:
    """The clips of a run that never hears these speakers: the others' to learn from, theirs to be asked about."""
    recordings = []
    for recording in held.recordings:
        told = recording.labels
        heard, pictures = told["speaker"] not in unheard, told["pictures"]
        back = told["take"] in VALIDATION_TAKES
        if heard and not back and pictures == "train":
            recordings.append(replace(recording, split="train"))
        elif pictures == "test" and (back or not heard):
            recordings.append(replace(recording, split="val" if heard else "test"))
    if not any(recording.split == "test" for recording in recordings):
        raise ValueError(f"no recording of {' or '.join(unheard)}")
    return Manifest(tuple(recordings), root=held.root)


def command(*words: str | Path) -> None:
    """A command of avssl; one that fails ends the script with its exit code."""
    code = cli.run([str(word) for word in words])
    if code:
        sys.exit(code)


def changed(name: str) -> tuple[list[str], list[str]]:
    """What is changed in a method's config, and the ``overrides`` by which its rows are told from the shipped one's."""
    return ([], []) if name == SHIPPED else (list(ALIKE), [f"--method {name}"])


def row(out: Path, held: Manifest, speaker: str, seed: int, name: str, changes: list[str]) -> dict[str, Any]:
    """Learn without one speaker, or go on, and ask about it."""
    alike, overrides = changed(name)
    run = out / (f"{name}-{speaker}-{seed}" if overrides else f"{speaker}-{seed}")
    listed = out / f"{speaker}.jsonl"
    own = without(held, speaker)
    own.save(listed)
    own = Manifest.load(listed)
    command("train", find(name), f"data={listed}", f"seed={seed}", *alike, *changes, "-o", run)
    loaded = load_run(run)
    (found, mistaken), (untrained, _) = judged(loaded, own), judged(load_run(run, trained=False), own)
    asked = [recording.labels["digit"] for recording in own.split("test")]
    chance = float(np.square(np.unique(asked, return_counts=True)[1] / len(asked)).sum())
    return {
        "config": "digits", **({"overrides": overrides} if overrides else {}), "run": dump(loaded.cfg), "seed": seed,
        "speaker": speaker, "changes": changes, "steps": loaded.step, "split": "test", "data": own.digest(),
        "digest": loaded.digest, "asked": len(asked), "speeds": list(SPEEDS),
        "train_seconds": round(kept.trained(run)),
        **{
            question: {
                name: {"trained": value, "untrained": untrained[question][name], "chance": chance}
                for name, value in figures.items()
            }
            for question, figures in found.items()
        },
        "mistaken": mistaken,
    }  # fmt: skip


def main() -> None:
    """Every speaker and seed that has no row yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/digits"))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("AVSSL_DATA", "../shared/data")))
    parser.add_argument("--speakers", nargs="+", help="each is left out in turn; all of them unless given")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--method", default=SHIPPED, help="a config of pictures and sounds in one space, such as avid")
    parser.add_argument("--copies", type=int, default=3, help="pictures for each recording that is learnt from")
    parser.add_argument("--rows", type=Path, default=ROOT / "results" / "digits.jsonl", help="where rows are added")
    parser.add_argument("changes", nargs="*", help="of the config: steps=300 ...")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    held = clips(args.output, args.data, args.copies, 0)
    rows = kept.rows_of(args.rows)
    everyone = sorted({recording.labels["speaker"] for recording in held.recordings})
    speakers = args.speakers or everyone
    alike, overrides = changed(args.method)
    cfg = load(find(args.method), [f"data={args.output}", *alike, *args.changes], config_of)
    for seed in args.seeds:
        for speaker in speakers:
            wanted = {
                "speaker": speaker,
                "seed": seed,
                "changes": args.changes,
                "data": without(held, speaker).digest(),
                "steps": cfg.steps,
                "speeds": list(SPEEDS),
            }
            own = [one for one in rows if one.get("overrides", []) == overrides]
            if not any(wanted.items() <= one.items() and kept.of_today(one, cfg) for one in own):
                rows.append(row(args.output, held, speaker, seed, args.method, args.changes))
                kept.keep(args.rows, rows)
    table = Table("method", "unheard", "seed", "from, to", "right", "untrained", "chance", box=None)
    for one in rows:
        further = {
            "right_digit_first_centered": "centered", "right_digit_first_augmented": "augmented",
            "right_digit_first_centered_augmented": "both", "told_the_digits": "told the digits",
        }  # fmt: skip
        told = {f"{name}, {how}": of for key, how in further.items() for name, of in one.get(key, {}).items()}
        for name, figures in {**one["right_digit_first"], **told}.items():
            cells = (f"{100 * figures[who]:.1f} %" for who in ("trained", "untrained", "chance"))
            table.add_row(
                one["run"]["method"]["name"], one["speaker"], str(one["seed"]), name.replace("_to_", ", "), *cells
            )
    Console().print(table)


if __name__ == "__main__":
    kept.start(main)
