"""Where localizers learn and where they are judged: made-up worlds and mosaics of real recordings, made once.

Used by scripts/localizers.py. What is made already is kept; worlds of another folder can be used instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import grid
import mosaic
import numpy as np
from numpy.typing import NDArray

from avssl import cli
from avssl.cli._counting import counting
from avssl.data.encode import write_clip
from avssl.data.manifest import Manifest, Recording
from avssl.data.media import decode
from avssl.evaluation import maps
from avssl.inputs import Inputs
from avssl.train.checkpoint import replace_text

LEVELS = ("easy", "medium", "hard")
MOSAICS = ("talkers", "pasted", "classes")
TALKERS = {"talkers": (2, 2, 1), "three": (3, 3, 1), "four": (4, 2, 2)}
"""bed -> how many talkers, in how many columns and rows"""
HARDER = "crowded"
"""a level that is judged, and not learnt from"""
SOUND_SECONDS, FPS, HZ = 5.0, 12.5, 16000
"""of sounds with pictures"""
PER_LEVEL_SEED = {"easy": 0, "medium": 1, "hard": 2, HARDER: 3}
"""so that no two levels show the same things"""


@dataclass(frozen=True)
class Bed:
    """Clips of known truth: the manifest that has their splits, and the truth beside it.

    ``across`` pictures stand side by side, in ``down`` rows, each as large as the run's pictures are. ``sizes``: in
    which pictures are looked at, in multiples of the run's.
    """

    name: str
    manifest: Path
    truth: Path
    across: int = 1
    down: int = 1
    sizes: tuple[float, ...] = (1.0,)

    def read(self, inputs: Inputs, split: str) -> maps.Clips:
        """One split, decoded at a run's sizes."""
        cfg, most = inputs.cfg, max(self.sizes)
        size = {"height": round(cfg.height * self.down * most), "width": round(cfg.width * self.across * most)}
        known = maps.read_truth(self.truth)
        found = maps.read(
            Inputs(cfg.model_copy(update=size)), Manifest.load(self.manifest), split, known, self.truth.parent
        )
        return replace(found, sizes=self.sizes)


def command(*words: str | Path) -> None:
    """A command of avssl. Raises ValueError where it fails; it has told why."""
    if code := cli.run([str(word) for word in words]):
        raise ValueError(f"avssl {words[0]} ended with {code}; put right what it says above and start again")


def world(folder: Path, level: str, clips: int, side: int) -> Bed:
    """A world of one level, and its manifest."""
    out, listed = folder / level, folder / f"{level}.jsonl"
    if not (out / "truth.jsonl").is_file():
        seed = str(PER_LEVEL_SEED[level])
        command("world", "-o", out, "--clips", str(clips), "--level", level, "--seed", seed, "--side", str(side))
    if not listed.is_file():
        command("manifest", out / "videos", "-o", listed, "--labels", out / "labels.tsv")
    return Bed(level, listed, out / "truth.jsonl")


def joined(beds: Sequence[Bed], out: Path) -> Path:
    """One manifest of several worlds; a recording's key says which world it is of."""
    held = [(bed, Manifest.load(bed.manifest)) for bed in beds]
    recordings: list[Recording] = [
        replace(one, key=f"{bed.name}/{one.key}", path=str(manifest.path_of(one).resolve()))
        for bed, manifest in held
        for one in manifest.recordings
    ]
    Manifest(tuple(recordings), root=out.parent.resolve()).save(out)
    return out


def missing(bed: str, data: Path) -> str:
    """Why a bed of mosaics cannot be made of these recordings; "" where it can."""
    needed = {
        **{bed: [data / "grid" / "video"] for bed in TALKERS},
        "pasted": [data / "grid" / "video"],
        **{bed: [data / "cifar10" / "cifar10.tar.gz", data / "esc10"] for bed in ("classes", "sounds")},
    }
    lacking = [str(path) for path in needed[bed] if not path.exists()]
    return f"{', '.join(lacking)} is not there (see --data)" if lacking else ""


def of_mosaics(out: Path, bed: str, data: Path, larger: Path, count: int) -> Bed:
    """Mosaics of real recordings: two, three or four talkers, one in a ``larger`` moving picture, 2 x 2 classes."""
    folder, listed = out / bed, out / f"{bed}.jsonl"
    count_of, across, down = TALKERS.get(bed, (0, 1, 1))
    if not (folder / "truth.jsonl").is_file():
        words = ["--data", str(data / "grid" / "video")]
        if count_of:
            words += ["--least", str(count_of), "--most", str(count_of)]
        if bed == "pasted":
            words += ["--over", str(larger)]
        if bed == "classes":
            words = ["--pictures", str(data / "cifar10" / "cifar10.tar.gz"), "--sounds", str(data / "esc10")]
        mosaic.main(["talkers" if count_of else bed, *words, "-o", str(folder), "--count", str(count)])
    if not listed.is_file():
        command("manifest", folder / "videos", "-o", listed, "--labels", folder / "labels.tsv")
    return Bed(bed, listed, folder / "truth.jsonl", across, down)


def of_sounds(out: Path, data: Path) -> Bed:
    """All sounds of ESC-10, each with a picture of its own: one of CIFAR-10, of whatever class, that moves slowly.

    No label is used; a method that learns which sound goes with which picture has to tell the sounds apart.
    """
    folder, listed = out / "sounds", out / "sounds.jsonl"
    if not listed.is_file():
        sounds = sorted(path for path in (data / "esc10").glob("*/*") if path.suffix in (".ogg", ".wav"))
        shown = [one for held in mosaic.read_pictures(data / "cifar10" / "cifar10.tar.gz").values() for one in held]
        order = np.random.default_rng(0).permutation(len(shown))
        (folder / "train").mkdir(parents=True, exist_ok=True)
        rows = ["path\tsplit"]
        with counting("sounds with pictures") as tell:
            for number, sound in enumerate(sounds):
                path = folder / "train" / f"{sound.stem}.mp4"
                if not path.exists():
                    frames = _panned(shown[order[number % len(order)]], round(SOUND_SECONDS * FPS), number)
                    write_clip(path, frames, FPS, decode(sound, audio=(0.0, SOUND_SECONDS), hz=HZ).audio, HZ)
                rows.append(f"train/{path.name}\ttrain")
                tell(number + 1, len(sounds))
        labels = out / "sounds.tsv"
        replace_text(labels, "\n".join(rows) + "\n")
        command("manifest", folder, "-o", listed, "--labels", labels)
    return Bed("sounds", listed, folder / "truth.jsonl")


def _panned(picture: NDArray[np.uint8], count: int, seed: int) -> NDArray[np.uint8]:
    """A small picture [h, w, 3], enlarged, and a square that wanders over it, uint8 [T, S, S, 3]."""
    whole = mosaic.enlarged(picture, 3 * mosaic.SQUARE // 2)
    room = len(whole) - mosaic.SQUARE
    ends = np.random.default_rng((1, seed)).integers(0, room + 1, (2, 2))
    places = np.linspace(ends[0], ends[1], count).round().astype(int)
    return np.stack([whole[y : y + mosaic.SQUARE, x : x + mosaic.SQUARE] for y, x in places])


def of_talker(out: Path, data: Path) -> Path:
    """The manifest of the GRID talker, its held-out clips those of the mosaics."""
    return grid.listed(data / "grid", out)
