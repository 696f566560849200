"""Further streams of recordings, found beside them: ``clip.depth.mkv`` is the depth of ``clip.mp4``, and so on.

A stream is a file (a video, a sound, or, of a still picture, a picture) or a folder of numbered pictures. It begins
when its recording does.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avssl.data import media
from avssl.data.filters import Box
from avssl.data.manifest import Recording
from avssl.data.open import Unreadable
from avssl.data.streams import channel_of, frame_files

if TYPE_CHECKING:
    from avssl.data.audit import Found, Seen

TAKEN = ("video", "audio", "text", "image", "times", "label", "index", "recording")  # mean something else already
OFF_SECONDS = 0.5  # a stream that is shorter or longer than its recording by more is told


@dataclass(frozen=True)
class Wanted:
    """A stream to look for. ``crop`` makes it a part of the recording's own picture instead; ``values`` are the stored
    ones that become 0 and 1 (None: all that the bits hold); ``fps`` is that of folders (0: the recording's own)."""

    name: str
    crop: Box | None = None
    values: tuple[float, float] | None = None
    fps: float = 0.0


@dataclass(frozen=True)
class Side:
    """A file or folder that is one stream of the recording ``of``; paths are relative to the folder looked into."""

    path: str
    of: str
    wanted: Wanted


@dataclass(frozen=True)
class SeenFolder:
    """What a folder of pictures holds: ``broken`` of its ``frames`` cannot be decoded."""

    sha256: str
    frames: int
    broken: int
    width: int
    height: int
    deep_bits: int


def wanted(text: str) -> Wanted:
    """``depth,range=0:8000,fps=12.5`` or ``face,crop=0.2:0.3:0.8:1`` as a stream. Raises ValueError."""
    name, *settings = [part.strip() for part in text.split(",")]
    if not name.replace("_", "").isalnum() or name in TAKEN or channel_of(name) is not None:
        raise ValueError(
            f"stream {name!r}: a name of letters, digits and _ is needed, none that every recording has (video, audio, "
            "left, right, channel3)"
        )
    found: dict[str, tuple[float, ...]] = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        count = {"range": 2, "fps": 1, "crop": 4}.get(key, 0)
        try:
            numbers = tuple(float(number) for number in value.split(":"))
        except ValueError:
            numbers = ()
        if not count or len(numbers) != count:
            raise ValueError(
                f"stream {name}: {setting!r}; known are range=LOW:HIGH, fps=N and crop=X0:Y0:X1:Y1 (shares)"
            )
        found[key] = numbers
    values, crop, fps = found.get("range"), found.get("crop"), found.get("fps", (0.0,))[0]
    if values is not None and not values[0] < values[1]:
        raise ValueError(f"stream {name}: range={values[0]:g}:{values[1]:g}; the lowest value comes first")
    if crop is not None and not (0 <= crop[0] < crop[2] <= 1 and 0 <= crop[1] < crop[3] <= 1):
        raise ValueError(f"stream {name}: crop holds shares of the picture, 0 to 1: left:top:right:bottom")
    if "fps" in found and not 0 < fps <= 1000:
        raise ValueError(f"stream {name}: fps={fps:g}; it must be above 0")
    return Wanted(name, crop, values, fps)  # type: ignore[arg-type]


def take(found: Found, streams: Sequence[Wanted]) -> list[Side]:
    """The streams beside recordings, taken out of what was found; those of no recording are left out there."""
    sides: list[tuple[str, str, Wanted]] = []  # path, stem of the recording
    for one in streams:
        if one.crop is not None:
            continue
        ending = f".{one.name}"
        folders = [name for name in found.names if name.endswith(ending) and os.path.basename(name) != ending]
        sides += [(name, name.removesuffix(ending), one) for name in folders]
        kept, inside = [], set(folders)
        for name in found.media:
            if _stem(name).endswith(ending):
                sides.append((name, _stem(name).removesuffix(ending), one))
            elif not any(str(parent) in inside for parent in Path(name).parents):
                kept.append(name)
        found.media[:] = kept
    of_stem: dict[str, str] = {}
    for name in found.media:
        of_stem.setdefault(_stem(name), name)
    matched: list[Side] = []
    taken: set[tuple[str, str]] = set()
    for path, stem, one in sorted(sides, key=lambda side: (side[0], side[2].name)):
        whose = of_stem.get(stem)
        if whose is None:
            found.left_out.append((path, f"stream {one.name} of no recording"))
        elif (whose, one.name) in taken:
            found.left_out.append((path, f"another stream {one.name} of {whose}"))
        else:
            taken.add((whose, one.name))
            matched.append(Side(path, whose, one))
    return matched


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()


def look_folder(path: str) -> SeenFolder:
    """Everything about a folder of pictures. Raises Unreadable where none of them can be decoded."""
    files = frame_files(Path(path))
    told = hashlib.sha256()
    first: media.Picture | None = None
    broken = 0
    for file in files:
        told.update(f"{file.name}\0".encode(errors="surrogateescape") + hashlib.sha256(file.read_bytes()).digest())
        try:
            media.decode(file, times=[0.0], strict=True)
            first = first or media.probe(file).pictures[0]
        except Unreadable:
            broken += 1
    if first is None:
        raise Unreadable(path, "holds no pictures that can be decoded", "numbered .png files are needed")
    return SeenFolder(told.hexdigest(), len(files), broken, first.width, first.height, first.deep_bits)


def described(recording: Recording, sides: Mapping[Side, Seen | SeenFolder], crops: Sequence[Wanted]) -> Recording:
    """The recording with its streams, and what is odd about them."""
    streams: dict[str, Mapping[str, Any]] = {}
    problems = list(recording.problems)
    for side, seen in sides.items():
        row, errors = _row(recording, side, seen)
        streams[side.wanted.name] = row
        problems += [f"{side.wanted.name}: decode errors ({errors})"] if errors else []
        if abs(row["seconds"] - recording.seconds) > OFF_SECONDS:
            problems.append(f"{side.wanted.name}: not as long ({row['seconds']:.2f} s of {recording.seconds:.2f} s)")
        if side.wanted.values is not None and "range" not in row:
            problems.append(f"{side.wanted.name}: of 8 bits, so without a range")
    if recording.video is not None:
        streams |= {one.name: {"kind": "picture", "crop": list(one.crop)} for one in crops if one.crop is not None}
    return replace(recording, streams=streams, problems=tuple(problems)) if streams else recording


def _row(recording: Recording, side: Side, seen: Seen | SeenFolder) -> tuple[dict[str, Any], int]:
    """A stream as the manifest has it, and how much of it cannot be decoded."""
    row: dict[str, Any] = {"kind": "picture", "path": side.path, "sha256": seen.sha256}
    if isinstance(seen, SeenFolder):
        fps = side.wanted.fps or float((recording.video or {}).get("fps", 0.0))
        if not fps:
            raise ValueError(f"{side.path}: {recording.path} has no picture, so say how fast: {side.wanted.name},fps=N")
        bits, errors = seen.deep_bits, seen.broken
        row |= {"seconds": seen.frames / fps, "folder_fps": fps, "width": seen.width, "height": seen.height}
    else:
        errors = seen.scan.errors
        if not seen.header.pictures or not seen.scan.frames:
            sound = seen.header.sounds[0]
            row |= {"kind": "sound", "seconds": seen.scan.audio_seconds, "hz": sound.hz, "channels": sound.channels}
            return row, errors
        first = seen.header.pictures[0]
        bits = first.deep_bits
        row |= {"seconds": seen.scan.video_seconds, "width": first.width, "height": first.height, "fps": first.fps}
    if bits:
        row["range"] = list(side.wanted.values or (0.0, 2.0**bits - 1))
    return row, errors
