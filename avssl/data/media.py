"""Recordings to arrays: pictures at wanted times and a window of sound, in one pass over the least of the file.

Time is presentation time in seconds from `Header.start`. Everything is numpy: workers that decode need no torch.
"""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Stream
from numpy.typing import NDArray

from avssl.data.filters import DEEP_FORMATS, Box
from avssl.data.header import Header, Picture, Sound, probe
from avssl.data.open import (
    Unreadable,
    nothing_to_decode,
    open_media,
    packets,
    picture_streams,
    sound_streams,
    tick,
    time_zero,
)
from avssl.data.pictures import DecodeAll, Pictures, StartEarlier
from avssl.data.scan import Scan, scan, subtitles
from avssl.data.sounds import Sounds, preroll_seconds
from avssl.data.still import PICTURE_FORMATS, may_be_turned

__all__ = [
    "Decoded",
    "Header",
    "Picture",
    "Scan",
    "Sound",
    "Unreadable",
    "decode",
    "open_media",
    "probe",
    "scan",
    "subtitles",
]

# Formats without stored times: after a seek FFmpeg can only guess where it is.
UNTIMED_FORMATS = frozenset(["mp3", "aac", "ac3", "eac3", "amr", "amrnb", "amrwb"]) | PICTURE_FORMATS
SEEK_WORTH_SECONDS = 0.5


@dataclass(frozen=True)
class Decoded:
    """What was read.

    `video` is uint8 [T, 3, H, W] (uint16 [T, 1, H, W] where deep pictures were asked for), `video_times` float64 [T]
    the seconds at which each of these frames is first shown, `audio` float32 [S] ([C, S] where channels were asked
    for). `errors` counts packets that could not be decoded; `truncated` says that pictures were wanted where the
    recording has none any more, so that the last one was repeated.
    """

    video: NDArray[np.uint8] | NDArray[np.uint16]
    video_times: NDArray[np.float64]
    audio: NDArray[np.float32]
    errors: int
    truncated: bool


def decode(
    path: str | os.PathLike[str],
    *,
    times: Sequence[float] | NDArray[np.float64] = (),
    size: tuple[int, int] | None = None,
    audio: tuple[float, float] | None = None,
    hz: int = 16000,
    strict: bool = False,
    box: Box | None = None,
    deep: bool = False,
    channels: Sequence[int] = (),
) -> Decoded:
    """Pictures shown at some times and a window of sound, of one recording.

    `times` are ascending seconds; each gets the frame shown then, as RGB stretched to `size` (H, W), or at the
    displayed size. `audio` is (start, length) in seconds, mixed to mono at `hz`: round(length * hz) samples, zeros
    where the recording has no sound. `box` is the part of the pictures that is shown; `deep` keeps all bits of gray
    pictures with more than 8; `channels`, counted from 0, are kept apart instead of mixed. With `strict`, errors and
    missing pictures raise instead of being counted. Raises Unreadable when the file, or everything wanted of it, cannot
    be read.
    """
    times = [float(t) for t in times]
    if any(b < a for a, b in itertools.pairwise(times)):
        raise ValueError(f"times of {os.fspath(path)} are not ascending")
    if size is not None and min(size) < 1:
        raise ValueError(f"size is {size}, but height and width must be at least 1")
    plain, earlier = False, 0.0
    while True:
        try:
            result = _attempt(path, times, size, audio, hz, earlier, plain, box, deep, channels)
            break
        except StartEarlier:
            earlier = earlier * 4 + 2
        except DecodeAll:
            plain, earlier = True, float("inf")
    if strict and (result.errors or result.truncated):
        wrong = "lacks some of the wanted pictures" if result.truncated else f"has {result.errors} damaged packets"
        raise Unreadable(path, wrong, "leave out strict to take what there is")
    return result


def _attempt(
    path: str | os.PathLike[str],
    times: list[float],
    size: tuple[int, int] | None,
    audio: tuple[float, float] | None,
    hz: int,
    earlier: float,
    plain: bool,
    box: Box | None,
    deep: bool,
    channels: Sequence[int],
) -> Decoded:
    with open_media(path) as container:
        zero = time_zero(container)
        videos = picture_streams(container) if times else []
        sounds = sound_streams(container) if audio is not None else []
        if times and not videos and not sound_streams(container):
            raise nothing_to_decode(path)
        if times and not videos:
            raise Unreadable(path, "has no pictures that can be decoded", "ask for its sound only")
        if deep and videos and videos[0].codec_context.pix_fmt not in DEEP_FORMATS:
            raise Unreadable(path, "has no gray pictures of more than 8 bits", "make the manifest again")
        timed = container.format.name not in UNTIMED_FORMATS
        wanted = list(times[:1])
        if sounds and audio is not None:
            wanted.append(audio[0] - preroll_seconds(sounds[0]) - 0.05)
        sought = timed and _seek(container, [*videos, *sounds][:1], min(wanted, default=0.0) - earlier, zero)
        still = container.format.name in PICTURE_FORMATS
        pictures = sound = None
        if videos:
            pictures = Pictures(
                videos[0], times, zero, size, sought=sought, plain=plain or still, still=still, box=box, deep=deep,
                mirrors=may_be_turned(path, container.format.name) if still else videos[0].frames == 1,
            )  # fmt: skip
        if sounds and audio is not None:
            sound = Sounds(sounds[0], *audio, hz, zero, sought=sought, channels=channels)
        broken = _read(container, pictures, sound)
        if pictures is not None:
            pictures.finish()
            if not pictures.images:
                raise Unreadable(path, "not one picture could be decoded", "is it whole?")
        shown = [float(pts * tick(pictures.stream) - zero) for pts in pictures.shown] if pictures is not None else []
        return Decoded(
            video=_stacked(pictures, size),
            video_times=np.array(shown, np.float64),
            audio=sound.finish() if sound is not None else _silence(round(audio[1] * hz) if audio else 0, channels),
            errors=broken + sum(part.errors for part in (pictures, sound) if part is not None),
            truncated=pictures is not None and pictures.truncated,
        )


def _stacked(pictures: Pictures | None, size: tuple[int, int] | None) -> Any:
    return np.stack(pictures.images) if pictures is not None else np.zeros((0, 3, *(size or (1, 1))), np.uint8)


def _silence(samples: int, channels: Sequence[int]) -> NDArray[np.float32]:
    return np.zeros((len(channels), samples) if channels else samples, np.float32)


def _read(container: InputContainer, pictures: Pictures | None, sound: Sounds | None) -> int:
    """Hand both parts their packets until neither wants more; the number of failed reads."""
    parts: dict[int, Pictures | Sounds] = {part.stream.index: part for part in (pictures, sound) if part is not None}
    for part in parts.values():
        part.context.thread_count = 1
    errors: list[Exception] = []
    if parts:
        for packet in packets(container, [part.stream for part in parts.values()], errors):
            parts[packet.stream_index].feed(packet)
            if all(part.done for part in parts.values()):
                break
    return len(errors)


def _seek(container: InputContainer, streams: Sequence[Stream], seconds: float, zero: Fraction) -> bool:
    """Go to the last key frame up to `seconds`; False when reading has to begin at the start."""
    if not streams or not seconds > SEEK_WORTH_SECONDS:
        return False
    try:
        container.seek(int((Fraction(seconds) + zero) / tick(streams[0])), stream=streams[0])
    except (FFmpegError, OSError, ValueError):
        return False
    return True
