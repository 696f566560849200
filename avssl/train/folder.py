"""A folder of recordings as a manifest, told while it is made."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from avssl.data import manifest
from avssl.data.audit import walk
from avssl.data.manifest import Manifest
from avssl.data.suffixes import MEDIA
from avssl.train.log import QUIET_SECONDS
from avssl.words import counted

Say = Callable[[str], None]


def changes_of(folder: Path, held: Manifest) -> str:
    """What a folder holds now that a manifest made from it does not, and what is gone, in words; "" for nothing.

    By the names of files: none is opened.
    """
    known = {os.path.realpath(folder / name) for name, _ in held.left_out}
    for one in held.recordings:
        beside = [row["path"] for row in one.streams.values() if "path" in row]
        known |= {os.path.realpath(held.root / name) for name in (one.path, *beside)}
    there = {Path(os.path.realpath(folder / name)) for name in walk(folder, MEDIA).media}
    new = sum(not known & {str(one), *map(str, one.parents)} for one in there)  # a stream may be a folder of pictures
    counts = {"new": new, "gone": sum(not held.path_of(one).exists() for one in held.recordings)}
    return " and ".join(f"{counted(count, 'file')} {how}" for how, count in counts.items() if count)


def manifest_of(folder: Path, labels: str, say: Say, further: Sequence[str] = ()) -> Manifest:
    """The manifest of a folder, its warnings told; ``further`` streams are looked for beside the recordings."""
    say(f"looking into {folder}")
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= QUIET_SECONDS:
            told = time.monotonic()
            say(f"looked into {done} of {total} files")

    made = manifest.make(folder, labels=Path(labels) if labels else None, progress=tell, streams=further)
    odd = sum(bool(recording.problems) for recording in made.recordings)
    found, left_out = counted(len(made.recordings), "recording"), counted(len(made.left_out), "file")
    say(
        f"{found}, {odd} of them odd, {left_out} left out; to read which and why: avssl manifest {folder} -o FILE.jsonl"
    )
    for warning in made.warnings:
        say(f"warning: {warning}")
    return made
