"""What a network says about offsets, gathered over stretches of one recording: by sliding courses, by trying the sounds
around a clip, or told outright."""

from __future__ import annotations

import itertools
import math
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avssl.inputs import Inputs
from avssl.methods.base import HasCourse, TellsAligned, TellsOffset
from avssl.ops import INAUDIBLE
from avssl.sync.curve import Bools, Course, Floats, Sums, slide

STILL = 0.5
"""greatest mean difference, of 255, between pictures that show no change"""


def changes(video: Tensor) -> Bools:
    """video uint8 [T, 3, H, W] -> which pictures differ from the one before or after, [T]."""
    differ = (video[1:] != video[:-1]).flatten(1).any(1).numpy()
    found: Bools = np.pad(differ, (0, 1)) | np.pad(differ, (1, 0))
    return found


def is_still(video: Tensor) -> bool:
    """Whether nothing moves in video uint8 [T, 3, H, W]; noise of encoding does not count."""
    return bool((video.float() - video[:1].float()).abs().mean((1, 2, 3)).max() < STILL)


def alive(marks: Bools) -> Bools:
    """From the first mark to the last: before a stream begins and after it ends, its edge is repeated or silent."""
    there = np.flatnonzero(marks)
    found = np.zeros(len(marks), bool)
    if len(there):
        found[there[0] : there[-1] + 1] = True
    return found


class Evidence(Protocol):
    """Of one recording; ``seconds`` is the length of a stretch."""

    seconds: float
    offsets: Floats

    def add(self, video: Tensor, wave: Tensor) -> None:
        """One stretch: video uint8 [1, T, 3, H, W], wave float32 [1, S] at the same times."""
        ...

    def fits(self) -> Floats:
        """How well the sound fits at each offset, [K]."""
        ...


class Slid:
    """Courses of sound and picture, correlated at every offset; a longer recording is one long correlation.

    Args:
        method: in eval mode, on ``device``.
        inputs: the run's.
        seconds: of the recording.
        reach: greatest offset in seconds; at most half of a stretch, so that half of it is always compared.
        device: where the method is.
    """

    def __init__(self, method: HasCourse, inputs: Inputs, seconds: float, reach: float, device: torch.device):
        self.method, self.inputs, self.device = method, inputs, device
        # longer than in training, so that far offsets leave enough to compare; not much, since a course is relative
        # to the mean picture of its stretch; whole steps of the picture, so that both courses end together
        step = method.time_stride / inputs.cfg.fps
        self.seconds = step * max(1, math.floor(min(seconds, max(2 * inputs.cfg.seconds, 2 * reach)) / step + 1e-6))
        count = math.floor(min(reach, self.seconds / 2) * inputs.cfg.fps + 1e-6)
        self.offsets: Floats = np.arange(-count, count + 1) / inputs.cfg.fps
        self.sums = Sums(*np.zeros((3, len(self.offsets))))

    @torch.inference_mode()
    def add(self, video: Tensor, wave: Tensor) -> None:
        """What lies before a stream begins or after it ends is not compared."""
        picture = self.course("video", video, alive(changes(video[0])))
        sound = self.course("audio", self.inputs.audio(wave), alive(wave[0].abs().numpy() > INAUDIBLE))
        self.sums = self.sums + slide(picture, sound, self.offsets)

    def course(self, modality: str, x: Tensor, valid: Bools) -> Course:
        """Of a batch of one, from whose samples [S] those not ``valid`` are left out."""
        values = self.method.course(modality, x.to(self.device))[0].double().cpu().numpy()  # [T, E]
        bins = np.linspace(0, len(valid), len(values) + 1).round().astype(int)
        whole = [bool(valid[low : max(high, low + 1)].all()) for low, high in itertools.pairwise(bins)]
        return Course(values, self.seconds / len(values), np.array(whole))

    def fits(self) -> Floats:
        """Correlations [K]."""
        return self.sums.curve()


class Tried:
    """A clip in the middle of each stretch, with each of the sounds around it: the mean of how well they fit.

    Args:
        method: in eval mode, on ``device``.
        inputs: the run's.
        seconds: of the recording.
        reach: greatest offset in seconds; at most what is left of the recording beside the clip, on either side.
        device: where the method is.
    """

    def __init__(self, method: TellsAligned, inputs: Inputs, seconds: float, reach: float, device: torch.device):
        self.method, self.inputs, self.device = method, inputs, device
        fps = inputs.cfg.fps
        self.count = max(0, math.floor(min(reach, (seconds - inputs.cfg.seconds) / 2) * fps + 1e-6))
        self.seconds = inputs.cfg.seconds + 2 * self.count / fps
        self.offsets: Floats = np.arange(-self.count, self.count + 1) / fps
        self.scores: list[Floats] = []

    @torch.inference_mode()
    def add(self, video: Tensor, wave: Tensor) -> None:
        """One more clip."""
        cfg = self.inputs.cfg
        wave = F.pad(wave, (0, 1))  # where a picture is no whole number of samples
        begins = [round((self.count / cfg.fps + offset) * cfg.hz) for offset in self.offsets]
        sounds = torch.stack([wave[0, begin:][: round(cfg.seconds * cfg.hz)] for begin in begins])
        clip = video[:, self.count : self.count + cfg.frames]
        fits = self.method.in_step(clip.to(self.device), self.inputs.audio(sounds).to(self.device))
        self.scores.append(fits[0].double().cpu().numpy())

    def fits(self) -> Floats:
        """How well the sound fits [K], -1..1."""
        found: Floats = np.mean(self.scores, 0)
        return found


class Told:
    """Offsets up to ``reach`` seconds that the network names itself; the mean of its log-probabilities over windows."""

    def __init__(self, method: TellsOffset, inputs: Inputs, reach: float, device: torch.device):
        self.method, self.inputs, self.device = method, inputs, device
        needs = method.needs(method.cfg, inputs)  # type: ignore[attr-defined]
        self.seconds: float = needs.window_seconds
        offsets: Floats = np.array(method.offsets)
        self.within = np.abs(offsets) <= reach + 1e-6
        self.offsets: Floats = offsets[self.within]
        self.logs: list[Floats] = []

    @torch.inference_mode()
    def add(self, video: Tensor, wave: Tensor) -> None:
        """One more window."""
        logits = self.method.offset_logits(video.to(self.device), self.inputs.audio(wave).to(self.device))
        self.logs.append(logits[0].double().cpu()[self.within].log_softmax(0).numpy())

    def fits(self) -> Floats:
        """Probabilities [K]."""
        mean = np.mean(self.logs, 0)
        odds = np.exp(mean - mean.max())
        found: Floats = odds / odds.sum()
        return found
