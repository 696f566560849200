"""A method run over a whole recording: where its sound, or a query, is at every moment.

The recording is read once, in windows of the length the method was trained on. Windows overlap and their maps are
averaged with weights that fall towards a window's ends, so the map changes smoothly in time and, the weights being
symmetric, is never late.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avssl.config import InputsConfig
from avssl.data.media import Header, decode, probe
from avssl.data.open import PICTURE_FORMATS
from avssl.inputs import Inputs
from avssl.localize.masks import Floats, as_scores
from avssl.localize.overlay import loudness
from avssl.methods.base import Method, localizes

WINDOWS_AT_ONCE = 8
QUERY_SECONDS = 60.0  # of a sound given as a query, how much is searched for its loudest part

Query = str | Path | NDArray[np.float32] | None
"""None: the recording's own sound; str: a text; Path: a sound file; array [S]: a sound at the run's rate"""


@dataclass(frozen=True)
class Heat:
    """Scores of a recording: maps [T, h, w] at times [T] (seconds), loudness [T] (dB of full scale, floor -60)."""

    maps: Floats
    times: Floats
    loudness: Floats


class _Window(NamedTuple):
    """One window: its first frame on the grid, how many of its frames the recording has, pictures, sound, loudness."""

    start: int
    real: int
    video: NDArray[np.uint8]  # [T, 3, H, W]
    wave: NDArray[np.float32]  # [S]
    levels: Floats  # [T]


class _Reader:
    """Reads windows of `frames` pictures, each with the sound around its middle, on the grid of the run's fps."""

    def __init__(self, path: Path, header: Header, cfg: InputsConfig, frames: int, hop: int) -> None:
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
        self.source_seconds = 1.0 / header.pictures[0].fps

    def __iter__(self) -> Iterator[_Window]:
        first, covered = 0, 0
        while True:
            windows, end = self._read(first, WINDOWS_AT_ONCE)
            for window in windows:
                if end is None or window.start + self.frames <= end:
                    yield window
                    covered = window.start + self.frames
            if end is not None:
                break
            first += WINDOWS_AT_ONCE * self.hop
        if covered < end:  # one more window, which ends where the recording does
            window = self._read(max(0, end - self.frames), 1)[0][0]
            yield window._replace(real=end - window.start)

    def _read(self, first: int, count: int) -> tuple[list[_Window], int | None]:
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
            end = max(1, first + int(np.searchsorted(places / cfg.fps, past)))
        levels = np.array([loudness(read.audio[max(0, m - half - begin) : m + half - begin], 1)[0] for m in middles])
        windows = []
        for place in range(0, count * self.hop, self.hop):
            frames = slice(place, place + self.frames)
            wave = read.audio[heard[place] - begin :][: self.samples]
            windows.append(_Window(first + place, self.frames, read.video[frames], wave, levels[frames]))
        return windows, end


def heatmap(
    method: Method[Any],
    inputs: Inputs,
    path: str | Path,
    *,
    query: Query = None,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    device: str | torch.device = "cpu",
    progress: Callable[[float], None] | None = None,
) -> Heat:
    """Where the sound, or the query, is in a recording: one map per picture of the run's grid (k / fps seconds).

    Args:
        method: a method that localizes queries of this kind, already on `device`.
        inputs: the run's inputs; pictures are scaled to their size.
        path: the recording, or a still picture when there is a query.
        query: None for the recording's own sound, else a text, a sound file (its loudest part is used), or a sound.
        window_seconds: length of a window; the run's own by default.
        hop_seconds: from one window to the next, at most a window; half a window by default.
        device: where the method is.
        progress: called with the seconds done so far.

    Raises ValueError for a recording without pictures, for one without sound when there is no query, and for a kind
    of query the method does not localize.
    """
    path, cfg = Path(path), inputs.cfg
    kind = "text" if isinstance(query, str) else "audio"
    if not localizes(method, kind):
        raise ValueError(f"{method.cfg.name} does not say where {'a text' if kind == 'text' else 'a sound'} is")
    header = probe(path)
    if not header.pictures:
        raise ValueError(f"{path}: has no picture to show a sound in; a video is needed")
    if query is None and not header.sounds:
        raise ValueError(f"{path}: has no sound; say what to look for with --text WORDS or --audio FILE")
    frames = cfg.frames if window_seconds is None else max(1, round(window_seconds * cfg.fps))
    hop = max(1, frames // 2) if hop_seconds is None else max(1, round(hop_seconds * cfg.fps))
    if hop > frames:
        raise ValueError(f"a hop of {hop_seconds} s leaves gaps between windows of {frames / cfg.fps:g} s")
    reader = _Reader(path, header, cfg, frames, hop)
    asked = None if query is None else _asked(inputs, query, reader.samples)

    totals: list[Floats] = []
    weights: list[float] = []
    levels: list[float] = []
    taper = np.minimum(np.arange(frames) + 1, frames - np.arange(frames)).astype(np.float64)
    training = method.training
    method.eval()
    try:
        for windows in _batches(iter(reader)):
            scored = _score(method, inputs, windows, asked, kind, torch.device(device))  # [B, T, h, w]
            for window, maps in zip(windows, scored, strict=True):
                for k in range(window.real):
                    place = window.start + k
                    if place == len(totals):
                        totals.append(np.zeros_like(maps[k]))
                        weights.append(0.0)
                        levels.append(float(window.levels[k]))
                    totals[place] += taper[k] * maps[k]
                    weights[place] += float(taper[k])
            if progress is not None:
                progress(len(totals) / cfg.fps)
    finally:
        method.train(training)
    stack = np.stack(totals) / np.array(weights)[:, None, None]
    return Heat(as_scores(stack, (3,)), np.arange(len(stack)) / cfg.fps, np.array(levels))


def _batches(windows: Iterator[_Window]) -> Iterator[list[_Window]]:
    batch: list[_Window] = []
    for window in windows:
        batch.append(window)
        if len(batch) == WINDOWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


@torch.inference_mode()
def _score(
    method: Method[Any], inputs: Inputs, windows: list[_Window], asked: Tensor | None, kind: str, device: torch.device
) -> Floats:
    video = torch.from_numpy(np.stack([window.video for window in windows])).to(device)  # [B, T, 3, H, W]
    if asked is None:
        given = inputs.audio(torch.from_numpy(np.stack([window.wave for window in windows])))
    else:
        given = asked.expand(len(windows), *asked.shape[1:])
    localize: Callable[[Tensor, Tensor, str], Tensor] = method.localize  # type: ignore[assignment]
    maps = localize(video, given.to(device), kind).double().cpu().numpy()  # [B, T, h, w]
    assert maps.ndim == 4
    assert maps.shape[:2] == video.shape[:2], "localize gives one map per frame"
    return np.asarray(maps, dtype=np.float64)


def _asked(inputs: Inputs, query: str | Path | NDArray[np.float32], samples: int) -> Tensor:
    """A query as the method takes it, with a batch axis of 1: tokens [1, L], or what `Inputs.audio` gives of [1, S]."""
    if isinstance(query, str):
        if not query.strip():
            raise ValueError("the text to look for is empty")
        return inputs.tokens([query])
    if isinstance(query, Path):
        if not probe(query).sounds:
            raise ValueError(f"{query}: has no sound to look for")
        query = decode(query, audio=(0.0, QUERY_SECONDS), hz=inputs.cfg.hz).audio
    return inputs.audio(torch.from_numpy(loudest(query, samples))[None])


def loudest(sound: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """The stretch of `samples` with the most energy of a sound [S], filled up with zeros where it is shorter."""
    if len(sound) <= samples:
        return np.pad(sound, (0, samples - len(sound)))
    energy = np.concatenate([[0.0], np.cumsum(sound.astype(np.float64) ** 2)])
    start = int(np.argmax(energy[samples:] - energy[:-samples]))
    return sound[start : start + samples]
