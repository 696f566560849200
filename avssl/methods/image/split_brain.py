"""Two halves of a network, one sees lightness, the other colour; each predicts what the other one sees.

Richard Zhang, Phillip Isola, Alexei A. Efros: Split-Brain Autoencoders: Unsupervised Learning by Cross-Channel
Prediction, CVPR 2017, arXiv:1611.09842.

Neither half ever sees what it predicts, so neither can copy; together they have seen the whole picture, and what they
found, side by side, is the representation, at every layer.

Deviations: any encoder, of which there are two, takes the place of each half of AlexNet; the config's width is that of
one half.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from avssl import encoders as towers
from avssl import ops
from avssl.config import MethodConfig
from avssl.encoders import Features
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.pictures import OfPictures, View
from avssl.nn.colors import annealed, centers, soft_bins
from avssl.nn.decoders import Decoder, shape_of
from avssl.views.planes import Planes

PARTS = ("light", "color")


class Config(MethodConfig):
    """Split-brain autoencoder; defaults are the paper's."""

    loss: Literal["classify", "regress"] = "classify"
    """classify: bins of colour and of lightness; regress: squared error"""
    levels: int = Field(100, ge=2)
    """bins of lightness"""
    split: bool = True
    """off, both halves see everything: an autoencoder, which may copy"""
    step: int = Field(4, ge=1)
    """pixels along each side of a place that is told"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of the picture that is shown"""
    planes: int = Field(64, ge=8)
    """least of the decoders'"""


class Halves(nn.Module):
    """Two encoders of one picture [B, 3, H, W]: their features side by side, those of lightness first."""

    def __init__(self, encoder: nn.Module, split: bool):
        super().__init__()
        self.width = 2 * towers.width(encoder)
        self.sides = nn.ModuleDict({part: copy.deepcopy(encoder) for part in PARTS})
        self.split = split

    def forward(self, x: Tensor) -> Features:
        """Vector [B, 2 D], maps [B, 2 D, h, w]."""
        scaled = ops.lab(x) / x.new_tensor([100, 220, 220], dtype=torch.float32).view(3, 1, 1)  # encoders expect 0..1
        light, color = scaled[:, :1].expand(-1, 3, -1, -1), torch.cat([scaled[:, 1:] + 0.5, scaled[:, :1] * 0 + 0.5], 1)
        whole = torch.cat([scaled[:, :1], scaled[:, 1:] + 0.5], 1)
        seen = (light, color) if self.split else (whole, whole)
        first, second = (self.sides[part](given) for part, given in zip(PARTS, seen, strict=True))
        maps = tuple(torch.cat(pair, 1) for pair in zip(first.maps, second.maps, strict=True))
        return Features(torch.cat([first.vector, second.vector], 1), maps)


class SplitBrain(OfPictures[Config]):
    """Two encoders, two decoders, crosswise."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        halves = Halves(encoders["image"], cfg.split)
        super().__init__(cfg, inputs, nn.ModuleDict({"image": halves}), length)
        shape = shape_of(encoders["image"], *self.size)  # of one half
        coarse = (-(-self.size[0] // cfg.step), -(-self.size[1] // cfg.step))
        outputs = (len(centers()), cfg.levels) if cfg.loss == "classify" else (2, 1)
        self.decoders = nn.ModuleDict(
            {part: Decoder(shape, count, coarse, cfg.planes) for part, count in zip(PARTS, outputs, strict=True)}
        )

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``picture`` uint8 [3, H, W]."""
        return View(cfg.area)

    @classmethod
    def preview(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Adds what each half looks at, which the other one is asked for."""
        return Planes(View(cfg.area))

    def predicted(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures -> colour told by lightness [B, 313 or 2, h, w], lightness told by colour [B, 100 or 1, h, w]."""
        light, color = self.encoders["image"](x).maps[-1].chunk(2, 1)
        return self.decoders["light"](light).float(), self.decoders["color"](color).float()

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """The sum of both halves' losses."""
        lab = F.avg_pool2d(ops.lab(batch["picture"]), self.cfg.step, ceil_mode=True, count_include_pad=False)
        color, light = self.predicted(batch["picture"])
        if self.cfg.loss == "regress":
            losses = F.mse_loss(color, lab[:, 1:] / 110), F.mse_loss(light, lab[:, :1] / 50 - 1)
        else:
            wanted = soft_bins(lab[:, 1:].permute(0, 2, 3, 1).reshape(-1, 2), 1, 5.0).argmax(1)
            level = (lab[:, 0] * (self.cfg.levels / 100)).long().clamp(0, self.cfg.levels - 1)
            losses = F.cross_entropy(color, wanted.view(level.shape)), F.cross_entropy(light, level)
        return Step(losses[0] + losses[1], detached({"color": losses[0], "light": losses[1]}))

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """``guessed`` 0..1 [B, 3, H, W]: the likely lightness and the likely colours, each from the other."""
        color, light = self.predicted(batch["picture"])
        if self.cfg.loss == "regress":
            made = torch.cat([(light + 1) * 50, color * 110], 1)
        else:
            level = (torch.arange(self.cfg.levels, device=light.device) + 0.5) * (100 / self.cfg.levels)
            made = torch.cat([torch.einsum("bqhw,q->bhw", light.softmax(1), level)[:, None], annealed(color, 0.38)], 1)
        return {"guessed": ops.rgb(F.interpolate(made, batch["picture"].shape[2:], mode="bilinear"))}
