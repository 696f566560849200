"""Count so that what is counted in the four quarters of a picture adds up to what is counted in the whole.

Mehdi Noroozi, Hamed Pirsiavash, Paolo Favaro: Representation Learning by Learning to Count, ICCV 2017,
arXiv:1708.06734.

With counts c, the picture x made smaller D x, its quarters T_j x, and another picture y:
|c(D x) - sum_j c(T_j x)|^2 + max(0, M - |c(D y) - sum_j c(T_j x)|^2). The second term alone forbids to count nothing.
Counts are not below zero. How a picture is made smaller is drawn, so that the method leaves no mark to be recognized;
most pictures are gray, the others' colour planes displaced, so that a lens's fringes do not tell where a quarter was.

Deviations: D y is the smaller picture of the next item of another recording in the batch; planes are displaced as in
jigsaw, by as much; any encoder takes the place of AlexNet.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn
from torchvision.transforms.v2 import functional as V

from avssl import views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.pictures import OfPictures
from avssl.nn.gather import gather
from avssl.nn.heads import mlp
from avssl.sample import Sample
from avssl.views.aberration import displaced

SMOOTH = (V.InterpolationMode.BILINEAR, V.InterpolationMode.BICUBIC)


class Config(MethodConfig):
    """Learning to count; defaults are the paper's."""

    counts: int = Field(1000, ge=1)
    """how many different things may be counted"""
    margin: float = Field(10.0, gt=0)
    """M, squared distance at which another picture's counts are different enough"""
    contrast: float = Field(1.0, ge=0)
    """weight of the second term; at 0 nothing is counted in the end"""
    smaller: Literal["drawn", "mean"] = "drawn"
    """how a picture is made smaller: drawn of three ways, or always by the mean of four pixels"""
    gray: float = Field(0.67, ge=0, le=1)
    """share of pictures without colour"""
    shift: int = Field(2, ge=0)
    """most pixels by which a colour plane is moved"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of the picture that is shown: quarters do not begin where a codec's blocks do"""
    hidden: int = Field(4096, ge=1)
    """width of the two hidden layers"""


class Quarters:
    """One picture -> its quarters row by row and itself made smaller, uint8 [5, 3, h, w]."""

    def __init__(self, cfg: Config):
        self.cfg = cfg

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Draws the view, its colours, where their planes are, and how it is made smaller."""
        x = sample.video[0, 0]
        h, w = x.shape[1] // 2, x.shape[2] // 2
        room = 2 * self.cfg.shift
        x = views.crop(x, generator, (self.cfg.area, 1.0), (2 * h + room, 2 * w + room))
        x = views.gray(displaced(views.flip(x, generator), generator, self.cfg.shift), generator, self.cfg.gray)
        ways = len(SMOOTH) + 1 if self.cfg.smaller == "drawn" else 1
        parts = [x[:, :h, :w], x[:, :h, w:], x[:, h:, :w], x[:, h:, w:]]
        return {"parts": torch.stack([*parts, smaller(x, views.integer(generator, ways))])}


def smaller(x: Tensor, way: int) -> Tensor:
    """uint8 [3, 2 h, 2 w] -> [3, h, w]: 0 by the mean of four pixels, 1 bilinear, 2 bicubic."""
    if way == 0:
        return F.avg_pool2d(x[None].float(), 2)[0].round().to(torch.uint8)
    resized: Tensor = V.resize(x, [x.shape[1] // 2, x.shape[2] // 2], SMOOTH[way - 1], antialias=True)
    return resized


class Counting(OfPictures[Config]):
    """One encoder and one head count in each part alone."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.head = nn.Sequential(mlp(self.width, cfg.hidden, cfg.counts, 3), nn.ReLU())
        for layer in self.head.modules():
            if isinstance(layer, nn.Linear):  # as they come, layers shrink what they are given: counts would begin at 0
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``parts`` uint8 [5, 3, h, w]: four quarters and the whole."""
        return Quarters(cfg)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Both terms, means over the pictures of all ranks."""
        each = self.head(self.encoders["image"](batch["parts"].flatten(0, 1)).vector).float().unflatten(0, (-1, 5))
        added, whole = gather(each[:, :4].sum(1)), gather(each[:, 4])  # [B, C]
        recording = gather(batch["recording"])
        strange = recording[:, None] != recording  # [B, B]
        # of all others the next one, counted around the batch's end
        places = torch.arange(len(added), device=added.device)
        turned = (places - places[:, None] - 1) % len(added)
        other = turned.masked_fill(~strange, len(added)).argmin(1)
        own = (whole - added).square().sum(1)
        apart = (whole[other] - added).square().sum(1)
        has = strange.any(1)
        short = (F.relu(self.cfg.margin - apart) * has).sum() / has.sum().clamp_min(1)
        told = ((own < apart) & has).float().sum() / has.sum().clamp_min(1)
        terms = {"equal": own.mean(), "short": short, "told": told, "zeros": (each == 0).float().mean()}
        return Step(own.mean() + self.cfg.contrast * short, detached({**terms, "counted": whole.sum(1).mean()}))
