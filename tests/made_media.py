"""Small recordings whose truth is known: frames carry their number as blocks, sound is clicks at known seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 48, 64
SECONDS = 3.0
CLICKS = tuple(0.21 + 0.25 * k for k in range(11))
CLICK_WIDTH = 2e-4  # seconds: wide enough to survive any codec, narrow enough to be placed within a sample


def numbered(index: int) -> NDArray[np.uint8]:
    """A picture [48, 64, 3] that shows the bits of a number below 256 as black and white blocks."""
    bits = np.array([index >> k & 1 for k in range(8)], np.uint8).reshape(2, 4)
    return np.repeat(np.kron(30 + 190 * bits, np.ones((24, 16), np.uint8))[..., None], 3, 2).astype(np.uint8)


def number(picture: NDArray[np.uint8]) -> int:
    """The number that a picture [3, H, W] shows, whatever its size."""
    gray = picture.mean(0)
    height, width = gray.shape
    blocks = gray.reshape(2, height // 2, 4, width // 4)[:, height // 8 : -height // 8, :, width // 16 : -width // 16]
    bits = blocks.mean((1, 3)).ravel() > 125
    return int(sum(1 << k for k in range(8) if bits[k]))


def clicks(seconds: float, hz: int) -> NDArray[np.float32]:
    """Sound [samples] with a pulse centred on each of CLICKS."""
    t = np.arange(round(seconds * hz)) / hz
    return sum(0.8 * np.exp(-0.5 * ((t - at) / CLICK_WIDTH) ** 2) for at in CLICKS).astype(np.float32)


def tone(seconds: float, hz: int, amplitude: float, pitch: float = 440.0) -> NDArray[np.float32]:
    """A sine [samples]."""
    return (amplitude * np.sin(2 * np.pi * pitch * np.arange(round(seconds * hz)) / hz)).astype(np.float32)


@dataclass(frozen=True)
class Made:
    """A made recording and its truth: seconds of each frame from the first one, and how exactly sound is stored."""

    path: Path
    frame_seconds: tuple[float, ...]
    sound_tolerance: int = 1  # samples of 16 kHz
    start: float | None = 0.0  # presentation time of frame 0, None where the container chooses
    clicks: tuple[float, ...] = field(default=CLICKS)


def write(
    path: Path,
    *,
    video: str | None = "libx264",
    audio: str | None = "aac",
    fps: Fraction = Fraction(25),
    pts: Sequence[int] | None = None,
    unit: Fraction | None = None,
    picture: Callable[[int], NDArray[np.uint8]] = numbered,
    count: int | None = None,
    sound: NDArray[np.float32] | None = None,
    hz: int = 44100,
    layout: str = "mono",
    gop: int = 12,
    start: float = 0.0,
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    rotation: float | None = None,
    aspect: Fraction | None = None,
    tags: dict[str, str] | None = None,
) -> Path:
    """Encode pictures and sound (float32 [samples] or [channels, samples]); `pts` are in `unit` seconds."""
    unit = unit or 1 / fps
    pts = list(pts) if pts is not None else list(range(count or round(SECONDS * fps)))
    with av.open(str(path), "w", options=container or {}) as out:
        out.metadata.update(tags or {})
        streams = []
        if video:
            shape = picture(0).shape
            v = out.add_stream(video, rate=fps, options=options or {})
            v.width, v.height, v.pix_fmt, v.gop_size, v.thread_count = shape[1], shape[0], pixels, gop, 1
            v.codec_context.time_base = unit
            if video in ("libx264", "mpeg1video"):
                v.max_b_frames = 2
            if aspect:
                v.codec_context.sample_aspect_ratio = aspect
            if rotation is not None:
                v.set_display_rotation(rotation)
            streams.append((v, _frames(pts, unit, start, picture)))
        if audio:
            samples = clicks(SECONDS, hz) if sound is None else sound
            a = out.add_stream(audio, rate=hz, layout=layout)
            streams.append((a, _sound(np.atleast_2d(samples), hz, layout, start)))
        # A stretch of each in turn, as real files have it.
        pending = {stream: iter(frames) for stream, frames in streams}
        heads = {stream: next(frames, None) for stream, frames in pending.items()}
        while any(frame is not None for frame in heads.values()):
            stream = min((s for s in heads if heads[s] is not None), key=lambda s: heads[s].pts * heads[s].time_base)
            out.mux(stream.encode(heads[stream]))
            heads[stream] = next(pending[stream], None)
        for stream in heads:
            out.mux(stream.encode(None))
    return path


def _frames(
    pts: Sequence[int], unit: Fraction, start: float, picture: Callable[[int], NDArray[np.uint8]]
) -> Iterable[av.VideoFrame]:
    for index, stamp in enumerate(pts):
        frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
        frame.pts, frame.time_base = stamp + round(Fraction(start) / unit), unit
        yield frame


def _sound(samples: NDArray[np.float32], hz: int, layout: str, start: float) -> Iterable[av.AudioFrame]:
    for at in range(0, samples.shape[1], 4096):
        # Interleaved, because PyAV cannot fill a planar frame of 8 channels.
        packed = np.ascontiguousarray(samples[:, at : at + 4096].T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = hz, Fraction(1, hz), at + round(start * hz)
        yield frame


VARIABLE = np.cumsum([0, *np.random.default_rng(7).integers(33, 326, 30)])  # ms, as phones and screen recorders do
QUICK = {"deadline": "realtime", "cpu-used": "8"}


def make_all(folder: Path) -> dict[str, Made]:
    """The recordings that many tests read."""
    even = tuple(k / 25 for k in range(75))
    ntsc = Fraction(30000, 1001)
    variable = tuple(float(t) / 1000 for t in VARIABLE if t < 3000)
    ms = Fraction(1, 1000)
    return {
        "mp4": Made(write(folder / "short gop.mp4"), even),
        "long": Made(write(folder / "long gop.mp4", gop=250), even),
        "webm": Made(write(folder / "a.webm", video="libvpx-vp9", audio="libopus", hz=48000, options=QUICK), even, 16),
        "mpg": Made(write(folder / "a.mpg", video="mpeg1video", audio="mp2"), even, 1, None),
        "mkv": Made(write(folder / "a.mkv", audio="flac"), even, 16),
        "ntsc": Made(write(folder / "ntsc.mp4", fps=ntsc, count=89), tuple(float(k / ntsc) for k in range(89))),
        "variable": Made(write(folder / "variable.mp4", pts=[int(t) for t in VARIABLE if t < 3000], unit=ms), variable),
        "later": Made(write(folder / "later.mp4", start=1.52), even, 16, 1.52),  # MP4 stores delays in ms
        "later_mkv": Made(write(folder / "later.mkv", start=1.52), even, 16, 1.52),
        "ts": Made(write(folder / "a.ts", start=1.52), even, 1, None),
    }
