"""Bring clip and sound of one moment together, and keep sounds of other moments away: easy ones first, then hard ones.

Bruno Korbar, Du Tran, Lorenzo Torresani: Cooperative Learning of Audio and Video Models from Self-Supervised
Synchronization, NeurIPS 2018, arXiv:1807.00230.

Negatives are at first sounds of other recordings, then some are of the same recording some time apart, and at last
some of these overlap the clip. Hard ones from the beginning fail.

Deviations: the distance is that of unit vectors; the stage with overlapping sounds comes last and can be turned off;
clips in which nothing is heard are left out, for any other silence fits them as well.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.gather import gather
from avssl.nn.heads import mlp
from avssl.sample import Needs, Sample

EASY, HARD, OVERLAPPING = range(3)
"""of another recording; of the same some time apart; of the same and overlapping"""


class Config(MethodConfig):
    """AVTS; margin, gap and the share of hard negatives are the paper's."""

    margin: float = Field(0.99, gt=0)
    """distance from which on a negative is far enough"""
    gap_seconds: float = Field(0.5, ge=0)
    """least time between a clip and the hard sound of its recording"""
    hard_from: float = Field(0.5, ge=0, le=1)
    """part of the training after which hard negatives come"""
    overlapping_from: float = Field(0.8, ge=0, le=1)
    """part of the training after which some of these overlap the clip; 1 leaves them out"""
    hard: float = Field(0.25, ge=0, le=1)
    """share of negatives that are of the same recording, once they come"""
    overlapping: float = Field(0.5, ge=0, le=1)
    """share of those that overlap, once these come"""
    width: int = Field(128, ge=1)
    """D, the width of the space"""
    hidden: int = Field(256, ge=1)
    """width of the projections' hidden layer"""


class Negatives:
    """video [T, 3, H, W], audio [M, F] of the same time, other [M, F] of another, kind int64 of the negative, heard."""

    def __init__(self, cfg: Config, inputs: Inputs):
        self.cfg = cfg
        self.inputs = inputs
        self.frames, self.gap = inputs.cfg.frames, round(cfg.gap_seconds * inputs.cfg.fps)
        self.windows = views.Apart(inputs, room(cfg, inputs))

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """``other`` is a sound of the same recording: the negative itself where it is hard, else not used.

        ``heard``: whether anything is in the clip's own sound.
        """
        hard = views.chance(generator, self.cfg.hard) and progress >= self.cfg.hard_from
        over = views.chance(generator, self.cfg.overlapping) and self.cfg.overlapping_from <= min(progress, 1 - 1e-9)
        least, most = (1, self.frames - 1) if over else (self.frames + self.gap, self.windows.room)
        late = least + views.integer(generator, max(1, most - least + 1))
        seen, other = self.windows.begins(generator, late if views.chance(generator, 0.5) else -late)
        wave = views.gain(sample.audio[0], generator)  # once: a level must not tell the two apart
        return {
            "video": self.windows.picture(sample, seen, generator),
            "audio": self.inputs.audio(self.windows.cut(wave, seen)),
            "other": self.inputs.audio(self.windows.cut(wave, other)),
            "kind": torch.tensor((OVERLAPPING if over else HARD) if hard else EASY),
            "heard": torch.tensor(not ops.is_silent(self.windows.cut(sample.audio[0], seen))),
        }


def room(cfg: Config, inputs: Inputs) -> float:
    """By how much the window must be longer, in seconds: a hard sound may begin anywhere in half a window more."""
    return inputs.cfg.seconds + cfg.gap_seconds + inputs.cfg.seconds / 2


class AVTS(Method[Config]):
    """Two towers, one distance, one margin."""

    modalities = ("video", "audio")

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        if cfg.overlapping_from < cfg.hard_from:
            raise ValueError(
                f"method.overlapping_from={cfg.overlapping_from:g} is before hard_from={cfg.hard_from:g}: "
                "negatives grow harder in this order"
            )
        widths = {kind: towers.width(encoders[kind]) for kind in self.modalities}
        self.heads = nn.ModuleDict({kind: mlp(width, cfg.hidden, cfg.width) for kind, width in widths.items()})
        self.spaces = {"main": Space(self.modalities, cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """A window that holds a clip and a sound some time apart."""
        return views.Apart(inputs, room(cfg, inputs)).needs()

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video``, ``audio``, ``other``, ``kind`` and ``heard``."""
        return Negatives(cfg, inputs)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Half squared distances of pairs, half squares of what negatives lack to the margin."""
        own, other = self.embed("audio", torch.cat([batch["audio"], batch["other"]])).tensor_split(2)
        seen, own, other = gather(self.embed("video", batch["video"])), gather(own), gather(other)
        kind, recording, heard = gather(batch["kind"]), gather(batch["recording"]), gather(batch["heard"].float())
        easy = kind == EASY
        negative = torch.where(easy[:, None], own.roll(-1, 0), other)
        counts = heard * (~easy | (recording != recording.roll(-1)))  # an easy one must be of another recording
        near, far = (seen - own).square().sum(1), (seen - negative).square().sum(1)
        lacking = F.relu(self.cfg.margin - far.clamp_min(1e-12).sqrt()).square()  # the root has no slope at 0
        apart = (lacking * counts).sum() / counts.sum().clamp_min(1)
        told = ((far > near) * counts).sum() / counts.sum().clamp_min(1)
        pairs, distance = ((x * heard).sum() / heard.sum().clamp_min(1) for x in (near, near.sqrt()))
        metrics = {"accuracy": told, "hard": (kind != EASY).float().mean(), "distance": distance, "heard": heard.mean()}
        return Step(0.5 * (pairs + apart), detached(metrics))

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]."""
        if modality not in self.modalities or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.heads[modality](self.encoders[modality](x).vector))

    def in_step(self, video: Tensor, audio: Tensor) -> Tensor:
        """Cosines, which fall as distances grow."""
        return self.embed("video", video) @ self.embed("audio", audio).T
