"""Test beds with known truth from real recordings: which part of a picture sounds is known because it was put there.

    python scripts/mosaic.py talkers --data GRID/video -o OUT [--count 200] [--seed 0] [--least 2] [--most 4]
    python scripts/mosaic.py pasted --data GRID/video --over FOLDER -o OUT
    python scripts/mosaic.py classes --pictures CIFAR10 --sounds ESC10 -o OUT

* talkers: two to four recordings of a talker (GRID corpus) side by side, or in two rows, with the sound of one. All
  lips move: only listening tells which. --most 2 makes pairs alone, --least 4 squares of four.
* pasted: a recording, with its sound, at a random place and size of a larger moving picture (any folder of videos).
* classes: four CIFAR-10 pictures in a square, one of a class that makes a sound of ESC-10 (bird and rooster, dog and
  bark, airplane and helicopter). Class level only: the picture and the sound were never recorded together, and a
  rooster is not every bird.

OUT holds videos/{val,test}/ID.mp4, truth.jsonl in the form of the made-up world, labels.tsv and mosaic.json. Every
fourth mosaic is for validation. Talkers for the test are every eighth recording by name (the 8th, 16th, ...), for
validation the one before each, as scripts/grid.py has them, so that no mosaic holds what a network was trained on;
--all takes any. The same arguments give the same mosaics; what is there already is kept.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from avssl.data.encode import write_clip
from avssl.data.media import decode, probe
from avssl.localize.calibration import write_whole

FPS, HZ, SECONDS = 25.0, 16000, 3.0
LEAST_TALKERS, MOST_TALKERS = 2, 4
CELL = (144, 180)  # a talker in a row or a square, half the size of GRID
LARGER = (240, 320)
SQUARE = 112
PAIRS = {"bird": "Rooster", "dog": "Dog bark", "airplane": "Helicopter"}
"""CIFAR-10 class -> the ESC-10 class it makes"""
MUTE = ("automobile", "cat", "deer", "frog", "horse", "ship", "truck")
"""CIFAR-10 classes without a sound in ESC-10"""

Picture = NDArray[np.uint8]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mosaic:
    """A clip to be written: frames uint8 [T, H, W, 3] at 25 per second, its sound [S], and what is where."""

    frames: Picture
    sound: NDArray[np.float32]
    things: tuple[tuple[str, bool, Box], ...]  # kind, whether it sounds, where
    sources: tuple[str, ...]


Build = Callable[[np.random.Generator, str], Mosaic]
"""of a generator and the split it is for"""
Held = dict[str, list[Path]]
"""recordings of each split"""


def talkers(
    rng: np.random.Generator, split: str, held: Held, most: int = MOST_TALKERS, least: int = LEAST_TALKERS
) -> Mosaic:
    """Two to four different recordings (``least`` to ``most``), the sound of one."""
    count, recordings = int(rng.integers(least, most + 1)), held[split]
    chosen = [recordings[int(k)] for k in rng.choice(len(recordings), count, replace=False)]
    across = 2 if count == 4 else count
    sounding = int(rng.integers(count))
    shown = [_pictures(path, CELL) for path in chosen]
    rows = [np.concatenate(shown[k : k + across], axis=2) for k in range(0, count, across)]
    boxes = [_cell(k, across, len(rows)) for k in range(count)]
    things = tuple(("talker", k == sounding, box) for k, box in enumerate(boxes))
    return Mosaic(np.concatenate(rows, axis=1), _sound(chosen[sounding]), things, tuple(p.name for p in chosen))


def pasted(rng: np.random.Generator, split: str, held: Held, larger: list[Path]) -> Mosaic:
    """One recording inside a larger picture, 0.3 to 0.6 of its height."""
    recordings = held[split]
    inner = recordings[int(rng.integers(len(recordings)))]
    others = [path for path in larger if path != inner]
    if not others:
        raise ValueError(f"{inner.parent}: one recording; a larger picture is needed that is another")
    outer = others[int(rng.integers(len(others)))]
    height, width = LARGER
    shown = probe(inner).pictures[0]
    high = 2 * round(rng.uniform(0.3, 0.6) * height / 2)
    wide = min(width, max(2, 2 * round(high * shown.width / shown.height / 2)))
    top, left = int(rng.integers(0, height - high + 1)), int(rng.integers(0, width - wide + 1))
    frames = _pictures(outer, LARGER).copy()
    frames[:, top : top + high, left : left + wide] = _pictures(inner, (high, wide))
    box = (left / width, top / height, (left + wide) / width, (top + high) / height)
    return Mosaic(frames, _sound(inner), (("talker", True, box),), (inner.name, outer.name))


def classes(
    rng: np.random.Generator, split: str, pictures: dict[str, list[Picture]], sounds: dict[str, list[Path]]
) -> Mosaic:
    """Four still pictures of different classes in a square and a sound of the class of one."""
    pairs = [kind for kind in PAIRS if kind in pictures and PAIRS[kind] in sounds]
    kind = pairs[int(rng.integers(len(pairs)))]
    others = [k for k in (*PAIRS, *MUTE) if k != kind and k in pictures]
    kinds = [kind, *(others[int(k)] for k in rng.choice(len(others), 3, replace=False))]
    kinds = [kinds[int(k)] for k in rng.permutation(4)]
    half = SQUARE // 2
    cells = [enlarged(pictures[k][int(rng.integers(len(pictures[k])))], half) for k in kinds]
    still = np.concatenate([np.concatenate(cells[:2], axis=1), np.concatenate(cells[2:], axis=1)])
    # Half of the sounds is for each split; neighbours by name are often cut from one source.
    half_of = len(sounds[PAIRS[kind]]) // 2
    held = sounds[PAIRS[kind]][:half_of] if split == "val" else sounds[PAIRS[kind]][half_of:]
    path = held[int(rng.integers(len(held)))]
    things = tuple((k, k == kind, _cell(place, 2, 2)) for place, k in enumerate(kinds))
    return Mosaic(np.repeat(still[None], round(SECONDS * FPS), axis=0), _sound(path), things, (path.name,))


def _cell(place: int, across: int, down: int) -> Box:
    row, column = divmod(place, across)
    return (column / across, row / down, (column + 1) / across, (row + 1) / down)


def _pictures(path: Path, size: tuple[int, int]) -> Picture:
    """What is shown in the first seconds, uint8 [T, H, W, 3]; the last picture stays where it is shorter."""
    times = np.arange(round(SECONDS * FPS)) / FPS
    return decode(path, times=times.tolist(), size=size).video.transpose(0, 2, 3, 1)


def _sound(path: Path) -> NDArray[np.float32]:
    if not probe(path).sounds:
        raise ValueError(f"{path}: has no sound; mosaics need recordings that have one")
    return decode(path, audio=(0.0, SECONDS), hz=HZ).audio


def enlarged(picture: Picture, side: int) -> Picture:
    """Nearest pixels of a small picture [h, w, 3], so that no detail is made up."""
    rows, columns = (np.arange(side) * n // side for n in picture.shape[:2])
    out: Picture = picture[rows[:, None], columns]
    return out


def read_pictures(source: Path) -> dict[str, list[Picture]]:
    """CIFAR-10 test pictures by class, from its .tar.gz or an unpacked folder with test/CLASS/*.jpg."""
    found: dict[str, list[Picture]] = {}
    for kind, data in _members(source):
        if kind in PAIRS or kind in MUTE:
            found.setdefault(kind, []).append(data)
    if not set(found) & set(PAIRS) or len(found) < 4:
        raise ValueError(f"{source}: no CIFAR-10 pictures (test/CLASS/*.jpg) of {', '.join(PAIRS)} and others")
    return found


def _members(source: Path, most: int = 60) -> Iterator[tuple[str, Picture]]:
    """(class, picture) of at most so many files of each class, in the order of their names."""
    from matplotlib.image import imread

    if source.is_dir():
        for folder in sorted(path for path in source.glob("**/test/*") if path.is_dir()):
            for path in sorted(folder.glob("*.jpg"))[:most]:
                yield folder.name, np.asarray(imread(path))[..., :3]
        return
    with tarfile.open(source) as packed:
        names = sorted(name for name in packed.getnames() if "/test/" in name and name.endswith(".jpg"))
        kept: dict[str, list[str]] = {}
        for name in names:
            kept.setdefault(Path(name).parent.name, []).append(name)
        wanted = {name for held in kept.values() for name in held[:most]}
        read: dict[str, Picture] = {}
        for member in packed:  # in the order of the archive: a step back would unpack it anew
            file = packed.extractfile(member) if member.name in wanted else None
            if file is not None:
                read[member.name] = np.asarray(imread(io.BytesIO(file.read()), format="jpg"))[..., :3]
        for name in names:
            if name in read:
                yield Path(name).parent.name, read[name]


def read_sounds(folder: Path) -> dict[str, list[Path]]:
    """ESC-10 sounds by class: folders "001 - Dog bark" with ogg or wav files."""
    found: dict[str, list[Path]] = {}
    for kind in PAIRS.values():
        files = sorted(path for path in folder.glob(f"*{kind}/*") if path.suffix in (".ogg", ".wav"))
        if len(files) > 1:
            found[kind] = files
    if not found:
        raise ValueError(f'{folder}: no folders of ESC-10, such as "001 - Dog bark"')
    return found


def read_videos(folder: Path) -> list[Path]:
    """The recordings in a folder, in order."""
    found = sorted(path for path in folder.glob("*") if path.suffix in (".mp4", ".mpg", ".mkv", ".webm", ".mov"))
    if not found:
        raise ValueError(f"{folder}: no videos; name the folder that holds them")
    return found


def held_out(recordings: list[Path], everything: bool) -> Held:
    """Which recordings each split takes. Raises ValueError where four different ones cannot be had."""
    held = {"test": recordings[7::8], "val": recordings[6::8]}
    if everything:
        held = dict.fromkeys(held, recordings)
    if len(held["test"]) < MOST_TALKERS:
        raise ValueError(
            f"{recordings[0].parent}: {len(recordings)} recordings, of which {len(held['test'])} are for the test; "
            f"{MOST_TALKERS} are needed (--all takes any)"
        )
    return held


def make(out: Path, bed: str, build: Build, count: int, seed: int, settings: dict[str, Any], workers: int = 1) -> None:
    """Write `count` mosaics; mosaic k is a function of (seed, k) alone. Raises ValueError for a folder of others."""
    stated, given = out / "mosaic.json", {"bed": bed, "seed": seed, **settings}
    if stated.exists():
        found = json.loads(stated.read_text(encoding="utf-8"))
        if found != given:
            raise ValueError(f"{out} holds other mosaics ({found}); choose another folder, or delete this one")
    elif out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} holds other files; choose an empty or new folder")
    videos = out / "videos"
    for split in ("val", "test"):
        (videos / split).mkdir(parents=True, exist_ok=True)
    write_whole(stated, json.dumps(given, indent=1).encode())
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    lines, rows = [], ["path\tsplit\tkind\tcase"]
    with ThreadPoolExecutor(workers) as pool, Progress(*columns, console=Console(stderr=True)) as bar:
        for told in bar.track(pool.map(partial(_one, videos, bed, build, seed), range(count)), count, description=bed):
            lines.append(json.dumps(told))
            rows.append(f"{told['split']}/{told['id']}.mp4\t{told['split']}\t{told['kind']}\t{told['case']}")
    write_whole(out / "truth.jsonl", "".join(f"{line}\n" for line in lines).encode())
    write_whole(out / "labels.tsv", ("\n".join(rows) + "\n").encode())


def _one(videos: Path, bed: str, build: Build, seed: int, index: int) -> dict[str, Any]:
    """Write mosaic `index` where it is missing; its line of truth."""
    split = "val" if index % 4 == 3 else "test"
    mosaic = build(np.random.default_rng((seed, index)), split)
    name = f"{bed}-{index:05d}"
    path = videos / split / f"{name}.mp4"
    if not path.exists():
        write_clip(path, mosaic.frames, FPS, mosaic.sound, HZ)
    heard = [kind for kind, sounding, _ in mosaic.things if sounding]
    boxes = [[round(side, 4) for side in box] for _, _, box in mosaic.things]
    return {
        "id": name,
        "split": split,
        "level": "real",
        "case": "one" if len(mosaic.things) == 1 else "bystander",
        "kind": heard[0],
        # Talkers are of one kind; told apart by their clip, so that another's sound counts as another.
        "kinds": [f"{heard[0]} {index}"] if heard[0] == "talker" else heard,
        "things": [
            {"kind": kind, "sounding": sounding, "intervals": [[0.0, SECONDS]] if sounding else [],
             "boxes": [box] * len(mosaic.frames)}
            for (kind, sounding, _), box in zip(mosaic.things, boxes, strict=True)
        ],
        "offscreen": None,
        "narration": [],
        "sources": list(mosaic.sources),
        "fps": FPS,
        "seconds": SECONDS,
    }  # fmt: skip


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Test beds for localization with known truth, from real recordings.")
    beds = parser.add_subparsers(dest="bed", required=True)
    for bed in ("talkers", "pasted", "classes"):
        made = beds.add_parser(bed)
        if bed == "classes":
            made.add_argument("--pictures", type=Path, required=True, help="CIFAR-10: its .tar.gz or a folder")
            made.add_argument("--sounds", type=Path, required=True, help="ESC-10: its folder")
        else:
            made.add_argument("--data", type=Path, required=True, help="folder of talkers' videos")
            made.add_argument("--all", action="store_true", help="take any recording, not the held-out ones alone")
        if bed == "talkers":
            for name, usual in (("--least", LEAST_TALKERS), ("--most", MOST_TALKERS)):
                made.add_argument(name, type=int, default=usual, choices=range(LEAST_TALKERS, MOST_TALKERS + 1))
        if bed == "pasted":
            made.add_argument("--over", type=Path, required=True, help="folder of larger moving pictures")
        made.add_argument("-o", "--out", type=Path, required=True)
        made.add_argument("--count", type=int, default=200)
        made.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(words)
    build: Build
    try:
        if args.bed == "talkers":
            if args.least > args.most:
                raise ValueError(f"--least {args.least} is more than --most {args.most}")
            build = partial(talkers, held=held_out(read_videos(args.data), args.all), most=args.most, least=args.least)
        elif args.bed == "pasted":
            held = held_out(read_videos(args.data), args.all)
            build = partial(pasted, held=held, larger=read_videos(args.over))
        else:
            build = partial(classes, pictures=read_pictures(args.pictures), sounds=read_sounds(args.sounds))
        named = [name for name in ("data", "over", "pictures", "sounds", "all") if name in args]
        from_where = {name: str(getattr(args, name)) for name in named}
        usual = {"least": LEAST_TALKERS, "most": MOST_TALKERS} if args.bed == "talkers" else {}
        from_where |= {name: str(getattr(args, name)) for name in usual if getattr(args, name) != usual[name]}
        make(args.out, args.bed, build, args.count, args.seed, from_where)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
