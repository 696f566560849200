"""A folder of recordings as a manifest, told while it is made."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from avssl.data import manifest
from avssl.data.manifest import Manifest
from avssl.train.log import QUIET_SECONDS
from avssl.words import counted

Say = Callable[[str], None]


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
