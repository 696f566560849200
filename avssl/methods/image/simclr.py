"""Of two views of one picture, tell which other picture's views in the batch are the same picture.

Ting Chen, Simon Kornblith, Mohammad Norouzi, Geoffrey Hinton: A Simple Framework for Contrastive Learning of Visual
Representations, ICML 2020, arXiv:2002.05709.

A view is what ``augment`` makes of a picture, one change after the other. By default that is the paper's policy; all
that its study tried can be named: crop, flip, color (jitter), gray (colour dropped), rotate (by 90, 180 or 270
degrees), cutout, noise, blur, sobel (edges alone). ``one_sided`` is how it tried them: one view is changed, the other
only cut out. ``avssl preview simclr`` draws each by itself.

Deviations: the projection has no BatchNorm; other items of the same recording are no negatives; brightness multiplies,
as in version 2; the loss is the mean over 2B rows (the official code has twice that).
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.pictures import OfViews
from avssl.nn.contrast import nt_xent
from avssl.nn.gather import gather
from avssl.nn.heads import mlp

Change = Literal["crop", "flip", "color", "gray", "rotate", "cutout", "noise", "blur", "sobel"]
CHANCES: dict[Change, float] = {
    "crop": 1.0, "flip": 0.5, "color": 0.8, "gray": 0.2, "rotate": 0.5, "cutout": 0.5, "noise": 0.5, "blur": 0.5,
    "sobel": 0.5,
}  # fmt: skip
"""how often a view that may be changed so is changed so; the first four and blur are the paper's"""


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
    augment: tuple[Change, ...] = ("crop", "flip", "color", "gray", "blur")
    """what is done to a view, in this order; also rotate, cutout, noise, sobel"""
    one_sided: bool = False
    """only the first view is changed, the second is cropped alone"""
    area: float = Field(0.08, gt=0, le=1)
    """crop: least share of the picture that a view shows"""
    strength: float = Field(1.0, ge=0)
    """of the colour changes; 0.5 for small pictures"""
    blur: bool = True
    """whether to blur where augment says so; not for small pictures"""


class SimCLR(OfViews[Config]):
    """Two views, one encoder, NT-Xent over the whole batch."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.head = mlp(self.width, cfg.hidden, cfg.projection, cfg.layers)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> views.Views:
        """Two views."""
        names = [name for name in cfg.augment if cfg.blur or name != "blur"]
        second = [CHANCES[name] if name == "crop" or not cfg.one_sided else 0.0 for name in names]
        changes = [(name, (CHANCES[name], chance)) for name, chance in zip(names, second, strict=True)]
        return views.Views(changes, cfg.area, cfg.strength)

    @classmethod
    def preview(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Adds the picture itself and what each change alone makes of it."""
        return views.Shown(cls.transform(cfg, inputs), list(CHANCES))

    def chance(self, items: int) -> dict[str, float]:
        """Of naming the right one."""
        return {"accuracy": 1 / items}

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """NT-Xent between the two views."""
        both = self.views.made(batch)  # [2B, 3, H, W]
        first, second = ops.unit(self.head(self.encoders["image"](both).vector)).chunk(2)
        first, second = gather(first), gather(second)  # [B, P]
        recording = gather(batch["recording"])
        loss = nt_xent(first, second, self.cfg.temperature, recording)
        hit = ((first @ second.T).argmax(1) == torch.arange(len(first), device=first.device)).float().mean()
        return Step(loss, detached({"accuracy": hit, "cosine": (first * second).sum(1).mean()}))
