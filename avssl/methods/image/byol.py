"""From one view of a picture, predict what a slow copy of the network makes of another view; nothing is told apart.

Jean-Bastien Grill, Florian Strub et al.: Bootstrap Your Own Latent: A New Approach to Self-Supervised
Learning, NeurIPS 2020, arXiv:2006.07733.

Nothing in the loss keeps all pictures from becoming one vector; the predictor, the copy's slowness and BatchNorm in the
heads do. ``spread`` tells: it is 1 where vectors point everywhere and 0 where they have collapsed, as they soon do with
``norm`` layer.

Deviations: both views are normalized together, over all ranks; the colours change as in SimCLR.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field
from torch import nn

from avssl import ops, views
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, detached
from avssl.methods.pictures import OfViews, Share, ViewsConfig
from avssl.nn.heads import batch_norm
from avssl.nn.teacher import Teacher


class Config(ViewsConfig):
    """BYOL; defaults are the paper's."""

    momentum: float = Field(0.996, ge=0, le=1)
    """share of the slow copy's weights that stays at the first step; it grows to 1 along a cosine"""
    hidden: int = Field(4096, ge=1)
    """width of the hidden layers of projection and predictor"""
    projection: int = Field(256, ge=2)
    """width of the space in which the views are compared"""
    norm: Literal["batch", "layer"] = "batch"
    """of the hidden layers of projection and predictor: over the batch of all ranks, or of each picture alone"""
    area: float = Field(0.08, gt=0, le=1)
    """least share of the picture that a view shows"""
    blurred: tuple[Share, Share] = (1.0, 0.1)
    """chances of each view to be blurred; 0 for small pictures"""
    solarized: tuple[Share, Share] = (0.0, 0.2)
    """chances of each view to be solarized"""


class BYOL(OfViews[Config]):
    """An encoder and a predictor of its slow copy."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.head = head(self.width, cfg.hidden, cfg.projection, cfg.norm)
        self.predictor = head(cfg.projection, cfg.hidden, cfg.projection, cfg.norm)
        self.slow_encoder = Teacher(encoders["image"], cfg.momentum)
        self.slow_head = Teacher(self.head, cfg.momentum)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> views.Views:
        """Two views, each blurred and solarized as often as it may be."""
        return views.TwoViews(cfg.area, cfg.strength, cfg.blurred, cfg.solarized)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Squared distance of each view's prediction from the slow vector of the other one, both ways."""
        both = self.views.made(batch)  # [2B, 3, H, W]
        projected = self.head(self.encoders["image"](both).vector)
        told = ops.unit(self.predictor(projected))  # [2B, P]
        slow = ops.unit(self.slow_head(self.slow_encoder(both).vector)).roll(len(both) // 2, 0)
        cosine = (told * slow).sum(1).mean()
        spread = ops.unit(projected).std(0, correction=0).mean() * self.cfg.projection**0.5
        return Step(4 - 4 * cosine, detached({"cosine": cosine, "spread": spread}))

    def after_step(self, progress: float) -> None:
        """The slow copy follows, ever slower."""
        for teacher, student in ((self.slow_encoder, self.encoders["image"]), (self.slow_head, self.head)):
            teacher.momentum = 1 - (1 - self.cfg.momentum) * (math.cos(math.pi * progress) + 1) / 2
            teacher.follow(student)


def head(inputs: int, hidden: int, outputs: int, norm: str) -> nn.Sequential:
    """[B, inputs] -> [B, outputs] by way of one hidden layer, normalized over the batch or by itself."""
    # BatchNorm takes away what biases before it add, those of the projection's outputs too
    biased = norm == "layer"
    between = nn.Sequential(nn.LayerNorm(hidden)) if biased else batch_norm(hidden)
    last = nn.Linear(hidden, outputs, bias=biased)
    return nn.Sequential(nn.Linear(inputs, hidden, bias=biased), *between, nn.ReLU(inplace=True), last)
