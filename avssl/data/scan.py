"""What a recording really holds, by decoding it once in constant memory; and the text it carries."""

from __future__ import annotations  # packets are generic for the type checker alone

import math
import os
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.packet import Packet
from av.subtitles.subtitle import AssSubtitle
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from avssl.data.filters import MonoFilter, PictureFilter
from avssl.data.open import (
    Unreadable,
    nothing_to_decode,
    open_media,
    packets,
    picture_streams,
    sane_fps,
    sound_streams,
    tick,
    time_zero,
)
from avssl.data.still import SINGLE_FORMATS

SILENCE_DB = -120.0
LONG_SECONDS = 60.0  # above this only key frames are decoded
TINY = (32, 32)
STILL_CELLS = 0.99  # of a tiny picture's cells: where so many differ by less, two pictures a second apart are the same
STILL_DIFFERENCE = 6.0  # of 255; a mean over all cells would not see one small thing move


@dataclass(frozen=True)
class Scan:
    """What decoding a recording found.

    Times are in seconds; `video_seconds` and `audio_seconds` are lengths of what could be decoded, from `video_start`
    and `audio_start` on, `duration` is from the earliest beginning to the latest end of both, 0 for a still picture.
    `frames` counts decoded frames (packets, when the recording is long and only key frames are decoded).
    `loudness_db` is the RMS and `peak_db` the greatest sample of the mono mix against full scale; -120 is silence, None
    is no sound. `stillness` is the share of pictures a second apart that do not differ, None with fewer than two of
    them. `truncated`: the header claims far more.
    """

    duration: float
    frames: int
    video_seconds: float
    audio_seconds: float
    loudness_db: float | None
    peak_db: float | None
    stillness: float | None
    errors: int
    truncated: bool
    video_start: float = 0.0
    audio_start: float = 0.0


class _Look:
    """Length and stillness of one video stream."""

    def __init__(self, stream: VideoStream, keys_only: bool) -> None:
        self.context, self.tick, self.keys_only = stream.codec_context, tick(stream), keys_only
        self.interval = 1 / sane_fps(stream)
        self.first: float = math.inf
        self.last: float = -math.inf
        self.frames = self.pairs = self.still = 0
        self._tiny = PictureFilter(TINY, pixels="gray")
        self._before: NDArray[np.uint8] | None = None
        self._next = -math.inf

    def packet(self, seconds: float, length: float) -> None:
        """Count a packet that is not decoded."""
        self.frames += 1
        self.first, self.last = min(self.first, seconds), max(self.last, seconds + (length or self.interval))

    def frame(self, frame: VideoFrame) -> None:
        """Count a decoded frame, and compare it with the one a second before."""
        seconds = max(self.last, 0.0) if frame.pts is None else float(frame.pts * self.tick)
        if not self.keys_only:
            self.packet(seconds, min(float((frame.duration or 0) * self.tick), 10.0))
        if seconds < self._next:
            return
        picture = self._tiny(frame)
        if self._before is not None:
            self.pairs += 1
            difference = np.abs(picture.astype(np.int16) - self._before.astype(np.int16))
            self.still += int(np.quantile(difference, STILL_CELLS) < STILL_DIFFERENCE)
        self._before, self._next = picture, seconds + 1.0 - self.interval / 2


class _Listen:
    """Length and loudness of one audio stream."""

    def __init__(self, stream: AudioStream) -> None:
        self.tick = tick(stream)
        self.first: float = math.inf
        self.last: float = -math.inf
        self.samples, self.energy, self.peak = 0, 0.0, 0.0
        self._mono = MonoFilter()

    def frame(self, frame: AudioFrame) -> None:
        """Add a decoded frame."""
        seconds = max(self.last, 0.0) if frame.pts is None else float(frame.pts * self.tick)
        hz = frame.sample_rate
        sound = np.nan_to_num(self._mono(frame), posinf=0.0, neginf=0.0)
        if not len(sound):
            return
        self.first, self.last = min(self.first, seconds), max(self.last, seconds + len(sound) / hz)
        self.samples += len(sound)
        self.energy += float(np.square(sound, dtype=np.float64).sum())
        self.peak = max(self.peak, float(np.abs(sound).max()))


def _decibels(amplitude: float) -> float:
    return max(20 * math.log10(amplitude), SILENCE_DB) if amplitude > 0 else SILENCE_DB


def _span(part: _Look | _Listen | None) -> float:
    return part.last - part.first if part is not None and part.last > part.first else 0.0


def scan(path: str | os.PathLike[str], *, max_seconds: float | None = None) -> Scan:
    """Decode a recording from its start (to `max_seconds`), in constant memory. Raises Unreadable."""
    with open_media(path) as container:
        videos, sounds = picture_streams(container)[:1], sound_streams(container)[:1]
        if not videos and not sounds:
            raise nothing_to_decode(path)
        streams: list[VideoStream | AudioStream] = [*videos, *sounds]
        claimed = (container.duration or 0) / 1e6
        zero = float(time_zero(container))
        still = container.format.name in SINGLE_FORMATS
        look = _Look(videos[0], claimed > LONG_SECONDS) if videos else None
        listen = _Listen(sounds[0]) if sounds else None
        broken: list[Exception] = []
        errors, stopped = 0, False
        for stream in streams:
            stream.codec_context.thread_count = 1

        def take(stream: VideoStream | AudioStream, packet: Packet[Any] | None) -> int:
            try:
                for frame in stream.decode(packet):
                    if isinstance(frame, VideoFrame) and look is not None:
                        look.frame(frame)
                    elif isinstance(frame, AudioFrame) and listen is not None:
                        listen.frame(frame)
            except (FFmpegError, ValueError):
                return 1
            return 0

        if look is not None and look.keys_only:
            look.context.skip_frame = "NONKEY"
        for packet in packets(container, streams, broken):
            seconds = None if packet.pts is None else float(packet.pts * packet.time_base)
            if max_seconds is not None and seconds is not None and seconds - zero > max_seconds:
                stopped = True
                break
            if look is not None and packet.stream_index == videos[0].index and look.keys_only:
                if seconds is not None:
                    look.packet(seconds, float((packet.duration or 0) * packet.time_base))
                if not packet.is_keyframe:
                    continue
            errors += take(packet.stream, packet)
        for stream in streams:
            errors += take(stream, None) if stream.codec_context.is_open else 0
    parts = [part for part in (look, listen) if part is not None and part.last > part.first]
    if not parts:
        raise Unreadable(path, "nothing in it could be decoded", "is it whole?")
    duration = 0.0 if still else max(p.last for p in parts) - min(p.first for p in parts)
    return Scan(
        duration=duration,
        frames=look.frames if look is not None else 0,
        video_seconds=0.0 if still else _span(look),
        audio_seconds=_span(listen),
        loudness_db=None
        if not _span(listen) or listen is None
        else _decibels(math.sqrt(listen.energy / listen.samples)),
        peak_db=None if not _span(listen) or listen is None else _decibels(listen.peak),
        stillness=look.still / look.pairs if look is not None and look.pairs else None,
        errors=errors + len(broken),
        truncated=not stopped and not still and claimed > min(1.5 * duration, duration + 1),
        video_start=look.first - zero if look is not None and _span(look) else 0.0,
        audio_start=listen.first - zero if listen is not None and _span(listen) else 0.0,
    )


def plain_text(ass: str) -> str:
    """The words of one ASS event (after its eight fields), without drawing commands and line breaks."""
    text = re.sub(r"\{[^}]*\\p[1-9].*?(\{[^}]*\\p0[^}]*\}|$)", "", ass)  # shapes drawn by commands
    text = re.sub(r"\{[^}]*\}|</?[A-Za-z][^>]*>", "", text)
    return " ".join(re.sub(r"\\[NnhH]", " ", text).split())


def subtitles(path: str | os.PathLike[str], index: int) -> list[tuple[float, float, str]]:
    """(start, end, text) in seconds of one embedded text subtitle stream, in order. Raises Unreadable."""
    lines = []
    with open_media(path) as container:
        found = [s for s in container.streams.subtitles if s.index == index and s.codec_context is not None]
        if not found:
            raise Unreadable(path, f"stream {index} is no subtitle stream that can be decoded", "see its header")
        zero = float(time_zero(container))
        errors: list[Exception] = []
        for packet in packets(container, found, errors):
            if packet.pts is None:
                continue
            start = float(packet.pts * packet.time_base) - zero
            end = start + float((packet.duration or 0) * packet.time_base)
            try:
                decoded = packet.decode()
            except (FFmpegError, ValueError):
                continue
            # An event is "ReadOrder,Layer,Style,Name,MarginL,MarginR,MarginV,Effect,Text".
            texts = [s.ass.decode("utf-8", "replace").split(",", 8)[-1] for s in decoded if isinstance(s, AssSubtitle)]
            text = plain_text(" ".join(texts))
            if text:
                lines.append((start, max(start, end), text))
    return sorted(lines)
