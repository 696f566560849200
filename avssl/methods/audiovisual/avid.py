"""Of all items ever seen, tell from a clip which one's sound it has, and from a sound which one's clip.

Pedro Morgado, Nuno Vasconcelos, Ishan Misra: Audio-Visual Instance Discrimination with Cross-Modal Agreement,
CVPR 2021, arXiv:2004.12943 (AVID, the cross-modal form).

Targets and negatives are vectors remembered from earlier steps, one per item and modality.

Deviations: InfoNCE over the target and K remembered negatives in place of binary NCE with a constant Z that is
estimated on the first batch (one frozen number for all tasks); items of the same recording are no negatives; the
shipped config standardizes the projections.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.bank import Bank
from avssl.nn.gather import gather
from avssl.nn.heads import mlp
from avssl.sample import Needs


class Config(MethodConfig):
    """AVID; defaults are the paper's."""

    negatives: int = Field(1024, ge=1)
    """K, remembered vectors that each item is told apart from"""
    temperature: float = Field(0.07, gt=0)
    """divides the cosines"""
    momentum: float = Field(0.5, ge=0, lt=1)
    """share of the old vector that the bank keeps"""
    hidden: int = Field(512, ge=1)
    """width of the projections' hidden layers"""
    width: int = Field(128, ge=1)
    """D, the width of the space"""
    layers: int = Field(3, ge=1)
    """layers of the projections"""
    standardized: bool = False
    """the projections' outputs, over the batch; not in the paper, where networks are deep enough to do without"""
    pooling: Literal["max", "mean"] = "max"
    """of the encoders' maps over places and moments; where the sounding thing is small, its mean is drowned"""
    area: float = Field(0.28, gt=0, le=1)
    """least share of the picture that a view shows"""
    strength: float = Field(0.5, ge=0)
    """of the colour changes"""
    decibels: float = Field(6.0, ge=0)
    """most by which the sound is made louder or softer"""
    hidden_share: float = Field(0.1, ge=0, lt=1)
    """most of the spectrogram's time, and of its bands, that is hidden"""


class AVID(Method[Config]):
    """Two towers, two banks, each side looks for itself in the other side's bank."""

    modalities = ("video", "audio")

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        widths = {kind: towers.width(encoders[kind]) for kind in self.modalities}
        shape = (cfg.hidden, cfg.width, cfg.layers, cfg.standardized)
        self.heads = nn.ModuleDict({kind: mlp(width, *shape) for kind, width in widths.items()})
        self.video_bank = Bank(length, cfg.width, cfg.momentum)
        self.audio_bank = Bank(length, cfg.width, cfg.momentum)
        self.fresh: list[dict[str, Tensor]] = []
        self.spaces = {"main": Space(self.modalities, cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """A clip and its sound."""
        return inputs.needs(audio_seconds=inputs.cfg.audio_seconds)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video``, ``audio`` and ``draw``."""
        return views.CroppedClip(inputs, cfg.area, cfg.strength, cfg.decibels, cfg.hidden_share, cfg.negatives)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Mean of both directions' InfoNCE."""
        index, recording = batch["index"], batch["recording"]
        x = {kind: self.embed(kind, batch[kind]) for kind in self.modalities}
        if self.training:
            self.fresh.append({"index": index, "recording": recording, **{kind: x[kind].detach() for kind in x}})
        losses, hits = [], []
        for kind, other, bank in (("video", "audio", self.audio_bank), ("audio", "video", self.video_bank)):
            known = bank.vectors[index] if self.training else x[other]  # banks are of training items
            target = (x[kind] * known).sum(1, keepdim=True)  # [B, 1]
            against = bank.against(x[kind], batch["draw"], index, recording)
            logits = torch.cat([target, against], 1) / self.cfg.temperature  # [B, 1 + K]
            losses.append(F.cross_entropy(logits, torch.zeros_like(index)))
            hits.append((logits.argmax(1) == 0).float().mean())
        metrics = {"video_to_audio": losses[0], "audio_to_video": losses[1], "accuracy": torch.stack(hits).mean()}
        return Step(torch.stack(losses).mean(), detached(metrics))

    def after_step(self, progress: float) -> None:
        """The banks remember what this step saw on all ranks."""
        for fresh in self.fresh:
            index, recording = gather(fresh["index"]), gather(fresh["recording"])
            self.video_bank.update(index, recording, gather(fresh["video"]))
            self.audio_bank.update(index, recording, gather(fresh["audio"]))
        self.fresh.clear()

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]."""
        if modality not in self.modalities or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.heads[modality](self.encoders[modality](x).pooled(self.cfg.pooling)))
