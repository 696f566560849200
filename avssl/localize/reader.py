"""Windows of a recording on the grid of a run's pictures, read a bounded number at a time."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from avssl.config import InputsConfig
from avssl.data.media import Header, decode
from avssl.data.still import PICTURE_FORMATS
from avssl.localize.masks import Floats
from avssl.localize.overlay import loudness

WINDOWS_AT_ONCE = 8


class Frames(NamedTuple):
    """One window: its first frame on the grid, how many of its frames the recording has, pictures, sound, loudness."""

    start: int
    real: int
    video: NDArray[np.uint8]  # [T, 3, H, W]
    wave: NDArray[np.float32]  # [S]
    levels: Floats  # [T]


class Reader:
    """Reads windows of `frames` pictures, each with the sound around its middle, on the grid of the run's fps.

    Args:
        path: the recording.
        header: of it.
        cfg: the run's inputs.
        frames: of a window.
        hop: frames from one window to the next.
        span: the part to read, (start, end) in seconds; None for all of it.
    """

    def __init__(
        self, path: Path, header: Header, cfg: InputsConfig, frames: int, hop: int, span: tuple[float, float] | None
    ) -> None:
        self.path, self.cfg, self.frames, self.hop = path, cfg, frames, hop
        sound_seconds = cfg.audio_seconds + (frames - cfg.frames) / cfg.fps
        if sound_seconds <= 0:
            raise ValueError(
                f"a window of {frames / cfg.fps:g} s leaves no sound; this run's window is {cfg.seconds:g} s"
            )
        self.samples = round(sound_seconds * cfg.hz)
        self.lead = (sound_seconds - frames / cfg.fps) / 2  # seconds of sound before the first picture
        # A picture is shown for ever, so its file never runs out: an animation ends where its header says.
        still = header.format in PICTURE_FORMATS
        self.end = max(1, math.ceil((header.duration or 0.0) * cfg.fps - 1e-6)) if still else None
        self.first = 0
        if span is not None:
            self.first = max(0, math.floor(span[0] * cfg.fps + 1e-6))
            last = max(self.first + 1, math.ceil(span[1] * cfg.fps - 1e-6))
            self.end = last if self.end is None else max(self.first + 1, min(self.end, last))
        self.source_seconds = 1.0 / header.pictures[0].fps

    def __iter__(self) -> Iterator[Frames]:
        first = covered = self.first
        while True:
            left = WINDOWS_AT_ONCE if self.end is None else math.ceil((self.end - first - self.frames) / self.hop) + 1
            windows, end = self._read(first, max(1, min(left, WINDOWS_AT_ONCE)))
            for window in windows:
                if end is None or window.start + self.frames <= end:
                    yield window
                    covered = window.start + self.frames
            if end is not None:
                break
            first += WINDOWS_AT_ONCE * self.hop
        if covered < end:  # one more window, which ends where the recording does
            window = self._read(max(self.first, end - self.frames), 1)[0][0]
            yield window._replace(real=end - window.start)

    def _read(self, first: int, count: int) -> tuple[list[Frames], int | None]:
        """`count` windows from grid place `first` on, and the grid place where the recording ends if it was reached."""
        cfg, span = self.cfg, (count - 1) * self.hop + self.frames
        places = first + np.arange(span)
        half = round(0.5 / cfg.fps * cfg.hz)
        # Whole samples of the recording, as in training: the same moment gives the same sound.
        heard = np.round((places / cfg.fps - self.lead) * cfg.hz).astype(np.int64)
        middles = np.round(places / cfg.fps * cfg.hz).astype(np.int64)
        begin = min(int(heard[0]), int(middles[0]) - half)
        until = max(int(heard[-1]) + self.samples, int(middles[-1]) + half)
        read = decode(
            self.path,
            times=(places / cfg.fps).tolist(),
            size=(cfg.height, cfg.width),
            audio=(begin / cfg.hz, (until - begin) / cfg.hz),
            hz=cfg.hz,
        )
        end = self.end if self.end is not None and self.end <= first + span else None
        if read.truncated:
            past = read.video_times[-1] + self.source_seconds - 1e-6
            reached = max(self.first + 1, first + int(np.searchsorted(places / cfg.fps, past)))
            end = reached if end is None else min(end, reached)
        levels = np.array([loudness(read.audio[max(0, m - half - begin) : m + half - begin], 1)[0] for m in middles])
        windows = []
        for place in range(0, count * self.hop, self.hop):
            frames = slice(place, place + self.frames)
            wave = read.audio[heard[place] - begin :][: self.samples]
            pictures = cast("NDArray[np.uint8]", read.video[frames])  # deep ones were not asked for
            windows.append(Frames(first + place, self.frames, pictures, wave, levels[frames]))
        return windows, end
