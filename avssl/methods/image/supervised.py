"""Name what a picture shows, from labels: no self-supervision, but the ceiling that every table of it needs.

The supervised rows of Ting Chen, Simon Kornblith, Mohammad Norouzi, Geoffrey Hinton: A Simple Framework for Contrastive
Learning of Visual Representations, ICML 2020, arXiv:2002.05709: the same trunk, trained by cross-entropy on labeled
pictures that are cropped and mirrored, its head thrown away and its features judged as those of any other method.

Deviations: any encoder of the house takes the place of ResNet-50.
"""

from __future__ import annotations

import dataclasses

import torch.nn.functional as F
from pydantic import Field
from torch import nn

from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.pictures import Labeled, OfPictures
from avssl.sample import Needs


class Config(MethodConfig):
    """Learning from labels; the views are SimCLR's for its supervised rows."""

    label: str = Field("kind", min_length=1)
    """name of the label in the manifest"""
    classes: int = Field(1000, ge=2)
    """how many values it has"""
    area: float = Field(0.08, gt=0, le=1)
    """least share of the picture that a view shows"""
    flip: bool = True
    """mirror half of the pictures; not where left and right mean something, as in digits"""
    smoothing: float = Field(0.0, ge=0, lt=1)
    """share of the target that is spread over all classes"""


class Supervised(OfPictures[Config]):
    """One encoder, one linear layer, cross-entropy."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.head = nn.Linear(self.width, cfg.classes)

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """One picture and its label."""
        return dataclasses.replace(inputs.needs(frames=1), label=cfg.label)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``picture`` uint8 [3, H, W] and ``label``."""
        return Labeled(cfg.label, cfg.classes, cfg.area, cfg.flip)

    def chance(self, items: int) -> dict[str, float]:
        """Of naming the right one."""
        return {"accuracy": 1 / self.cfg.classes}

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Cross-entropy of the label."""
        logits = self.head(self.encoders["image"](batch["picture"]).vector)  # [B, K]
        accuracy = (logits.argmax(1) == batch["label"]).float().mean()
        loss = F.cross_entropy(logits.float(), batch["label"], label_smoothing=self.cfg.smoothing)
        return Step(loss, detached({"accuracy": accuracy}))
