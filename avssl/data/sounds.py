"""Placing decoded sound on the time line: the same sample lands on the same place wherever decoding began."""

from __future__ import annotations  # packets are generic for the type checker alone

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.packet import Packet
from numpy.typing import NDArray

from avssl.data.filters import ChannelsFilter, MonoFilter, resample
from avssl.data.open import tick
from avssl.data.pictures import StartEarlier

PREROLL_SECONDS = 0.25  # decoded before what is wanted, so that codecs with a memory (Opus, MP3) have settled
ENDLESS_CODECS = frozenset(["amrnb", "amrwb"])  # never settle: their noise depends on all that came before
TAIL_SECONDS = 0.01  # decoded around what is wanted, for the resampling filter
DRIFT_SECONDS = 0.005  # stored times may wander this far from the count of samples before sound is moved


def preroll_seconds(stream: AudioStream) -> float:
    """How much before the wanted sound has to be decoded; infinite where decoding must begin at the start."""
    return math.inf if stream.codec_context.name in ENDLESS_CODECS else PREROLL_SECONDS


class Sounds:
    """A window of one audio stream as float32 at `hz`, from the stream's packets in order: mixed to mono [S], or some
    of its channels [C, S], counted from 0.

    Containers that store milliseconds say only roughly where a frame starts. Frames of equal length start on a grid
    counted from the start of the stream, so the first frame after a seek is snapped to that grid.
    """

    def __init__(
        self,
        stream: AudioStream,
        start: float,
        seconds: float,
        hz: int,
        zero: Fraction,
        *,
        sought: bool = False,
        channels: Sequence[int] = (),
    ) -> None:
        self.stream, self.context, self.tick, self.zero = stream, stream.codec_context, float(tick(stream)), float(zero)
        self.first, self.count, self.hz = round(start * hz), round(seconds * hz), hz  # output samples
        self.begin, self.end = self.first / hz, (self.first + self.count) / hz
        self.errors, self.done = 0, self.count == 0
        self._offset = stream.start_time or 0  # ticks
        self._stream_start = self._seconds(self._offset)
        self._check = sought  # the next packet is the first after a seek
        self._preroll = preroll_seconds(stream)
        self._channels = tuple(channels)
        self._filter = ChannelsFilter(channels) if channels else MonoFilter()
        self._source_hz = 0
        self._blocks: list[tuple[float | None, NDArray[np.float32]]] = []  # stated start in seconds, sound [C, n]
        self._reached = -math.inf

    def _seconds(self, pts: int) -> float:
        return pts * self.tick - self.zero

    def feed(self, packet: Packet[AudioStream]) -> None:
        """Take the next packet of the stream. Raises StartEarlier."""
        if self.done:
            return
        if packet.pts is not None:
            starts = self._seconds(packet.pts)
            needed = self.begin - self._preroll
            if self._check and starts > max(needed, self._stream_start):
                raise StartEarlier
            self._check = False
            if not self._blocks and starts + (packet.duration or 0) * self.tick < needed:
                return
            if starts > self.end + 1:
                self.done = True
                return
        self._decode(packet)

    def finish(self) -> NDArray[np.float32]:
        """The window, float32 [S] or [C, S]; zeros where the recording holds no sound."""
        if not self.done and self.context.is_open:
            self._decode(None)
        if not self._blocks or not self.count:
            return np.zeros((*([len(self._channels)] if self._channels else []), self.count), np.float32)
        # The resampler starts at a source sample that falls on a sample of the output.
        source_hz, step = self._source_hz, self._source_hz // math.gcd(self._source_hz, self.hz)
        begin = math.floor((self.begin - TAIL_SECONDS) * source_hz / step) * step
        rows = self._blocks[0][1].shape[0]
        sound = np.zeros((rows, math.ceil((self.end + TAIL_SECONDS) * source_hz) - begin), np.float32)
        for place, block in zip(self._places(), (b for _, b in self._blocks), strict=True):
            low, high = max(place - begin, 0), min(place - begin + block.shape[1], sound.shape[1])
            if low < high:
                sound[:, low:high] = block[:, low + begin - place : high + begin - place]
        np.nan_to_num(sound, copy=False, posinf=0.0, neginf=0.0)  # float files may hold anything
        skip = self.first - begin * self.hz // source_hz
        result = np.zeros((rows, self.count), np.float32)
        for row, channel in zip(result, sound, strict=True):
            window = resample(channel, source_hz, self.hz)[skip : skip + self.count]
            row[: len(window)] = window
        return result if self._channels else result[0]

    def _decode(self, packet: Packet[AudioStream] | None) -> None:
        try:
            for frame in self.stream.decode(packet):
                self._take(frame)
        except (FFmpegError, ValueError):
            self.errors += 1

    def _take(self, frame: AudioFrame) -> None:
        starts = None if frame.pts is None else self._seconds(frame.pts)
        sound = np.atleast_2d(self._filter(frame))
        self._source_hz = self._source_hz or frame.sample_rate
        if frame.sample_rate != self._source_hz:
            sound = np.stack([resample(channel, frame.sample_rate, self._source_hz) for channel in sound])
        self._blocks.append((starts, sound))
        # Without a stated time, sound follows what came before.
        self._reached = (max(self._reached, 0.0) if starts is None else starts) + sound.shape[1] / self._source_hz
        self.done = self._reached >= self.end + TAIL_SECONDS

    def _grid(self) -> tuple[float, int]:
        """Where frames may start, in source samples: (first, distance)."""
        lengths = [block.shape[1] for _, block in self._blocks]
        step = math.gcd(*(lengths[1:-1] or lengths[1:] or lengths))  # the first and the last may be cut
        if self.context.name == "vorbis":
            step = math.gcd(step, 64)  # long and short blocks meet in quarters of the shortest
        first = self._stream_start * self._source_hz
        header = self.context.extradata or b""
        if header[:8] == b"OpusHead" and len(header) >= 12:
            # Opus cuts its delay off the first frame. FFmpeg has added it to the start, in rounded ticks.
            delay = int.from_bytes(header[10:12], "little") / 48000
            ticks = math.floor(delay / self.tick + 0.5) * self.tick
            first -= self._source_hz * (ticks if self._offset else delay)
        return first, step

    def _counted(self, place: float, first: float, step: int) -> float:
        """Where counting frames from the start puts one that says `place`; infinite where they cannot be counted.

        Phones write times that wander around the count of samples. The index of an MP4 file tells the count.
        """
        entries = self.stream.index_entries
        if not self.stream.container.format.name.startswith("mov") or step != max(b.shape[1] for _, b in self._blocks):
            return math.inf
        pts = round((place / self._source_hz + self.zero) / self.tick)
        here, origin = (entries.search_timestamp(at, backward=True) for at in (pts, self._offset))
        return first + step * (here - origin) if 0 <= origin <= here else math.inf

    def _places(self) -> list[int]:
        """First source sample of each block, counted from time zero."""
        first, step = self._grid()
        unit = max(1.0, self.tick * self._source_hz) + 1
        stated = [None if starts is None else starts * self._source_hz for starts, _ in self._blocks]
        anchor = 1 if len(stated) > 1 and stated[1] is not None else 0  # the first block may have lost its beginning
        place = stated[anchor] or 0.0
        slack = unit + DRIFT_SECONDS * self._source_hz
        snapped, counted = first + step * round((place - first) / step), self._counted(place, first, step)
        if abs(counted - place) <= slack:
            place = counted
        elif step > 2 * unit and abs(snapped - place) <= unit:
            place = snapped
        places = [round(place)]
        if anchor:
            before = places[0] - self._blocks[0][1].shape[1]
            places.insert(0, before if stated[0] is None or abs(stated[0] - before) <= slack else round(stated[0]))
        for here in range(len(places), len(stated)):
            follows, says = places[-1] + self._blocks[here - 1][1].shape[1], stated[here]
            places.append(follows if says is None or abs(says - follows) <= slack else round(says))
        return places
