"""Of two patches of one picture, say which of the first one's eight neighbors the second is.

Carl Doersch, Abhinav Gupta, Alexei A. Efros: Unsupervised Visual Representation Learning by Context Prediction, ICCV
2015, arXiv:1505.05192.

Meaning of a label: neighbors are counted row by row, the middle left out, 0 1 2 / 3 . 4 / 5 6 7: with 0 the second
patch is above and left of the first, with label 4 on its right. Shortcuts are closed by a gap and a jitter (no line
continues), by one colour plane alone (how planes are displaced or fade tells where in the lens a patch was), by a
coarser resolution for some patches, and by equal contrast.

Deviations: pairs are drawn one by one with the first patch anywhere, not all from one grid; sizes are shares of the
picture; a random crop stands for the random scale; any encoder takes the place of AlexNet, with its own normalization.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Generator, Tensor, nn

from avssl import views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.pictures import OfPictures
from avssl.nn.heads import mlp
from avssl.sample import Sample

NEIGHBORS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""(rows, columns) from the first patch to the second, by label"""


class Config(MethodConfig):
    """Context prediction; defaults are the paper's, for pictures of about 550 pixels."""

    patch: float = Field(96 / 550, gt=0, lt=0.4)
    """side of a patch as a share of the picture's shorter side"""
    gap: float = Field(48 / 96, ge=0, le=0.5)
    """between neighbors, as a share of the patch"""
    jitter: float = Field(7 / 96, ge=0, le=0.25)
    """most by which each patch is moved along each axis, as a share of the patch"""
    pairs: int = Field(8, ge=1)
    """drawn from one picture"""
    color: Literal["drop", "keep"] = "drop"
    """drop: one plane is kept, the others become faint noise; keep: all are shown, which is a shortcut"""
    coarse: float = Field(1 / 3, ge=0, le=1)
    """share of patches shown at a lower resolution, down to 10 x 10 pixels"""
    area: float = Field(1 / 3, gt=0, le=1)
    """least share of the picture that pairs are drawn from"""
    hidden: int = Field(4096, ge=1)
    """width of the two hidden layers over both patches"""

    @model_validator(mode="after")
    def fits(self) -> Config:
        """Two patches, the gap and their jitter lie in the picture."""
        needed = self.patch * (2 + self.gap + 2 * self.jitter)
        if needed > 1:
            raise ValueError(f"patch, gap and jitter take {needed:.2f} of the side; make them smaller")
        return self


class Pairs:
    """One picture -> patches float [K, 2, 3, p, p] about 0 and labels [K]."""

    def __init__(self, cfg: Config):
        self.cfg = cfg

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Draws the view, and each pair's place, label, jitter, colours and resolutions."""
        picture = views.crop(sample.video[0, 0], generator, (self.cfg.area, 1.0))
        labels = [views.integer(generator, len(NEIGHBORS)) for _ in range(self.cfg.pairs)]
        pairs = [self.pair(picture, label, generator) for label in labels]
        return {"patches": torch.stack(pairs), "label": torch.tensor(labels)}

    def words(self, example: Batch) -> dict[str, str]:
        """Where the second patches are, seen from the first ones."""
        ways = [NEIGHBORS[label] for label in example["label"].tolist()]
        told = [" ".join((("above", "", "below")[y + 1], ("left", "", "right")[x + 1])).strip() for y, x in ways]
        return {"label": "the second is\n" + "\n".join(told)}

    def pair(self, x: Tensor, label: int, generator: Generator) -> Tensor:
        """uint8 [3, H, W] -> a patch and its neighbor of that label, float [2, 3, p, p]."""
        side = max(4, int(self.cfg.patch * min(x.shape[1:])))
        jitter = round(self.cfg.jitter * side)
        step = side + round(self.cfg.gap * side)
        corners = []
        for axis, way in enumerate(NEIGHBORS[label]):
            # where the first patch may begin, so that both with their jitter are inside
            room = x.shape[1 + axis] - side - abs(way) * step - 2 * jitter
            begin = views.integer(generator, max(1, room + 1)) + jitter + max(0, -way) * step
            corners.append((begin, begin + way * step))
        patches = []
        for top, left in zip(*corners, strict=True):
            top, left = (k + views.integer(generator, 2 * jitter + 1) - jitter for k in (top, left))
            patches.append(self.shown(x[:, top : top + side, left : left + side] / 255, generator))
        return torch.stack(patches)

    def shown(self, patch: Tensor, generator: Generator) -> Tensor:
        """[3, p, p] in 0..1 -> the same without its mean; coarse, and with one plane alone, where that is drawn."""
        side = patch.shape[-1]
        if views.chance(generator, self.cfg.coarse):
            few = round(views.uniform(generator, min(10, side), side * 95 / 96))
            patch = F.interpolate(patch[None], (few, few), mode="bilinear", antialias=True)
            patch = F.interpolate(patch, (side, side), mode="bilinear")[0]
        if self.cfg.color == "keep":
            return patch - patch.mean()
        kept = views.integer(generator, 3)
        alone = (torch.rand(patch.shape, generator=generator) - 0.5) / 255
        alone[kept] = patch[kept] - patch[kept].mean()
        return alone


class ContextPrediction(OfPictures[Config]):
    """One encoder sees each patch alone; a head sees both vectors side by side."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.head = mlp(2 * self.width, cfg.hidden, len(NEIGHBORS), 3)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``patches`` [K, 2, 3, p, p] and ``label`` [K]."""
        return Pairs(cfg)

    def chance(self, items: int) -> dict[str, float]:
        """Of naming the right one."""
        return {"accuracy": 1 / len(NEIGHBORS)}

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Cross-entropy of the neighbor; patches have equal contrast."""
        patches, label = batch["patches"].flatten(0, 1), batch["label"].flatten()  # [B K, 2, 3, p, p], [B K]
        contrast = patches.square().mean((2, 3, 4), keepdim=True).sqrt().clamp_min(1e-3)
        equal = (patches / contrast * (50 / 255) + 0.5).flatten(0, 1)  # encoders expect 0..1
        vectors = self.encoders["image"](equal).vector.unflatten(0, (-1, 2))  # [B K, 2, D]
        logits = self.head(vectors.flatten(1))
        accuracy = (logits.argmax(1) == label).float().mean()
        return Step(F.cross_entropy(logits, label), detached({"accuracy": accuracy}))
