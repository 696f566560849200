"""The streams of a recording that share its clock: its own picture and sound, a part of them, and files beside it.

Names are the manifest's, and five that every recording may have: ``video``, ``audio`` (all channels mixed), ``left``,
``right`` (its first two channels), ``channel3`` and so on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from avssl.data import media
from avssl.data.filters import Box
from avssl.data.manifest import Recording
from avssl.data.media import Decoded
from avssl.data.open import Unreadable

Kind = Literal["picture", "sound"]
_CHANNELS = {"left": 0, "right": 1}
_CHANNEL = re.compile(r"channel([1-9]\d?)")
PICTURES_IN_FOLDERS = frozenset([".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp"])


@dataclass(frozen=True)
class Track:
    """One stream of one recording, and how it is read.

    ``content`` changes whenever what would be read does. ``fps`` is that of a folder of pictures, else 0. ``still``: a
    single picture. ``channel`` counts from 0; None mixes all. ``box`` is the part of the picture that is shown.
    ``low`` and ``high`` are the stored values that become 0 and 1, where pictures are ``deep`` (more than 8 bits).
    """

    name: str
    kind: Kind
    path: Path
    content: str
    seconds: float
    still: bool = False
    fps: float = 0.0
    channel: int | None = None
    box: Box | None = None
    deep: bool = False
    low: float = 0.0
    high: float = 1.0

    def decode(
        self,
        *,
        times: Sequence[float] | NDArray[np.float64] = (),
        size: tuple[int, int] | None = None,
        audio: tuple[float, float] | None = None,
        hz: int = 16000,
    ) -> Decoded:
        """As :func:`avssl.data.media.decode`: pictures at ``times`` or one channel of sound, [S]. Raises Unreadable."""
        if self.fps:
            return _from_folder(self, times, size)
        channels = () if self.channel is None else (self.channel,)
        got = media.decode(
            self.path, times=times, size=size, audio=audio, hz=hz, box=self.box, deep=self.deep, channels=channels
        )
        return replace(got, audio=got.audio[0]) if channels else got

    def scaled(self, pictures: NDArray[Any]) -> NDArray[Any]:
        """Pictures as they are, uint8 [..., 3, H, W]; deep ones by their range, float32 0..1 [..., 1, H, W]."""
        if not self.deep:
            return pictures
        share = (pictures.astype(np.float32) - np.float32(self.low)) / np.float32(self.high - self.low)
        return np.clip(share, 0.0, 1.0, out=share)


def channel_of(name: str) -> int | None:
    """The channel, counted from 0, that a name stands for; None if it stands for none."""
    found = _CHANNEL.fullmatch(name)
    return int(found[1]) - 1 if found else _CHANNELS.get(name)


def beside(names: Sequence[str]) -> list[str]:
    """Those of the names that no recording has by itself: files beside it, or parts of its picture."""
    return [name for name in names if name not in ("video", "audio") and channel_of(name) is None]


def kind_of(recording: Recording, name: str) -> Kind | None:
    """Whether a recording's stream is a picture or a sound; None if it has none of this name."""
    if name in recording.streams:
        return "sound" if recording.streams[name]["kind"] == "sound" else "picture"
    if name == "video":
        return "picture" if recording.video is not None else None
    channel = channel_of(name)
    if recording.audio is None or (channel is None and name != "audio"):
        return None
    return "sound" if (channel or 0) < int(recording.audio.get("channels", 1)) else None


def seconds_of(recording: Recording, name: str) -> float:
    """Length of a stream that the recording has, in seconds."""
    row: Mapping[str, Any] = recording.streams.get(name, {})
    own = recording.video if kind_of(recording, name) == "picture" else recording.audio
    return float(row.get("seconds", recording.seconds if own is None else own.get("seconds", recording.seconds)))


def track(root: Path, recording: Recording, name: str) -> Track | None:
    """A recording's stream of that name; None if it has none. ``root`` is the manifest's folder."""
    kind = kind_of(recording, name)
    if kind is None:
        return None
    row = recording.streams.get(name, {})
    content = str(row.get("sha256", recording.sha256))
    box, range_, fps = row.get("crop"), row.get("range"), float(row.get("folder_fps", 0.0))
    channel = channel_of(name) if not row else None
    told = [f"{key} {value}" for key, value in (("crop", box), ("deep", range_ and "values"), ("fps", fps)) if value]
    if channel is not None:
        told.append(f"channel {channel}")
    low, high = range_ or (0.0, 1.0)
    return Track(
        name, kind, root / str(row.get("path", recording.path)), " ".join([content, *told]),
        seconds_of(recording, name), still=recording.is_picture, fps=fps, channel=channel,
        box=tuple(box) if box else None, deep=range_ is not None, low=float(low), high=float(high),
    )  # fmt: skip


def frame_files(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the numbers in their names (then of the names)."""
    files = [file for file in Path(folder).iterdir() if file.suffix.lower() in PICTURES_IN_FOLDERS]
    return sorted((file for file in files if not (file.name.startswith(".") or file.is_symlink())), key=_number)


def _number(file: Path) -> tuple[int, str]:
    digits = re.findall(r"\d+", file.stem)
    return int(digits[-1]) if digits else -1, file.name


def _from_folder(one: Track, times: Sequence[float] | NDArray[np.float64], size: tuple[int, int] | None) -> Decoded:
    """Picture k of a folder is shown from k / fps on; the last one stays."""
    try:
        files = frame_files(one.path)
    except OSError as error:
        raise Unreadable(one.path, os.strerror(error.errno or 0), "make the manifest again") from None
    if not files:
        raise Unreadable(one.path, "holds no pictures", "make the manifest again")
    wanted = [max(0, int(time * one.fps + 1e-6)) for time in times]
    held: dict[int, NDArray[Any]] = {}
    for index in sorted({min(index, len(files) - 1) for index in wanted}):
        held[index] = media.decode(files[index], times=[0.0], size=size, box=one.box, deep=one.deep).video[0]
    places = [min(index, len(files) - 1) for index in wanted]
    late = any(index > len(files) - 1 + 1.5 for index in wanted)
    video: Any = np.stack([held[place] for place in places])
    return Decoded(video, np.array(places) / one.fps, np.zeros(0, np.float32), 0, late)
