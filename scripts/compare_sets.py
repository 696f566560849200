"""What scripts/compare.py learns from and judges on: CIFAR-10, MNIST, frames of the made-up world; made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import beds
import methods
from examiner import MAIN, LabelSet, Tell

from avssl.inputs import Inputs
from avssl.probe import decoded, importers


@dataclass(frozen=True)
class Sizes:
    """How many pictures of each class; a world's clips are of twelve kinds together."""

    train: int = 2000
    """learnt from, without labels"""
    val: int = 100
    """choose a probe's settings, and tell how well the pretext is solved"""
    test: int = 200
    probed: int = 400
    """of those that are learnt from, at most so many fit a probe"""
    mnist: int = 150
    """of each part"""
    world: int = 1500
    side: int = 64
    """pixels of a world's clips"""


def pictures(out: Path, data: Path, sizes: Sizes) -> Path:
    """The manifest of CIFAR-10 that is learnt from."""
    room = out / f"cifar-{sizes.train}-{sizes.val}-{sizes.test}"
    room.mkdir(parents=True, exist_ok=True)
    return methods.pictures(room, data, {"train": sizes.train, "val": sizes.val, "test": sizes.test})


def label_sets(out: Path, data: Path, listed: Path, inputs: Inputs, sizes: Sizes, tell: Tell) -> dict[str, LabelSet]:
    """Name -> label set, the pictures of ``listed`` first. Raises ValueError for what is not there."""
    room = out / "decoded"
    room.mkdir(parents=True, exist_ok=True)
    mnist = data / "mnist"
    if not mnist.is_dir():
        raise ValueError(f"{mnist}: not there; transfer is judged on MNIST as PNG in class folders, see --data")
    world = beds.world(out / f"world-{sizes.world}-{sizes.side}", "easy", sizes.world, sizes.side).manifest
    wanted = {
        MAIN: (importers.read(str(listed), room, label="kind").fewer(sizes.probed), True),
        "mnist": (importers.read(str(mnist), room).fewer(sizes.mnist), False),
        "world": (importers.read(str(world), room, label="kind"), True),
    }
    made = {}
    for name, (found, flip) in wanted.items():
        made[name] = LabelSet(*decoded.decode(found, inputs, "image", room, partial(tell, name)), flip)
    return made
