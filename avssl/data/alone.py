"""A stream that is in no manifest: a file or a folder of pictures that is searched with."""

from __future__ import annotations

import re
from pathlib import Path

from avssl.data.header import Header
from avssl.data.media import probe
from avssl.data.sides import Wanted, wanted
from avssl.data.streams import Track, channel_of, frame_files

_ASKED = re.compile(r"(?P<name>\w+)=(?P<file>.+?)(?P<settings>(,(range|fps|crop)=[^,]*)*)")


def alone(text: str) -> Track:
    """``depth=clip.depth.mkv,range=0:8000``: the stream of that name, read from this file with these settings.

    Settings are those of a manifest's streams: ``range``, ``crop`` and, for a folder of pictures, ``fps``. Channels
    (``left``, ``channel3``) are taken out of the file's sound. ValueError for anything else, a file that is not there,
    and one without what is asked of it; Unreadable for one that is damaged.
    """
    found = _ASKED.fullmatch(text)
    if found is None:
        raise ValueError(f"stream {text!r}: say NAME=FILE, and after it settings, such as depth=clip.mkv,range=0:8000")
    name, path, channel = found["name"], Path(found["file"]), channel_of(found["name"])
    if channel is not None:
        if found["settings"]:
            raise ValueError(f"stream {name}: a channel of a sound has no settings, not {found['settings'][1:]!r}")
        return _heard(name, path, probe(_there(path)), channel)
    asked = wanted(name + found["settings"])
    if path.is_dir():
        return _folder(path, asked)
    header = probe(_there(path))
    if not header.pictures:
        return _heard(name, path, header, None)
    low, high = _range(asked, header.pictures[0].deep_bits)
    return Track(
        name, "picture", path, str(path), header.duration or 0.0, still=header.duration is None, box=asked.crop,
        deep=bool(header.pictures[0].deep_bits), low=low, high=high,
    )  # fmt: skip


def _there(path: Path) -> Path:
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    return path


def _range(asked: Wanted, bits: int) -> tuple[float, float]:
    """The stored values that become 0 and 1, of pictures with so many deep bits."""
    return asked.values or (0.0, 2.0**bits - 1 if bits else 1.0)


def _heard(name: str, path: Path, header: Header, channel: int | None) -> Track:
    if not header.sounds:
        raise ValueError(f"{path}: has no sound to search with")
    if channel is not None and channel >= header.sounds[0].channels:
        raise ValueError(f"{path}: its sound has {header.sounds[0].channels} channels, and {name} is none of them")
    return Track(name, "sound", path, str(path), header.duration or 0.0, channel=channel)


def _folder(path: Path, asked: Wanted) -> Track:
    files = frame_files(path)
    if not files:
        raise ValueError(f"{path}: holds no pictures to search with")
    if not asked.fps:
        raise ValueError(f"{path}: a folder of pictures; say how fast they follow: {asked.name}={path},fps=N")
    bits = probe(files[0]).pictures[0].deep_bits
    low, high = _range(asked, bits)
    return Track(
        asked.name, "picture", path, str(path), len(files) / asked.fps, fps=asked.fps, box=asked.crop,
        deep=bool(bits), low=low, high=high,
    )  # fmt: skip
