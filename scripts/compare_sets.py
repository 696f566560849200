"""What scripts/compare.py learns from and judges on: CIFAR-10, MNIST, frames of the made-up world; made once."""

from __future__ import annotations

import tarfile
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import beds
from examiner import MAIN, LabelSet, Tell

from avssl.cli._counting import counting
from avssl.data.manifest import make
from avssl.inputs import Inputs
from avssl.probe import decoded, importers
from avssl.train.checkpoint import replace_text

JUDGED = 1000
"""pictures of each class in CIFAR-10's test part, of which those that judge are taken"""


@dataclass(frozen=True)
class Sizes:
    """How many pictures of each class; a world's clips are of twelve kinds together."""

    train: int = 2000
    """learnt from, without labels"""
    val: int = 100
    """choose a probe's settings, and tell how well the pretext is solved"""
    test: int = 200
    """listed with what is learnt from, for a page about a run; nobody learns from them"""
    probed: int = 400
    """of each part, at most so many fit a probe, choose its settings, and judge it"""
    mnist: int = 150
    """of each part"""
    world: int = 1500
    side: int = 64
    """pixels of a world's clips"""


def pictures(out: Path, data: Path, sizes: Sizes) -> Path:
    """The manifest of CIFAR-10 that is learnt from, as pictures of each class in each split; made once.

    Raises ValueError if it is not there.
    """
    room = out / f"cifar-{sizes.train}-{sizes.val}-{sizes.test}"
    room.mkdir(parents=True, exist_ok=True)
    listed, packed, folder = room / "pictures.jsonl", data / "cifar10" / "cifar10.tar.gz", room / "pictures"
    if listed.is_file():
        return listed
    if not packed.is_file():
        raise ValueError(f"{packed}: not there; methods of pictures are compared on CIFAR-10, see --data")
    wanted = {"train": sizes.train, "val": sizes.val, "test": sizes.test}
    chosen: dict[str, Path] = {}
    taken: Counter[tuple[str, str]] = Counter()
    with tarfile.open(packed) as archive:
        for member in sorted(one for one in archive.getnames() if one.endswith(".jpg")):
            half, kind, name = member.split("/")[-3:]
            split = "test" if half == "test" else "train" if taken["train", kind] < wanted["train"] else "val"
            if taken[split, kind] < wanted[split]:
                taken[split, kind] += 1
                chosen[member] = Path(split, kind, name)
    with tarfile.open(packed) as archive:  # in its own order: going back would unpack all before it again
        for held in archive:
            if held.name in chosen:
                path = folder / chosen[held.name]
                path.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(held)
                assert content is not None
                path.write_bytes(content.read())
    rows = [f"{path}\t{path.parts[0]}\t{path.parts[1]}\n" for path in chosen.values()]
    labels = room / "pictures.tsv"
    replace_text(labels, "path\tsplit\tkind\n" + "".join(rows))
    with counting("listing pictures") as tell:
        make(folder, labels=labels, out=listed, progress=tell)
    return listed


def label_sets(out: Path, data: Path, inputs: Inputs, sizes: Sizes, tell: Tell) -> dict[str, LabelSet]:
    """Name -> label set, CIFAR-10 first. Raises ValueError for what is not there."""
    room = out / "decoded"
    room.mkdir(parents=True, exist_ok=True)
    mnist = data / "mnist"
    if not mnist.is_dir():
        raise ValueError(f"{mnist}: not there; transfer is judged on MNIST as PNG in class folders, see --data")
    judged = pictures(out, data, replace(sizes, test=JUDGED))
    world = beds.world(out / f"world-{sizes.world}-{sizes.side}", "easy", sizes.world, sizes.side).manifest
    wanted = {
        MAIN: (importers.read(str(judged), room, label="kind").fewer(sizes.probed), True),
        "mnist": (importers.read(str(mnist), room).fewer(sizes.mnist), False),
        "world": (importers.read(str(world), room, label="kind"), True),
    }
    made = {}
    for name, (found, flip) in wanted.items():
        made[name] = LabelSet(*decoded.decode(found, inputs, "image", room, partial(tell, name)), flip)
    return made
