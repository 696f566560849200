"""Decoded pictures to arrays of a wanted size, decoded sound to samples; by FFmpeg's filters where values may mix."""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.filter import Graph
from av.sidedata.sidedata import Type as SideDataType
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from avssl.data.open import displayed, size_is_sane, upright

# Without full_chroma_int swscale halves the resolution of colour: an error of 14 of 255 on saturated texture.
SCALE_FLAGS = "bilinear+full_chroma_int"
# (rotation, mirrored) -> what FFmpeg's transpose does in turn. The frame's rotation is counterclockwise and still to be
# applied; clock turns clockwise, cclock_flip swaps rows and columns.
_TURNS = {
    (0, False): (),
    (90, False): ("cclock",),
    (180, False): ("clock", "clock"),
    (270, False): ("clock",),
    (0, True): ("cclock_flip", "cclock"),
    (90, True): ("clock_flip",),
    (180, True): ("cclock_flip", "clock"),
    (270, True): ("cclock_flip",),
}
# PyAV gives no side data at all of a frame that holds some it has no name for, as for Exif and views of both eyes.
_UNNAMED = sorted(set(range(40)) - {kind.value for kind in SideDataType})
DEEP_FORMATS = {f"gray{bits}{order}": bits for bits in (9, 10, 12, 14, 16) for order in ("le", "be")}
"""pixel formats of one plane with more than 8 bits -> bits"""
Box = tuple[float, float, float, float]
"""left, top, right, bottom as shares of a displayed picture"""
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def mirrored(frame: VideoFrame) -> bool:
    """Whether a frame is to be turned over, its top row to the bottom, before it is turned by its rotation."""
    # Asked for its side data, a frame lives until garbage is collected: a tiny one is asked.
    deleted = [("sidedata", f"mode=delete:type={kind}") for kind in _UNNAMED]
    held: Any = _through(frame, [*deleted, ("scale", "2:2:flags=neighbor"), ("format", "gray")]).side_data
    if "DISPLAYMATRIX" not in held:
        return False
    across, down = np.frombuffer(bytes(held["DISPLAYMATRIX"]), np.int32, 9).reshape(3, 3)[:2, :2].tolist()
    return bool(across[0] * down[1] < across[1] * down[0])


def _through(frame: VideoFrame, filters: Sequence[tuple[str, str]]) -> VideoFrame:
    """A frame after some of FFmpeg's filters."""
    graph = _graph(frame, filters)
    graph.vpush(frame)
    return graph.vpull()


def _graph(frame: VideoFrame, filters: Sequence[tuple[str, str]]) -> Graph:
    """FFmpeg's filters one after the other, each a name and its options, for frames like this one."""
    graph = Graph()
    graph.threads = 1
    unit = frame.time_base or Fraction(1, 1000)
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=unit)
    graph.link_nodes(source, *(graph.add(*one) for one in filters), graph.add("buffersink")).configure()
    return graph


def on_white(frame: VideoFrame) -> VideoFrame:
    """A frame as it looks before white, where some of it is transparent; else the frame itself."""
    if not _may_be_transparent(frame.format.name):
        return frame
    pixels = _through(frame, [("scale", f"flags={SCALE_FLAGS}"), ("format", "rgba")]).to_ndarray()
    colors, alpha = pixels[..., :3], pixels[..., 3:].astype(np.uint16)
    if alpha.min() == 255:
        return frame
    light = colors * alpha  # up to 65025, so 16 bits hold all that is added, too
    light += 255 * (255 - alpha) + 127
    light //= 255
    shown = VideoFrame.from_ndarray(light.astype(np.uint8), "rgb24")
    shown.pts, shown.time_base = frame.pts, frame.time_base or Fraction(1, 1000)
    return shown


@cache
def _may_be_transparent(name: str) -> bool:
    kind = VideoFormat(name)
    return bool(kind.has_palette or any(part.is_alpha for part in kind.components))


def stored_box(box: Box, rotation: int, mirror: bool = False) -> Box:
    """Where a box of the displayed picture lies in the stored one, which is turned to be shown: over, then around."""
    x0, y0, x1, y1 = box
    turned = {90: (1 - y1, x0, 1 - y0, x1), 180: (1 - x1, 1 - y1, 1 - x0, 1 - y0), 270: (y0, 1 - x1, y1, 1 - x0)}
    x0, y0, x1, y1 = turned.get(rotation, box)
    return (x0, 1 - y1, x1, 1 - y0) if mirror else (x0, y0, x1, y1)


def _pixels(box: Box, height: int, width: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of a box in pixels, at least one pixel."""
    left, top = min(int(box[0] * width), width - 1), min(int(box[1] * height), height - 1)
    return left, top, max(1, round(box[2] * width) - left), max(1, round(box[3] * height) - top)


class PictureFilter:
    """Frames to uint8 [3, H, W], upright, with square pixels, on white; rebuilt whenever the stream changes its shape.

    `size` is (H, W), None for the displayed size. `ratio` is a pixel's width over its height. `box` is what is shown,
    None for all. Without `white`, a fourth channel is passed over; without `mirrors`, nobody asks whether a frame is to
    be mirrored, which takes as long as decoding a small picture, and memory until garbage is collected.
    """

    def __init__(
        self,
        size: tuple[int, int] | None,
        ratio: Fraction = Fraction(1),
        pixels: str = "rgb24",
        box: Box | None = None,
        white: bool = True,
        mirrors: bool = False,
    ) -> None:
        self.size, self.ratio, self.pixels, self.box = size, ratio, pixels, box
        self.white, self.mirrors = white, mirrors
        self._key: tuple[object, ...] | None = None
        self._graph: Graph | None = None

    def _build(self, frame: VideoFrame, rotation: int, mirror: bool) -> Graph:
        left, top, wide, high = _pixels(stored_box(self.box or WHOLE, rotation, mirror), frame.height, frame.width)
        width, height = displayed(wide, high, self.ratio, rotation)
        if self.size is not None:
            height, width = self.size
        if rotation % 180:
            width, height = height, width  # scaling comes first: turning the small picture is cheaper
        return _graph(frame, [
            *([] if self.box is None else [("crop", f"{wide}:{high}:{left}:{top}:exact=1")]),
            ("scale", f"{width}:{height}:flags={SCALE_FLAGS}"),
            ("format", self.pixels),
            *(("transpose", turn) for turn in _TURNS[rotation, mirror]),
        ])  # fmt: skip

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """One frame as uint8 [3, H, W] ([1, H, W] for gray)."""
        if not size_is_sane(frame.width, frame.height):
            raise ValueError(f"a frame of {frame.width}x{frame.height} is too large")
        stored, rotation = frame, upright(frame.rotation)
        if self.white:
            frame = on_white(stored)
        key = (frame.width, frame.height, frame.format.name, int(frame.colorspace), int(frame.color_range), rotation)
        if self._graph is None or key != self._key:
            self._graph, self._key = self._build(frame, rotation, self.mirrors and mirrored(stored)), key
        self._graph.vpush(frame)
        pixels = self._graph.vpull().to_ndarray()
        return np.ascontiguousarray(pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None])


class DeepFilter:
    """Frames of one plane with more than 8 bits to uint16 [1, H, W], upright, each value as it was stored.

    A smaller or larger picture takes the nearest pixel: between a near and a far thing there is nothing half way.
    `size` is (H, W), None for the stored size; `box` is what is shown, None for all.
    """

    def __init__(self, size: tuple[int, int] | None, box: Box | None = None, mirrors: bool = False) -> None:
        self.size, self.box, self.mirrors = size, box, mirrors

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint16]:
        """One frame as uint16 [1, H, W]."""
        if not size_is_sane(frame.width, frame.height):
            raise ValueError(f"a frame of {frame.width}x{frame.height} is too large")
        plain = frame if frame.format.name in DEEP_FORMATS else frame.reformat(format="gray16le")
        stored = plain.to_ndarray()
        picture = np.rot90(stored[::-1] if self.mirrors and mirrored(frame) else stored, upright(frame.rotation) // 90)
        if self.box is not None:
            left, top, width, height = _pixels(self.box, *picture.shape)
            picture = picture[top : top + height, left : left + width]
        if self.size is not None:
            rows, columns = (
                ((np.arange(wanted) + 0.5) * held / wanted).astype(int)
                for wanted, held in zip(self.size, picture.shape, strict=True)
            )
            picture = picture[rows[:, None], columns]
        return np.ascontiguousarray(picture, np.uint16)[None]


class MonoFilter:
    """Audio frames to float32 [n] at their own rate, all channels mixed without clipping.

    A frame is mixed by FFmpeg before it becomes an array: PyAV dies on some 8-channel frames otherwise.
    """

    def __init__(self) -> None:
        self._key: tuple[object, ...] | None = None
        self._resampler: AudioResampler | None = None

    def __call__(self, frame: AudioFrame) -> NDArray[np.float32]:
        """One frame as float32 [n]."""
        if frame.format.name in ("flt", "fltp") and len(frame.layout.channels) == 1:
            return np.asarray(frame.to_ndarray()[0], np.float32)
        key = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or key != self._key:
            # rematrix_maxval keeps the sum of the channels' weights at 1; FFmpeg lets float output exceed it.
            self._resampler = AudioResampler("flt", "mono", frame.sample_rate, options={"rematrix_maxval": "1.0"})
            self._key = key
        frame.pts = None  # the graph must not make up for gaps; placing sound in time is the caller's work
        parts = [part.to_ndarray()[0] for part in self._resampler.resample(frame)]
        return np.concatenate([np.zeros(0, np.float32), *parts])


class ChannelsFilter:
    """Audio frames to float32 [C, n] at their own rate: some of their channels, each as it is.

    `channels` count from 0; one that a frame does not have is silence.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        self.channels = tuple(channels)
        self._key: tuple[object, ...] | None = None
        self._resampler: AudioResampler | None = None

    def __call__(self, frame: AudioFrame) -> NDArray[np.float32]:
        """One frame as float32 [C, n]."""
        key = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or key != self._key:
            self._resampler, self._key = AudioResampler("flt", frame.layout.name, frame.sample_rate), key
        held = frame.layout.nb_channels
        frame.pts = None
        # interleaved samples become an array whatever the number of channels, planes do not
        parts = [part.to_ndarray().reshape(-1, held) for part in self._resampler.resample(frame)]
        sound = np.concatenate([np.zeros((0, held), np.float32), *parts])
        silence = np.zeros(len(sound), np.float32)
        return np.stack([sound[:, channel] if channel < held else silence for channel in self.channels])


def resample(sound: NDArray[np.float32], source_hz: int, hz: int) -> NDArray[np.float32]:
    """Mono float32 [n] at `source_hz` to float32 [n * hz / source_hz]; sample 0 stays at time 0."""
    if source_hz == hz or not len(sound):
        return sound
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(sound[None]), format="flt", layout="mono")
    frame.sample_rate = source_hz
    frame.time_base = Fraction(1, source_hz)
    frame.pts = 0
    resampler = AudioResampler("flt", "mono", hz)
    parts = [part.to_ndarray()[0] for half in (frame, None) for part in resampler.resample(half)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
