"""A localizer that marks what is bright while it is loud, and a recording of a bright square with a tone."""

import itertools

import numpy as np
import torch

from avssl.config import InputsConfig, MethodConfig
from avssl.data.encode import write_clip
from avssl.inputs import Inputs
from avssl.methods.base import Method, Step
from avssl.sample import Needs

HZ, FPS = 8000, 12.5
CFG = InputsConfig(height=32, width=48, frames=4, fps=4.0, hz=HZ, audio_seconds=1.0, audio="wave")


class Bright(Method[MethodConfig]):
    """Marks what is bright while the sound of the window is loud; a text marks it by its length."""

    Config, modalities, localizes = MethodConfig, ("audio", "video"), ("audio", "text")

    def __init__(self):
        super().__init__(MethodConfig(name="bright"), Inputs(CFG), torch.nn.ModuleDict(), 1)
        self.calls = []

    @classmethod
    def needs(cls, cfg, inputs):
        return Needs()

    @classmethod
    def transform(cls, cfg, inputs):
        raise NotImplementedError

    def forward(self, batch, turn="main"):
        return Step(torch.zeros(()))

    def localize(self, video, query, modality):
        assert not self.training
        assert video.dtype == torch.uint8
        self.calls.append((tuple(video.shape), tuple(query.shape)))
        loud = query.float().square().mean(-1).sqrt() if modality == "audio" else (query >= 0).sum(-1).float()
        bright = video.float().mean(2) / 255  # [B, T, H, W]
        return torch.nn.functional.avg_pool2d(bright, 8) * loud[:, None, None, None]


class Clock(Bright):
    """Answers with the brightness of the whole frame: maps must keep each frame's time."""

    def localize(self, video, query, modality):
        return video.float().mean((2, 3, 4))[..., None, None] / 255


def recording(path, seconds, *, sound=True, loud=None):
    """A bright square in the upper right; a tone between the two moments of `loud`."""
    frame = np.full((64, 96, 3), 10, dtype=np.uint8)
    frame[:32, 64:] = 250
    times = np.arange(round(seconds * HZ)) / HZ
    tone = 0.5 * np.sin(2 * np.pi * 440 * times).astype(np.float32)
    if loud is not None:
        tone[(times < loud[0]) | (times >= loud[1])] = 0
    write_clip(path, itertools.repeat(frame, round(seconds * FPS)), FPS, tone if sound else None, HZ)
    return path
