"""One version of a store, opened: what its manifest says and the segments it lists."""

import os
from pathlib import Path
from typing import NamedTuple

from retrieval import manifest as manifests
from retrieval.files import sha256_of
from retrieval.manifest import Manifest
from retrieval.segment import Ids, Segment, hashes_of
from retrieval.space import Space

Question = tuple[str | None, str]  # a condition, and its parameters as they are spelled in Python


class State(NamedTuple):
    """What one version of the manifest says, opened; replaced as a whole, so that other threads see old or new."""

    manifest: Manifest
    segments: tuple[Segment, ...]
    space: Space
    removed: Ids  # sorted
    answers: dict[Question, Ids]  # the filters asked last, and the ids that met them


def damage(directory: str | Path) -> list[str]:
    """Which files of a store are missing, cut or changed, one line each; an unreadable manifest raises ValueError."""
    directory = Path(directory)
    while True:
        manifest = manifests.read(directory)
        found = []
        for name, entry in sorted(manifest["files"].items()):
            path = directory / name
            try:
                with open(path, "rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    if size != entry["bytes"]:
                        found.append(f"{path} is damaged: {size} bytes instead of {entry['bytes']}")
                    elif sha256_of(file.fileno()) != entry["sha256"]:
                        found.append(f"{path} is damaged: its content is not what was written")
            except FileNotFoundError:
                found.append(f"{path} is missing")
        # A writer may have replaced files while they were read: what is wrong with a past version is no damage.
        if not found or manifests.read(directory) == manifest:
            return found


def load_state(directory: Path, before: State | None) -> State:
    """Open what the manifest lists, keeping what is open already."""
    while True:
        manifest = manifests.read(directory)
        if before is not None and before.manifest == manifest:
            return before
        # By hash: another store may have taken the place of this one, with files of the same names.
        known = {segment.hashes: segment for segment in before.segments} if before else {}
        width = int(manifest["space"]["width"])
        try:
            segments = tuple(
                known.get(hashes_of(entry, manifest["files"]))
                or Segment(directory, entry, manifest["files"], width, manifest["dtype"])
                for entry in manifest["segments"]
            )
        except FileNotFoundError as error:
            # Between reading the manifest and opening its files a writer may have gone on to the next version.
            if manifests.read(directory) == manifest:
                raise ValueError(f"{error.filename or error.args[0]} is missing") from None
            continue
        space = Space.from_json(manifest["space"])
        return State(manifest, segments, space, manifests.from_runs(manifest["removed"]), {})
