"""Tell a clip's sound from others' as AVID does, and be near the clips that both look and sound like this one.

Pedro Morgado, Nuno Vasconcelos, Ishan Misra: Audio-Visual Instance Discrimination with Cross-Modal Agreement,
CVPR 2021, arXiv:2004.12943 (AVID with CMA; begins with the encoders and projections of an AVID run, init=runs/avid).

Two clips agree as much as the lesser of their two similarities says; those that agree most are positives within each
modality. They are mined from the banks before an epoch, and no negatives of each other.

Deviations: InfoNCE in place of binary NCE with constants Z estimated on the first batch; clips of one recording are
neither positives nor negatives of each other; an eighth of the items at most are positives; see AVID's, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.agreement import NONE, agreed
from avssl.nn.bank import Bank, fill_all
from avssl.nn.contrast import each_positive
from avssl.nn.gather import gather
from avssl.nn.heads import mlp
from avssl.sample import Needs


class Config(MethodConfig):
    """CMA; defaults are the paper's."""

    negatives: int = Field(1024, ge=1)
    """K, remembered vectors of the other modality that each item is told apart from"""
    positives: int = Field(32, ge=1)
    """mined for each item"""
    within_negatives: int = Field(64, ge=1)
    """remembered vectors of the own modality that the positives are told apart from"""
    within: float = Field(1.0, ge=0)
    """weight of the term within each modality"""
    every: int = Field(10, ge=1)
    """epochs between minings"""
    alone: int = Field(0, ge=0)
    """epochs without positives, for a run that begins from nothing"""
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
    """the projections' outputs, over the batch; the same as in the run that this one begins from"""
    pooling: Literal["max", "mean"] = "max"
    """of the encoders' maps over places and moments; the same as in the run that this one begins from"""
    area: float = Field(0.28, gt=0, le=1)
    """least share of the picture that a view shows"""
    strength: float = Field(0.5, ge=0)
    """of the colour changes"""
    hidden_share: float = Field(0.1, ge=0, lt=1)
    """most of the spectrogram's time, and of its bands, that is hidden"""


class CMA(Method[Config]):
    """Two towers, two banks, one table of positives."""

    modalities = ("video", "audio")
    inherits = ("heads",)
    positives: Tensor
    epochs: Tensor
    banks: Any

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        widths = {kind: towers.width(encoders[kind]) for kind in self.modalities}
        shape = (cfg.hidden, cfg.width, cfg.layers, cfg.standardized)
        self.heads = nn.ModuleDict({kind: mlp(width, *shape) for kind, width in widths.items()})
        self.banks = nn.ModuleDict({kind: Bank(length, cfg.width, cfg.momentum) for kind in self.modalities})
        self.register_buffer("positives", torch.full((length, min(cfg.positives, max(1, length // 8))), NONE))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))
        self.fresh: list[dict[str, Tensor]] = []
        self.spaces = {"main": Space(self.modalities, cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """A clip and its sound."""
        return inputs.needs(audio_seconds=inputs.cfg.audio_seconds)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video``, ``audio`` and ``draw``."""
        draws = cfg.negatives + cfg.within_negatives
        return views.CroppedClip(inputs, cfg.area, cfg.strength, 6.0, cfg.hidden_share, draws)

    def before_epoch(self, examples: Iterable[Batch]) -> None:
        """Fills the banks where they know nothing yet, and mines."""
        since = int(self.epochs.add_(1)) - 1 - self.cfg.alone
        if since >= 0:
            fill_all(self, self.banks, examples, lambda x: {kind: self.embed(kind, x[kind]) for kind in self.banks})
        if since < 0 or since % self.cfg.every:
            return
        looks, sounds = self.banks["video"], self.banks["audio"]
        self.positives.copy_(agreed(looks.vectors, sounds.vectors, looks.recording, self.positives.shape[1]))

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """AVID's InfoNCE in both directions, and within each modality that of the positives."""
        index, recording, sharp = batch["index"], batch["recording"], 1 / self.cfg.temperature
        drawn, near = batch["draw"].split([self.cfg.negatives, self.cfg.within_negatives], 1)
        x = {kind: self.embed(kind, batch[kind]) for kind in self.modalities}
        if self.training:
            self.fresh.append({"index": index, "recording": recording, **{kind: x[kind].detach() for kind in x}})
        mined = self.positives[index]  # [B, P]
        mined = mined if self.training else torch.full_like(mined, NONE)  # rows are of training items
        across, within, hits = [], [], []
        for kind, other in (("video", "audio"), ("audio", "video")):
            bank, own = self.banks[other], self.banks[kind]
            known = bank.vectors[index] if self.training else x[other]
            target = (x[kind] * known).sum(1, keepdim=True)  # [B, 1]
            logits = torch.cat([target, bank.against(x[kind], drawn, index, recording, mined)], 1) * sharp
            across.append(F.cross_entropy(logits, torch.zeros_like(index)))
            hits.append((logits.argmax(1) == 0).float().mean())
            alike = torch.einsum("bd,bpd->bp", x[kind], own.vectors[mined.clamp_min(0)])
            against = own.against(x[kind], near, index, recording, mined)
            within.append(each_positive(alike * sharp, against * sharp, mined != NONE))
        terms = {"across": torch.stack(across).mean(), "within": torch.stack(within).mean()}
        terms |= {"mined": (mined != NONE).any(1).float().mean(), "accuracy": torch.stack(hits).mean()}
        return Step(terms["across"] + self.cfg.within * terms["within"], detached(terms))

    def after_step(self, progress: float) -> None:
        """The banks remember what this step saw on all ranks."""
        for fresh in self.fresh:
            index, recording = gather(fresh["index"]), gather(fresh["recording"])
            for kind in self.modalities:
                self.banks[kind].update(index, recording, gather(fresh[kind]))
        self.fresh.clear()

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]."""
        if modality not in self.modalities or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.heads[modality](self.encoders[modality](x).pooled(self.cfg.pooling)))
