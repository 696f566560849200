"""Decoded items on disk, at one run's size and rates, so that an item is decoded once and then only read.

One file per item: its sound as int16, then its pictures as uint8 [F, 3, H, W]. The name is a hash of the content and of
everything that shapes the file, and the file appears whole, so that any number of processes may race to write it.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from avssl.data.windows import grid_frames, last_place
from avssl.sample import Needs

if TYPE_CHECKING:
    from avssl.data.dataset import Items

VERSION = 2  # raise it when the same file is decoded to other pixels
SPARE_BYTES = 1 << 30  # free disk that is never used up
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What of an item can ever be asked for: its pictures on the grid of 1 / fps, its sound with what windows reach.

    ``start`` and ``end`` are the item's, in seconds; ``frames`` counts pictures; sound covers samples
    ``sound_first`` to ``sound_last`` of the recording at ``hz``.
    """

    start: float
    end: float
    still: bool
    frames: int
    fps: float
    height: int
    width: int
    hz: int
    sound_first: int
    sound_last: int
    planes: ClassVar[int] = 3
    pixel: ClassVar[type[Any]] = np.uint8

    @classmethod
    def of(cls, start: float, end: float, needs: Needs, still: bool = False) -> Plan:
        """The plan of an item under ``needs``."""
        last = last_place(start, end, needs)
        frames = 0 if not needs.frames else max(grid_frames(end - start, needs.fps), last + needs.frames)
        sound = (0, 0)
        if needs.audio_seconds > 0:
            sound = _sound(start, 0, needs)[0], _sound(start, last, needs)[1]
        return cls(start, end, still, frames, needs.fps, needs.height, needs.width, needs.hz, *sound)

    def time(self, k: int) -> float:
        """Presentation time of grid point ``k``, in seconds; a still picture has only one."""
        return 0.0 if self.still else self.start + k / self.fps

    def window(self, place: int, needs: Needs) -> tuple[tuple[int, int], tuple[int, int]]:
        """Grid frames and sound samples, each [first, last), of the window that begins at grid point ``place``."""
        frames = (place, place + needs.frames)
        return frames, _sound(self.start, place, needs) if needs.audio_seconds > 0 else (0, 0)

    @property
    def sound_bytes(self) -> int:
        """Bytes of sound in the file."""
        return 2 * (self.sound_last - self.sound_first)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one picture."""
        return self.planes * np.dtype(self.pixel).itemsize * self.height * self.width

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return self.sound_bytes + self.frames * self.frame_bytes

    def of_stream(self, kind: str, deep: bool) -> Plan:
        """What of it one stream holds, a picture (deep: one plane of 16 bits) or a sound."""
        half = replace(self, frames=0) if kind == "sound" else replace(self, sound_first=0, sound_last=0)
        return DeepPlan(*astuple(half)) if deep else half

    def name(self, sha256: str) -> str:
        """Name of the file, below the cache folder."""
        told = hashlib.blake2b(repr((VERSION, sha256, astuple(self))).encode(), digest_size=16).hexdigest()
        return f"{told[:2]}/{told}.item"


@dataclass(frozen=True)
class DeepPlan(Plan):
    """A plan of pictures of one plane with 16 bits."""

    planes = 1
    pixel = np.uint16


def _sound(start: float, place: int, needs: Needs) -> tuple[int, int]:
    """Samples [first, last) of the sound centred on a window; the count is the same for every window."""
    begin = start + place / needs.fps + (needs.window_seconds - needs.audio_seconds) / 2
    first = round(begin * needs.hz)
    return first, first + round(needs.audio_seconds * needs.hz)


Read = Callable[[Path, Plan, tuple[int, int], tuple[int, int]], tuple[NDArray[Any], NDArray[np.float32]]]


@dataclass(frozen=True)
class Stored:
    """A decoded item: a file, or, where it could not be written, the arrays themselves."""

    plan: Plan
    path: Path | None
    video: NDArray[Any] | None = None
    sound: NDArray[np.int16] | None = None

    def cut(self, frames: tuple[int, int], sound: tuple[int, int]) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Grid frames and sound samples, as :func:`avssl.data.dataset.read` gives them. Raises OSError."""
        plan = self.plan
        first, count = sound[0] - plan.sound_first, sound[1] - sound[0]
        shape = (frames[1] - frames[0], plan.planes, plan.height, plan.width)
        if self.path is None:
            assert self.video is not None
            assert self.sound is not None
            return self.video[frames[0] : frames[1]], _floats(self.sound[first : first + count])
        wave = np.fromfile(self.path, "<i2", count, offset=2 * first)
        skip = plan.sound_bytes + frames[0] * plan.frame_bytes
        pixels = np.fromfile(self.path, plan.pixel, math.prod(shape), offset=skip)
        return pixels.reshape(shape), _floats(wave)


def fetch(folder: Path, path: Path, sha256: str, plan: Plan, read: Read) -> Stored:
    """The decoded item, decoded and written first if it is not there yet. Raises Unreadable for bad media."""
    file = folder / plan.name(sha256)
    try:
        if file.stat().st_size == plan.bytes:
            return Stored(plan, file)
    except OSError:
        pass
    video, sound = read(path, plan, (0, plan.frames), (plan.sound_first, plan.sound_last))
    wave = np.round(sound * 32767).astype("<i2")
    try:
        _write(file, wave, video)
    except OSError as error:
        _log.warning("%s: decoded items cannot be kept (%s); going on without", folder, error.strerror)
        return Stored(plan, None, video, wave)
    return Stored(plan, file)


def estimate_bytes(items: Items, needs: Needs) -> int:
    """Disk that all items take when they are decoded."""
    return sum(plan.bytes for plan, _ in _plans(items, needs))


def folder(items: Items, needs: Needs, cache_gb: float, root: Path | None = None) -> Path | None:
    """Where decoded items are kept, or None when they do not fit ``cache_gb`` or the free disk.

    Called once at the start of a run. Items of other runs are removed, the longest unused first, as far as the limit
    needs it. ``root`` is a folder for all runs (default: the user's cache folder).
    """
    limit = int(cache_gb * 1e9)
    wanted = {plan.name(sha256): plan.bytes for plan, sha256 in _plans(items, needs)}
    total = sum(wanted.values())
    if not total or total > limit:
        return None
    base = root or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avssl" / "items"
    try:
        base.mkdir(parents=True, exist_ok=True)
        held = {str(file.relative_to(base)): file.stat() for file in base.glob("??/*.item")}
        others = sorted((stat.st_mtime, name, stat.st_size) for name, stat in held.items() if name not in wanted)
        excess = sum(size for _, _, size in others) + total - limit
        for _, name, size in others:
            if excess <= 0:
                break
            (base / name).unlink(missing_ok=True)
            excess -= size
        missing = total - sum(stat.st_size for name, stat in held.items() if name in wanted)
        if missing + SPARE_BYTES > shutil.disk_usage(base).free:
            return None
    except OSError:
        return None
    return base


def _plans(items: Items, needs: Needs) -> list[tuple[Plan, str]]:
    found = []
    for item in items.items:
        recording = items.recordings[item.recording]
        plan = Plan.of(item.start, item.end, needs, recording.is_picture)
        tracks = [items.track(item.recording, name) for name in needs.streams]
        found += [(plan.of_stream(one.kind, one.deep), one.content) for one in tracks]
        found += [] if tracks else [(plan, recording.sha256)]
    return found


def _floats(wave: NDArray[np.int16]) -> NDArray[np.float32]:
    return wave.astype(np.float32) / np.float32(32767)


def _write(file: Path, wave: NDArray[np.int16], video: NDArray[Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.stem}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        with open(partial, "wb") as out:
            out.write(np.ascontiguousarray(wave).data)
            out.write(np.ascontiguousarray(video).data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
