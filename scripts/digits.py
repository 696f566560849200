"""Spoken digit <-> picture of the digit, on speakers that were never heard.

    python scripts/digits.py [--data DATA] [-o runs/digits] [--speakers george theo] [--seeds 0 1 2] [--method avid]

Spoken digits (DATA/fsdd/recordings: digit_speaker_take.wav; Jackson's Free Spoken Digit Dataset) are paired with
pictures of handwritten ones (DATA/mnist/train and test, class folders of PNG; LeCun, Cortes), each recording with a few
pictures of its digit drawn by chance: a still picture with a sound, as a short clip. Which recording goes with which
picture is all that a network is told; that two clips show the same digit it is not.

For each speaker in turn a network learns from the others and is asked about this one, whose recordings come with
pictures of MNIST's test part: is the digit of the best of all pictures the one that is said, and the other way round?
Once as the vectors are, and once centered, as ``avssl search --centered`` asks: without what all that this speaker says
has in common, which is his voice (all of it, or a few recordings). Beside it stands what logistic regression, told the
digits of heard speakers, makes of the vectors of sound. Another method has the same trunk, inputs, batch and steps, and
its own settings else.
Clips are written once; a run that was stopped goes on; a row per speaker and seed is added to results/digits.jsonl.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import kept
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from avssl import cli
from avssl.config import find, load
from avssl.data.encode import write_clip
from avssl.data.manifest import Manifest
from avssl.data.media import decode
from avssl.embedding.network import Embedder
from avssl.embedding.recordings import embed_recordings
from avssl.methods.base import config_of
from avssl.probe import linear
from avssl.probe.rounds import Round
from avssl.train.build import Loaded, dump
from avssl.train.checkpoint import load_run, replace_text
from retrieval.calibration import Background

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
WAYS = (("audio", "video"), ("video", "audio"))
KINDS = {"video": "video", "image": "video", "audio": "audio"}
"""a picture is one whether a method sees one of a window or all of them"""
FEW = 20
"""recordings, of those that a voice is told by when it is told by few"""
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


def right(queries: NDArray[Any], answers: NDArray[Any], asked: NDArray[Any], found: NDArray[Any]) -> float:
    """Share of queries [N, D] whose best answer among [M, D] is of their digit ([N] and [M])."""
    best = (queries @ answers.T).argmax(1)
    return float((found[best] == asked).mean())


def less_mean(vectors: NDArray[Any], of: NDArray[Any] | None = None) -> NDArray[Any]:
    """Vectors [N, D] centered as a search does it, by themselves or by the ones at the places ``of``."""
    known = vectors if of is None else vectors[of]
    return Background({"": known}, {"": [""] * len(known)}).centered(vectors, "")


def each_less_mean(vectors: NDArray[Any], speakers: NDArray[Any]) -> NDArray[Any]:
    """Vectors [N, D], those of each speaker [N] centered by themselves."""
    found = np.empty_like(vectors)
    for speaker in np.unique(speakers):
        found[speakers == speaker] = less_mean(vectors[speakers == speaker])
    return found


def by_few(sounds: NDArray[Any], pictures: NDArray[Any], said: NDArray[Any], shown: NDArray[Any]) -> dict[str, float]:
    """Right from sounds to pictures where few sounds tell the voice: any, or of one digit alone; a mean over draws."""
    random, digits = np.random.default_rng(0), np.unique(said)
    draws = {
        "any": [random.permutation(len(said))[:FEW] for _ in digits],
        "one_digit": [random.permutation(np.flatnonzero(said == digit))[:FEW] for digit in digits],
    }
    return {
        name: float(np.mean([right(less_mean(sounds, of), pictures, said, shown) for of in every]))
        for name, every in draws.items()
    }


def judged(loaded: Loaded, held: Manifest) -> dict[str, dict[str, float]]:
    """Both directions on the test split, plain and centered; and what a reader of labels makes of the vectors of sound.

    The reader is told the digits of heard speakers, which nobody else is: logistic regression, asked about this one.
    """
    parts = {
        split: embed_recordings(Embedder(loaded.method, loaded.inputs), held, split=split)
        for split in ("train", "val", "test")
    }
    told = {
        split: {KINDS[name]: np.array([row["extra"]["digit"] for row in rows], int) for name, rows in seen.rows.items()}
        for split, seen in parts.items()
    }
    seen, asked = {KINDS[name]: vectors for name, vectors in parts["test"].vectors.items()}, told["test"]
    centered = {name: less_mean(vectors) for name, vectors in seen.items()}
    ends = np.cumsum([0, *(len(one["audio"]) for one in told.values())])
    cut = Round(*(np.arange(begin, end) for begin, end in itertools.pairwise(ends)))
    heard = np.concatenate([one.vectors["audio"] for one in parts.values()])
    digits = np.concatenate([one["audio"] for one in told.values()])
    speakers = np.array([row["extra"]["speaker"] for one in parts.values() for row in one.rows["audio"]])
    read = {}
    for name, vectors in (("audio", heard), ("audio_centered", each_less_mean(heard, speakers))):
        probe = linear.fit(vectors, digits, cut, classes=10)
        read[name] = float((probe.predict(vectors[cut.test]) == digits[cut.test]).mean())
    return {
        **{
            question: {f"{a}_to_{b}": right(queries[a], seen[b], asked[a], asked[b]) for a, b in WAYS}
            for question, queries in (("right_digit_first", seen), ("right_digit_first_centered", centered))
        },
        f"sounds_centered_by_{FEW}": by_few(seen["audio"], seen["video"], asked["audio"], asked["video"]),
        "told_the_digits": read,
    }


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
    figures = {"trained": judged(loaded, own), "untrained": judged(load_run(run, trained=False), own)}
    asked = [recording.labels["digit"] for recording in own.split("test")]
    chance = float(np.square(np.unique(asked, return_counts=True)[1] / len(asked)).sum())
    return {
        "config": "digits", **({"overrides": overrides} if overrides else {}), "run": dump(loaded.cfg), "seed": seed,
        "speaker": speaker, "changes": changes, "steps": loaded.step, "split": "test", "data": own.digest(),
        "digest": loaded.digest, "asked": len(asked),
        "train_seconds": round(kept.trained(run)),
        **{
            question: {
                name: {"trained": value, "untrained": figures["untrained"][question][name], "chance": chance}
                for name, value in found.items()
            }
            for question, found in figures["trained"].items()
        },
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
            }
            own = [one for one in rows if one.get("overrides", []) == overrides]
            if not any(wanted.items() <= one.items() and kept.of_today(one, cfg) for one in own):
                rows.append(row(args.output, held, speaker, seed, args.method, args.changes))
                kept.keep(args.rows, rows)
    table = Table("method", "unheard", "seed", "from, to", "right", "untrained", "chance", box=None)
    for one in rows:
        further = {"right_digit_first_centered": "centered", "told_the_digits": "told the digits"}
        told = {f"{name}, {how}": of for key, how in further.items() for name, of in one.get(key, {}).items()}
        for name, figures in {**one["right_digit_first"], **told}.items():
            cells = (f"{100 * figures[who]:.1f} %" for who in ("trained", "untrained", "chance"))
            table.add_row(
                one["run"]["method"]["name"], one["speaker"], str(one["seed"]), name.replace("_to_", ", "), *cells
            )
    Console().print(table)


if __name__ == "__main__":
    kept.start(main)
