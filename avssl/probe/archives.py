"""Label sets packed as .tar: unpacked once, contents alone."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

ARCHIVES = (".tar", ".tar.gz", ".tgz")


def unpacked(archive: Path, room: Path, say: Callable[[str], None]) -> Path:
    """The folder that an archive holds, unpacked below ``room``; done once, for each archive that was there, and said
    before."""
    state = archive.stat()
    about = repr((str(archive.resolve()), state.st_size, state.st_mtime_ns))
    into = room / f"{stem(archive)}-{hashlib.sha256(about.encode()).hexdigest()[:12]}"
    done = room / f".{into.name}.done"
    if not done.exists():
        say(f"unpacking {archive}")
        into.mkdir(parents=True, exist_ok=True)
        try:
            with tarfile.open(archive) as held:
                _unpack(held, into)
        except (tarfile.TarError, EOFError, KeyError) as error:
            raise ValueError(f"{archive}: cannot be unpacked ({error})") from None
        done.touch()
    inside = list(into.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else into


def _unpack(held: tarfile.TarFile, into: Path) -> None:
    """Contents alone: no links, devices, owners or modes. Older Pythons have no filter for that. Raises TarError, and
    KeyError for a link to nothing."""
    for member in held:
        path = into / member.name
        if not path.resolve().is_relative_to(into.resolve()):
            raise tarfile.TarError(f"{member.name} leads out of it")
        source = held.extractfile(member)
        if source is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                shutil.copyfileobj(source, file)


def stem(archive: Path) -> str:
    """Its name without what it is packed by."""
    return archive.name.removesuffix(max((end for end in ARCHIVES if archive.name.endswith(end)), key=len))
