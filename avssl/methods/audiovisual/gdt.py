"""Of all sounds in the batch, find those of a clip; what else must match, its moment or its direction, is chosen.

Mandela Patrick, Yuki M. Asano, Polina Kuznetsova, Ruth Fong, João F. Henriques, Geoffrey Zweig, Andrea Vedaldi:
Multi-modal Self-Supervision from Generalized Data Transformations, ICCV 2021, arXiv:2003.04298 (GDT).

An item gives a view for each moment and each direction of time. Where the vectors are to be distinct, another moment or
direction of the same item is a negative, and a hard one; where they are to be invariant, it is a positive.

Deviations: items of one recording are neither; nor are moments nearer than the gap that was asked for, where an item is
too short for it; pairs are of a picture and a sound.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.gather import gather
from avssl.nn.heads import mlp
from avssl.nn.sounding import adjacency_gap
from avssl.sample import Needs, Sample

Choice = Literal["distinct", "invariant", "none"]


class Config(MethodConfig):
    """GDT; widths and temperature are the paper's."""

    shift: Choice = "distinct"
    """distinct: two moments of an item are told apart; invariant: they are the same; none: one moment"""
    reversal: Choice = "distinct"
    """the same for clips that run forwards and backwards"""
    shift_seconds: float = Field(0.5, gt=0)
    """least gap between the beginnings of two moments"""
    temperature: float = Field(0.07, gt=0)
    """divides the cosines"""
    alike: float = Field(0.0, ge=0)
    """weight: what sounds or looks alike may fit each other's pictures and sounds (as in FNAC)"""
    hidden: int = Field(512, ge=1)
    """width of the projections' hidden layer"""
    width: int = Field(256, ge=1)
    """D, the width of the space"""
    pooling: Literal["max", "mean"] = "max"
    """of the encoders' maps over places and moments"""
    area: float = Field(0.28, gt=0, le=1)
    """least share of the picture that a view shows"""
    strength: float = Field(0.5, ge=0)
    """of the colour changes"""
    decibels: float = Field(0.9, ge=0)
    """most by which the sound is made louder or softer; about a tenth of its amplitude"""


def moments(cfg: Config) -> int:
    """Windows of one item."""
    return 1 if cfg.shift == "none" else 2


def directions(cfg: Config) -> int:
    """Views of one window: forwards, and backwards."""
    return 1 if cfg.reversal == "none" else 2


class Views:
    """Every moment in every direction, V views: each cropped, mirrored and re-coloured on its own."""

    def __init__(self, cfg: Config, inputs: Inputs):
        self.cfg, self.inputs = cfg, inputs

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """video uint8 [V, T, 3, H, W], audio [V, M, F], start [V] in seconds; forwards before backwards."""
        pictures, sounds, starts = [], [], []
        for video, wave, start in zip(sample.video, sample.audio, sample.starts, strict=True):
            for backwards in range(directions(self.cfg)):
                seen = views.flip(views.crop(video, generator, (self.cfg.area, 1.0)), generator)
                heard = views.gain(wave, generator, self.cfg.decibels)
                pictures.append(views.color(seen.flip(0) if backwards else seen, generator, self.cfg.strength))
                sounds.append(self.inputs.audio(heard.flip(-1) if backwards else heard))
                starts.append(start)
        return {"video": torch.stack(pictures), "audio": torch.stack(sounds), "start": torch.tensor(starts)}


class GDT(Method[Config]):
    """Two towers, and a table that says which views belong together."""

    modalities = ("video", "audio")

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        widths = {kind: towers.width(encoders[kind]) for kind in self.modalities}
        self.heads = nn.ModuleDict({kind: mlp(width, cfg.hidden, cfg.width) for kind, width in widths.items()})
        self.spaces = {"main": Space(self.modalities, cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """One moment or two, with their sounds."""
        seconds, gap = inputs.cfg.audio_seconds, cfg.shift_seconds if moments(cfg) > 1 else 0.0
        return inputs.needs(audio_seconds=seconds, clips=moments(cfg), clip_gap_seconds=gap)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video``, ``audio`` and ``start``."""
        return Views(cfg, inputs)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Mean cross-entropy, both ways, of every positive pair among all pairs of its row."""
        x = {kind: gather(self.embed(kind, batch[kind].flatten(0, 1))) for kind in self.modalities}
        positive, valid = self.pairs(gather(batch["recording"]), gather(batch["start"]))
        tables = (("video", "audio"), ("video", "video"), ("audio", "audio"))
        scores = [x[one] @ x[other].T / self.cfg.temperature for one, other in tables]  # [B * V, B * V] each
        logits, *within = (table.masked_fill(~valid, float("-inf")) for table in scores)
        contrast = -torch.stack([one.log_softmax(1)[positive] for one in (logits, logits.T)]).mean()
        alike = torch.stack([adjacency_gap(table, logits) for table in within]).mean()
        accuracy = positive.gather(1, logits.argmax(1, keepdim=True)).float().mean()
        loss = contrast + self.cfg.alike * alike
        return Step(loss, detached({"contrast": contrast, "alike": alike, "accuracy": accuracy}))

    def pairs(self, recording: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Which views belong together, and which pairs count at all.

        Args:
            recording: [B].
            start: [B, V], seconds.

        Returns:
            positive and valid, bool [B * V, B * V], both symmetric.
        """
        count, ways = start.shape[1], directions(self.cfg)
        view = torch.arange(count, device=start.device).repeat(len(start))  # [B * V]
        item = torch.arange(len(start), device=start.device).repeat_interleave(count)
        begins, source = start.flatten(), recording.repeat_interleave(count)
        same = item[:, None] == item
        shifted = (view[:, None] // ways != view // ways) & (self.cfg.shift == "distinct")
        turned = (view[:, None] % ways != view % ways) & (self.cfg.reversal == "distinct")
        near = (begins[:, None] - begins).abs() < 0.99 * self.cfg.shift_seconds
        valid = (same & ~(shifted & near & ~turned)) | (source[:, None] != source)
        return same & ~shifted & ~turned, valid

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]."""
        if modality not in self.modalities or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.heads[modality](self.encoders[modality](x).pooled(self.cfg.pooling)))
