"""Say by how many quarter turns a picture has been turned.

Spyros Gidaris, Praveer Singh, Nikos Komodakis: Unsupervised Representation Learning by Predicting Image Rotations,
ICLR 2018, arXiv:1803.07728.

Meaning of a label: k of n means counter-clockwise by k / n of a full turn, so that with four turns and label 1 what was
on top is on the left. Quarter turns move whole pixels; any other angle is interpolated, and the blur tells it. The
picture is cropped and mirrored before it is turned: mirroring afterwards would swap the labels 1 and 3.

Deviations: any encoder takes the place of AlexNet, with one linear layer.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.pictures import OfPictures
from avssl.sample import Sample


class Config(MethodConfig):
    """RotNet; defaults are the paper's for ImageNet."""

    turns: Literal[2, 4, 8] = 4
    """how many directions there are to tell apart; eight need interpolation, which is a shortcut"""
    copies: Literal["all", "one"] = "all"
    """all turns of a picture in one batch, or one that is drawn"""
    area: float = Field(0.08, gt=0, le=1)
    """least share of the picture that is shown"""


def turned(x: Tensor, turn: int, turns: int) -> Tensor:
    """uint8 [3, S, S] counter-clockwise by ``turn`` / ``turns`` of a full turn; corners left empty are black."""
    quarters, rest = divmod(4 * turn, turns)
    x = torch.rot90(x, quarters, (1, 2))
    if not rest:
        return x
    angle = 2 * math.pi * rest / turns / 4
    cos, sin = math.cos(angle), math.sin(angle)
    where = F.affine_grid(
        torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]]), [1, 3, *x.shape[1:]], align_corners=False
    )
    return F.grid_sample(x[None].float(), where, align_corners=False)[0].round().to(torch.uint8)


class Turn:
    """One picture -> its turned copies uint8 [K, 3, S, S] and their labels [K]; S is the shorter side."""

    def __init__(self, cfg: Config):
        self.cfg = cfg

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Draws the view and, for one copy, the turn."""
        picture, cfg = sample.video[0, 0], self.cfg
        side = min(picture.shape[1:])
        view = views.flip(views.crop(picture, generator, (cfg.area, 1.0), (side, side)), generator)
        labels = list(range(cfg.turns)) if cfg.copies == "all" else [views.integer(generator, cfg.turns)]
        return {"turned": torch.stack([turned(view, k, cfg.turns) for k in labels]), "label": torch.tensor(labels)}

    def words(self, example: Batch) -> dict[str, str]:
        """Angles."""
        angles = [f"{360 * label / self.cfg.turns:.0f}°" for label in example["label"].tolist()]
        return {"label": f"{', '.join(angles)} against the clock"}


class Rotation(OfPictures[Config]):
    """One encoder, one linear layer, cross-entropy."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.head = nn.Linear(self.width, cfg.turns)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``turned`` uint8 [K, 3, S, S] and ``label`` [K]."""
        return Turn(cfg)

    def chance(self, items: int) -> dict[str, float]:
        """Of naming the right one."""
        return {"accuracy": 1 / self.cfg.turns}

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Cross-entropy over all copies."""
        label = batch["label"].flatten()  # [B K]
        logits = self.head(self.encoders["image"](batch["turned"].flatten(0, 1)).vector)
        accuracy = (logits.argmax(1) == label).float().mean()
        return Step(F.cross_entropy(logits, label), detached({"accuracy": accuracy}))
