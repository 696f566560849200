"""Windows over a recording of any length, and what they hold at a run's size and rates."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from avssl.data.media import Decoded, decode
from avssl.data.streams import Track
from avssl.inputs import Inputs

AT_ONCE = 16
"""windows of one recording that are decoded in one pass"""
REST_SECONDS = 0.05
"""what is left after the last whole window is worth another one only when it is longer"""


def windows(seconds: float, window_seconds: float, hop_seconds: float) -> list[tuple[float, float]]:
    """(start, end) of the windows that cover 0..``seconds``: every hop, the last one shifted back to the end.

    A recording that is shorter than a window has one, from 0 to its end. Raises ValueError for lengths that are not
    above 0, and for a hop above the window, which would leave gaps.
    """
    if not (window_seconds > 0 and hop_seconds > 0):
        raise ValueError(f"window is {window_seconds} s and hop {hop_seconds} s; both must be above 0")
    if hop_seconds > window_seconds + 1e-9:
        raise ValueError(f"a hop of {hop_seconds:g} s leaves gaps between windows of {window_seconds:g} s")
    if seconds <= window_seconds:
        return [(0.0, seconds)]
    count = math.floor((seconds - window_seconds) / hop_seconds + 1e-9) + 1
    starts = [index * hop_seconds for index in range(count)]
    if seconds - (starts[-1] + window_seconds) > REST_SECONDS:
        starts.append(math.floor((seconds - window_seconds) * 1000 + 1e-6) / 1000)
    return [(round(start, 6), round(min(start + window_seconds, seconds), 6)) for start in starts]


class Clips(NamedTuple):
    """Windows of one recording: video uint8 [N, T, 3, H, W] and audio float32 [N, S]; None where there is none."""

    video: Tensor | None
    audio: Tensor | None


class Window:
    """What one window holds at a run's size and rates, for the run's own length or another.

    Args:
        inputs: the run's.
        seconds: length of a window; None is the run's own. The sound grows and shrinks with it.
    """

    def __init__(self, inputs: Inputs, seconds: float | None = None):
        cfg = inputs.cfg
        self.inputs = inputs
        self.seconds = cfg.seconds if seconds is None else seconds
        if not self.seconds > 0:
            raise ValueError(f"a window is {seconds} s long; it must be above 0")
        self.frames = max(1, round(self.seconds * cfg.fps))
        self.audio_seconds = cfg.audio_seconds * self.seconds / cfg.seconds

    def read(self, path: Path, starts: Sequence[float], *, video: bool, audio: bool, still: bool = False) -> Clips:
        """Decode the windows that begin at ``starts`` (seconds), in one pass. Raises Unreadable."""
        return self._read(functools.partial(decode, path), starts, video, audio, still)

    def stream(self, one: Track, starts: Sequence[float]) -> Tensor:
        """Windows of one stream: pictures uint8 [N, T, 3, H, W], deep ones float32 [N, T, 1, H, W], or sound [N, S].

        Raises Unreadable.
        """
        seen = one.kind == "picture"
        clips = self._read(one.decode, starts, seen, not seen, one.still)
        held = clips.video if seen else clips.audio
        assert held is not None
        return torch.from_numpy(one.scaled(held.numpy())) if seen else held

    def _read(
        self, decoder: Callable[..., Decoded], starts: Sequence[float], video: bool, audio: bool, still: bool
    ) -> Clips:
        cfg = self.inputs.cfg
        offsets = np.zeros(self.frames) if still else np.arange(self.frames) / cfg.fps
        times = np.asarray(starts)[:, None] + offsets  # [N, T]
        # Windows that overlap share pictures: each is decoded once.
        wanted, place = np.unique(times.round(9), return_inverse=True)
        samples = round(self.audio_seconds * cfg.hz)
        begins = [round((start + (self.seconds - self.audio_seconds) / 2) * cfg.hz) for start in starts]
        first = begins[0]
        got = decoder(
            times=wanted if video else (),
            size=(cfg.height, cfg.width),
            audio=(first / cfg.hz, (begins[-1] + samples - first) / cfg.hz) if audio else None,
            hz=cfg.hz,
        )
        pictures = torch.from_numpy(got.video[place.reshape(times.shape)]) if video else None
        if not audio:
            return Clips(pictures, None)
        sound = np.clip(got.audio, -1.0, 1.0)
        return Clips(pictures, torch.from_numpy(np.stack([sound[b - first : b - first + samples] for b in begins])))
