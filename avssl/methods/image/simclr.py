"""Of two views of one picture, tell which other picture's views in the batch are the same picture.

Ting Chen, Simon Kornblith, Mohammad Norouzi, Geoffrey Hinton: A Simple Framework for Contrastive Learning of Visual
Representations, ICML 2020, arXiv:2002.05709.

Deviations: the projection has no BatchNorm; other items of the same recording are no negatives; brightness multiplies,
as in version 2; the loss is the mean over 2B rows (the official code has twice that).
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.contrast import nt_xent
from avssl.nn.gather import gather
from avssl.nn.heads import mlp
from avssl.sample import Needs


class Config(MethodConfig):
    """SimCLR; defaults are the paper's for ImageNet."""

    temperature: float = Field(0.1, gt=0)
    """divides the cosines; 0.5 for small pictures"""
    hidden: int = Field(2048, ge=1)
    """width of the projection's hidden layer"""
    projection: int = Field(128, ge=1)
    """width of the space in which the views are compared"""
    layers: int = Field(2, ge=1)
    """layers of the projection; 3 in version 2"""
    area: float = Field(0.08, gt=0, le=1)
    """least share of the picture that a view shows"""
    strength: float = Field(1.0, ge=0)
    """of the colour changes; 0.5 for small pictures"""
    blur: bool = True
    """blur half of the views; not for small pictures"""


class SimCLR(Method[Config]):
    """Two views, one encoder, NT-Xent over the whole batch."""

    modalities = ("image",)

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        width = towers.width(encoders["image"])
        self.head = mlp(width, cfg.hidden, cfg.projection, cfg.layers)
        self.spaces = {"main": Space(("image",), width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """One picture."""
        return inputs.needs(frames=1)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``first`` and ``second``, uint8 [3, H, W]."""
        return views.TwoViews(cfg.area, cfg.strength, (0.5 * cfg.blur, 0.5 * cfg.blur))

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """NT-Xent between the two views."""
        both = torch.cat([batch["first"], batch["second"]])  # [2B, 3, H, W]
        first, second = ops.unit(self.head(self.encoders["image"](both).vector)).chunk(2)
        first, second = gather(first), gather(second)  # [B, P]
        recording = gather(batch["recording"])
        loss = nt_xent(first, second, self.cfg.temperature, recording)
        hit = ((first @ second.T).argmax(1) == torch.arange(len(first), device=first.device)).float().mean()
        return Step(loss, detached({"accuracy": hit, "cosine": (first * second).sum(1).mean()}))

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D] of the encoder; the projection is for training only."""
        if modality != "image" or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.encoders["image"](x).vector)
