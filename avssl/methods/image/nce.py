"""Tell each picture from all others, every picture being a class of its own that a bank remembers.

Zhirong Wu, Yuanjun Xiong, Stella X. Yu, Dahua Lin: Unsupervised Feature Learning via Non-Parametric Instance
Discrimination, CVPR 2018, arXiv:1805.01978.

Two forms: ``binary``, noise-contrastive estimation as in the paper (is this row the picture's own, or one of K drawn
from all?), and ``softmax``, InfoNCE over the same K + 1 rows. The binary one needs a constant Z. Its estimate from the
``first`` batch, the paper's, is of a bank that still points everywhere. Where vectors begin alike, as those of encoders
without BatchNorm do, the bank soon points one way, all exponentials grow towards exp(1 / temperature), and every row
looks like the picture's own: the loss grows many times over and nothing is learnt. ``moving`` estimates Z anew on each
batch, so that it is never far too small. ``excess`` tells: the log of the batch's own Z over the one in use.

Deviations: Z moves unless ``first`` is asked for; items of the same recording are no negatives; the shipped config
fills the bank before the first step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from avssl import views
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, detached
from avssl.methods.pictures import OfViews, ViewsConfig
from avssl.nn.bank import Bank, fill_all
from avssl.nn.gather import gather

KEPT = 0.9
"""share of Z that stays at each step, where it moves"""


class Config(ViewsConfig):
    """Instance discrimination; defaults are the paper's, but for ``constant``."""

    form: Literal["binary", "softmax"] = "binary"
    """of the loss"""
    constant: Literal["moving", "first"] = "moving"
    """binary: Z is estimated on every batch and averaged, or on the first one and kept, as in the paper"""
    negatives: int = Field(4096, ge=1)
    """K, remembered vectors that each item is told apart from"""
    temperature: float = Field(0.07, gt=0)
    """divides the cosines"""
    momentum: float = Field(0.5, ge=0, lt=1)
    """share of the old vector that the bank keeps"""
    first: Literal["random", "seen"] = "random"
    """rows of the bank at first: of random direction, as in the paper, or what the untrained network makes of items"""
    proximal: float = Field(0.0, ge=0)
    """weight of the squared distance from the item's own remembered vector"""
    width: int = Field(128, ge=1)
    """D, the width of the space"""


class NCE(OfViews[Config]):
    """An encoder, a projection and a bank."""

    mean: Tensor

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length, cfg.width)
        self.head = nn.Linear(self.width, cfg.width)
        self.bank = Bank(length, cfg.width, cfg.momentum)
        self.register_buffer("mean", torch.zeros(1))  # log of Z / length; zero: not known yet
        self.fresh: list[tuple[Tensor, Tensor, Tensor]] = []
        self.next: Tensor | None = None

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> views.Views:
        """One view, and K numbers ``draw`` that choose negatives."""
        changes = [(name, (chance,)) for name, chance in views.POLICY]
        return views.Views(changes, cfg.area, cfg.strength, cfg.negatives, count=1)

    def before_epoch(self, examples: Iterable[Batch]) -> None:
        """Fills the bank where that is asked for and it knows nothing yet."""
        if self.cfg.first == "seen":
            fill_all(self, {"x": self.bank}, examples, lambda batch: {"x": self.embed("image", self.views.made(batch))})

    def chance(self, items: int) -> dict[str, float]:
        """Of naming the right one."""
        return {"accuracy": 1 / (1 + self.cfg.negatives)}

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Either form's loss, and how far the vectors are from the remembered ones."""
        cfg, index, recording = self.cfg, batch["index"], batch["recording"]
        x = self.embed("image", self.views.made(batch))
        if self.training:
            self.fresh.append((index, recording, x.detach()))
        own = self.bank.vectors[index]
        against = self.bank.against(x, batch["draw"], index, recording)  # [B, K]
        logits = torch.cat([(x * own).sum(1, keepdim=True), against], 1).float() / cfg.temperature
        apart = (x - own).square().sum(1).mean()
        metrics = {"accuracy": (logits.argmax(1) == 0).float().mean(), "apart": apart}
        if cfg.form == "softmax":
            loss = F.cross_entropy(logits, torch.zeros_like(index))
        else:
            level, metrics["excess"] = self.level(logits.detach())
            loss = binary(logits - level, cfg.negatives)
        return Step(loss + cfg.proximal * apart, detached(metrics))

    def level(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Log of Z over the number of rows, [1], and how much greater the batch's own is; logits [B, 1 + K].

        The batch's own is the log of the mean exponential on all ranks.
        """
        logits = gather(logits)
        own = (logits.logsumexp((0, 1)) - logits.isfinite().sum().log())[None]
        level = self.mean if self.mean.any() else own
        if self.training and self.cfg.constant == "moving":
            level = torch.logaddexp(level + math.log(KEPT), own + math.log(1 - KEPT))
        if self.training:
            self.next = level
        return level, (own - level)[0]

    def after_step(self, progress: float) -> None:
        """The bank remembers what this step saw on all ranks, and Z what it was."""
        for index, recording, x in self.fresh:
            self.bank.update(gather(index), gather(recording), gather(x))
        self.fresh.clear()
        if self.next is not None:
            self.mean.copy_(self.next)
            self.next = None

    def vector(self, x: Tensor) -> Tensor:
        """In the bank's space, [B, D]."""
        found: Tensor = self.head(super().vector(x))
        return found


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
