"""FFmpeg filter graphs: decoded pictures to RGB arrays of a wanted size, decoded sound to mono samples."""

from fractions import Fraction

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.filter import Graph
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from avssl.data.open import displayed, size_is_sane, upright

# Without full_chroma_int swscale halves the resolution of colour: an error of 14 of 255 on saturated texture.
SCALE_FLAGS = "bilinear+full_chroma_int"
# The frame's rotation is counterclockwise and still to be applied; transpose=clock turns clockwise.
_TURNS = {0: (), 90: ("cclock",), 180: ("clock", "clock"), 270: ("clock",)}


class PictureFilter:
    """Frames to uint8 [3, H, W], upright, with square pixels; rebuilt whenever the stream changes its shape.

    `size` is (H, W), None for the displayed size. `ratio` is a pixel's width over its height.
    """

    def __init__(self, size: tuple[int, int] | None, ratio: Fraction = Fraction(1), pixels: str = "rgb24") -> None:
        self.size, self.ratio, self.pixels = size, ratio, pixels
        self._key: tuple[object, ...] | None = None
        self._graph: Graph | None = None

    def _build(self, frame: VideoFrame, rotation: int) -> Graph:
        if not size_is_sane(frame.width, frame.height):
            raise ValueError(f"a frame of {frame.width}x{frame.height} is too large")
        width, height = displayed(frame.width, frame.height, self.ratio, rotation)
        if self.size is not None:
            height, width = self.size
        if rotation % 180:
            width, height = height, width  # scaling comes first: turning the small picture is cheaper
        graph = Graph()
        graph.threads = 1
        nodes = [
            graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base or Fraction(1, 1000),
            ),
            graph.add("scale", f"{width}:{height}:flags={SCALE_FLAGS}"),
            graph.add("format", self.pixels),
            *(graph.add("transpose", turn) for turn in _TURNS[rotation]),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """One frame as uint8 [3, H, W] ([1, H, W] for gray)."""
        rotation = upright(frame.rotation)
        key = (frame.width, frame.height, frame.format.name, int(frame.colorspace), int(frame.color_range), rotation)
        if self._graph is None or key != self._key:
            self._graph, self._key = self._build(frame, rotation), key
        self._graph.vpush(frame)
        pixels = self._graph.vpull().to_ndarray()
        return np.ascontiguousarray(pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None])


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
