"""Choosing, from a stream's packets, the least that must be decoded to show the picture at each wanted time."""

from __future__ import annotations  # packets are generic for the type checker alone

import bisect
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from avssl.data.filters import Box, DeepFilter, PictureFilter
from avssl.data.open import aspect, sane_fps, tick

Skip = Literal["DEFAULT", "NONREF"]
MAX_PENDING = 64 << 20  # bytes of packets held while looking for a later key frame
MAX_UNDATED = 64  # packets in a row without a decoding time after which the stream is taken to have none


class StartEarlier(Exception):
    """A seek landed after what is wanted."""


class DecodeAll(Exception):
    """The packets' times did not tell which frames come out: the stream has to be decoded without shortcuts."""


class Pictures:
    """Frames shown at ascending times, from the packets of one video stream in order.

    A wanted time is settled when a packet with a later decoding time arrives: the packet with the greatest pts up to
    it is its target. Packets before the last key frame that will do are never decoded, and non-reference frames
    that nobody wants are skipped. With `plain` every packet is decoded and only the frames' own times count.
    """

    def __init__(
        self,
        stream: VideoStream,
        times: Sequence[float],
        zero: Fraction,
        size: tuple[int, int] | None,
        *,
        sought: bool = False,
        plain: bool = False,
        still: bool = False,
        box: Box | None = None,
        deep: bool = False,
        mirrors: bool = False,
    ) -> None:
        unit = tick(stream)
        # The last pts that counts as "not after" each time: half a tick of tolerance, because stored times are rounded.
        self.limits = [math.floor((Fraction(float(t)) + zero) / unit + Fraction(1, 2)) for t in times]
        self.stream, self.context = stream, stream.codec_context
        self.sought, self.plain = sought, plain
        self.interval = math.inf if still else 1 / (sane_fps(stream) * float(unit))  # ticks per frame
        white = self.context.name not in ("tiff", "bmp")  # of which a fourth channel may be anything
        self.filter = (
            DeepFilter(size, box, mirrors)
            if deep
            else PictureFilter(size, aspect(stream), box=box, white=white, mirrors=mirrors)
        )
        self.images: list[NDArray[np.uint8] | NDArray[np.uint16]] = []
        self.shown: list[int] = []  # pts of the image given for each time
        self.errors, self.truncated = 0, False
        self._targets: list[int] = []  # pts of the frame wanted for each settled time
        self._end = len(self.limits)  # first time that was settled by the end of the stream
        self._pending: list[tuple[int, Packet[VideoStream]]] = []
        self._bytes = self._undated = 0
        self._seen: list[int] = []  # pts of packets since the last useful key frame, sorted
        self._fed = self._restart = False
        self._last: VideoFrame | None = None
        self._last_pts = round(zero / unit) - 1

    @property
    def done(self) -> bool:
        """Whether no further packet is needed."""
        return len(self.images) == len(self.limits) or len(self._targets) == len(self.limits)

    def feed(self, packet: Packet[VideoStream]) -> None:
        """Take the next packet of the stream. Raises StartEarlier or DecodeAll."""
        if self.done:
            return
        pts = packet.pts
        if pts is None and not self.plain:
            self._decode_pending()
        if pts is None or self.plain:
            self._decode(packet, "DEFAULT")
            return
        if packet.is_keyframe and pts <= self.limits[len(self._targets)]:
            self._pending, self._seen, self._bytes = [], [], 0
            self._restart = self._fed
        self._pending.append((pts, packet))
        self._bytes += packet.size
        if not packet.is_discard:
            bisect.insort(self._seen, pts)
        if self._targets and self._targets[-1] < pts <= self.limits[len(self._targets) - 1] and not packet.is_discard:
            raise DecodeAll  # the decoding times promised that no such packet would come
        # Matroska has no decoding times for the first packets after a seek: they settle nothing.
        self._undated = self._undated + 1 if packet.dts is None else 0
        if packet.dts is not None:
            self._settle(packet.dts)
        if self._bytes > MAX_PENDING or self._undated > MAX_UNDATED:
            self._decode_pending()

    def finish(self) -> None:
        """No more packets will come: give every time its picture. Raises StartEarlier or DecodeAll."""
        self._settle(math.inf)
        self._end = min(self._end, len(self._targets) if self.plain else self._end)
        self._drain()
        while self._last is not None and len(self.images) < len(self.limits):
            self._give(self._last, self._last_pts)
        if self.sought and len(self.images) < len(self.limits):
            raise StartEarlier

    def _settle(self, horizon: float) -> None:
        """Find the target of each time before `horizon`, the earliest pts that packets to come can have."""
        before = len(self._targets)
        while self._seen and len(self._targets) < len(self.limits) and self.limits[len(self._targets)] < horizon:
            limit = self.limits[len(self._targets)]
            place = bisect.bisect_right(self._seen, limit)
            if self.sought and not self._fed:
                key = next((pts for pts, packet in self._pending if packet.is_keyframe), math.inf)
                if place == 0 or key > limit:
                    raise StartEarlier
            if math.isinf(horizon):
                self._end = min(self._end, len(self._targets))
            self._targets.append(self._seen[max(place - 1, 0)])
        if len(self._targets) == before:
            return
        while (
            len(self.images) < len(self._targets) and self._targets[len(self.images)] <= self._last_pts and self._last
        ):
            self._give(self._last, self._last_pts)
        wanted = set(self._targets[len(self.images) :])
        last = max((i for i, (pts, _) in enumerate(self._pending) if pts in wanted), default=-1)
        send, self._pending = self._pending[: last + 1], self._pending[last + 1 :]
        self._bytes = sum(packet.size for _, packet in self._pending)
        for pts, packet in send:
            self._decode(packet, "DEFAULT" if pts in wanted else "NONREF")

    def _decode_pending(self) -> None:
        self.plain = True
        for _, packet in self._pending:
            self._decode(packet, "DEFAULT")
        self._pending, self._bytes = [], 0

    def _drain(self) -> None:
        if self._fed:
            self._decode(None, "DEFAULT")

    def _decode(self, packet: Packet[VideoStream] | None, skip: Skip) -> None:
        if packet is not None:
            if self._restart:
                self._drain()
                self.context.flush_buffers()
                self._restart = False
            self._fed = True
        try:
            self.context.skip_frame = skip
            frames = self.stream.decode(packet)
        except (FFmpegError, ValueError):
            self.errors += 1
            return
        for frame in frames:
            pts = self._last_pts + max(1, round(self.interval)) if frame.pts is None else frame.pts
            if self._last is None or pts > self._last_pts:
                self._arrive(frame, pts)
                self._last, self._last_pts = frame, pts

    def _arrive(self, frame: VideoFrame, pts: int) -> None:
        """Give a frame, the next in order of presentation, or the one before it, to the times that it decides."""
        while (here := len(self.images)) < len(self.limits):
            if here < len(self._targets):
                if pts < self._targets[here]:
                    return
                keep = pts > self._targets[here]
            else:
                if not self.plain or pts <= self.limits[here]:
                    return
                keep = True
            if keep and self._last is not None:
                self._give(self._last, self._last_pts)
            else:
                self._give(frame, pts)

    def _give(self, frame: VideoFrame, pts: int) -> None:
        here = len(self.images)
        late = self.limits[here] - pts
        if self.sought and late < 0:
            raise StartEarlier
        if here < len(self._targets) and pts != self._targets[here] and not self.errors and not self.plain:
            raise DecodeAll
        if (here >= self._end and (not self._seen or pts >= self._seen[-1])) or self.errors:
            # A frame may be shown for long on purpose; then its duration says so, or a later frame.
            self.truncated |= late > max(1.5 * self.interval, (frame.duration or 0) + 0.5 * self.interval)
        if self.shown and self.shown[-1] == pts:
            self.images.append(self.images[-1])
        else:
            self.images.append(self.filter(frame))
        self.shown.append(pts)
