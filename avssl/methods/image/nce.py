"""Tell each picture from all others, every picture being a class of its own that a bank remembers.

Zhirong Wu, Yuanjun Xiong, Stella X. Yu, Dahua Lin: Unsupervised Feature Learning via Non-Parametric Instance
Discrimination, CVPR 2018, arXiv:1805.01978.

Two forms: ``binary``, noise-contrastive estimation as in the paper (is this row the picture's own, or one of K drawn
from all?), whose constant Z is estimated on the first batch; and ``softmax``, InfoNCE over the same K + 1 rows. Where
vectors begin alike, as those of encoders without BatchNorm do, that Z is soon far too small: take ``softmax`` there.

Deviations: items of the same recording are no negatives; the bank begins as vectors of random direction.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.bank import Bank
from avssl.nn.gather import gather
from avssl.sample import Needs, Sample


class Config(MethodConfig):
    """Instance discrimination; defaults are the paper's."""

    form: Literal["binary", "softmax"] = "binary"
    """of the loss"""
    negatives: int = Field(4096, ge=1)
    """K, remembered vectors that each item is told apart from"""
    temperature: float = Field(0.07, gt=0)
    """divides the cosines"""
    momentum: float = Field(0.5, ge=0, lt=1)
    """share of the old vector that the bank keeps"""
    proximal: float = Field(0.0, ge=0)
    """weight of the squared distance from the item's own remembered vector"""
    width: int = Field(128, ge=1)
    """D, the width of the space"""
    area: float = Field(0.2, gt=0, le=1)
    """least share of the picture that a view shows"""
    strength: float = Field(0.5, ge=0)
    """of the colour changes"""


class View:
    """One picture -> one view of it and K large numbers that choose negatives."""

    def __init__(self, area: float, strength: float, draws: int):
        self.views = views.TwoViews(area, strength)
        self.draws = draws

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """picture uint8 [3, H, W], draw int64 [K]."""
        picture = self.views.view(sample.video[0, 0], generator)
        return {"picture": picture, "draw": torch.randint(1 << 62, (self.draws,), generator=generator)}


class NCE(Method[Config]):
    """An encoder, a projection and a bank."""

    modalities = ("image",)
    mean: Tensor

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        width = towers.width(encoders["image"])
        self.head = nn.Linear(width, cfg.width)
        self.bank = Bank(length, cfg.width, cfg.momentum)
        self.register_buffer("mean", torch.zeros(1))  # log of Z / length; zero: not known yet
        self.fresh: list[tuple[Tensor, Tensor, Tensor]] = []
        self.first: Tensor | None = None
        self.spaces = {"main": Space(("image",), cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """One picture."""
        return inputs.needs(frames=1)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``picture`` uint8 [3, H, W] and ``draw`` int64 [K]."""
        return View(cfg.area, cfg.strength, cfg.negatives)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Either form's loss, and how far the vectors are from the remembered ones."""
        cfg, index, recording = self.cfg, batch["index"], batch["recording"]
        x = self.embed("image", batch["picture"])
        if self.training:
            self.fresh.append((index, recording, x.detach()))
        own = self.bank.vectors[index]
        against = self.bank.against(x, batch["draw"], index, recording)  # [B, K]
        logits = torch.cat([(x * own).sum(1, keepdim=True), against], 1).float() / cfg.temperature
        if cfg.form == "softmax":
            loss = F.cross_entropy(logits, torch.zeros_like(index))
        else:
            loss = binary(logits - self.level(logits.detach()), cfg.negatives)
        apart = (x - own).square().sum(1).mean()
        hit = (logits.argmax(1) == 0).float().mean()
        return Step(loss + cfg.proximal * apart, detached({"accuracy": hit, "apart": apart}))

    def level(self, logits: Tensor) -> Tensor:
        """Log of the mean exponential, [1]: of the first batch's logits [B, 1 + K] on all ranks, kept from then on."""
        if self.mean.any():
            return self.mean
        logits = gather(logits)
        level = logits.logsumexp((0, 1)) - logits.isfinite().sum().log()
        if self.training:
            self.first = level[None]
        return level[None]

    def after_step(self, progress: float) -> None:
        """The bank remembers what this step saw on all ranks; the constant is kept."""
        for index, recording, x in self.fresh:
            self.bank.update(gather(index), gather(recording), gather(x))
        self.fresh.clear()
        if self.first is not None:
            self.mean.copy_(self.first)
            self.first = None

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]."""
        if modality != "image" or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.head(self.encoders["image"](x).vector))


def binary(ratios: Tensor, negatives: int) -> Tensor:
    """Noise-contrastive estimation against noise that draws each of N rows alike (Gutmann, Hyvärinen, 2010).

    Args:
        ratios: [B, 1 + K] logs of N times what the model says the rows' probabilities are; the picture's own row first.
        negatives: K.

    Returns:
        The mean over B of -log P(own is own) - the sum over K of log P(drawn is drawn).
    """
    odds = ratios - math.log(negatives)
    return (F.softplus(-odds[:, 0]) + F.softplus(odds[:, 1:]).sum(1)).mean()
