"""Give a gray picture its colours back: at each place, say which of 313 colours is likely.

Richard Zhang, Phillip Isola, Alexei A. Efros: Colorful Image Colorization, ECCV 2016, arXiv:1603.08511.

The input is lightness alone, the target the colour (a and b of Lab), spread softly over its nearest bins; places with
rare colours weigh more, or everything would be painted in the brown mean of all. Pictures without colour teach nothing
and are left out. How frequent each bin is, is counted once on the training pictures before the first step.

Deviations: any encoder takes the place of AlexNet, and sees lightness as a gray picture; it is given gray pictures when
it embeds, too.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from avssl import ops
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.pictures import OfPictures, View
from avssl.nn.colors import annealed, centers, rarity, soft_bins
from avssl.nn.decoders import Decoder, shape_of
from avssl.nn.gather import gather
from avssl.views.planes import Planes

COUNTED = 2000
"""most pictures whose colours are counted"""


class Config(MethodConfig):
    """Colorization; defaults are the paper's."""

    step: int = Field(4, ge=1)
    """pixels along each side of a place whose colour is told"""
    neighbors: int = Field(10, ge=1, le=313)
    """bins that share a colour"""
    deviation: float = Field(5.0, gt=0)
    """of that sharing, in units of a and b"""
    uniform: float = Field(0.5, ge=0, le=1)
    """share of the uniform distribution in what is called rare; at 1 all colours weigh the same"""
    least: float = Field(5.0, ge=0)
    """a picture whose a and b nowhere exceed it has no colour"""
    temperature: float = Field(0.38, gt=0)
    """of the annealed mean that turns a distribution into a colour"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of the picture that is shown"""
    planes: int = Field(64, ge=8)
    """least of the decoder's"""


class Colorization(OfPictures[Config]):
    """An encoder of lightness, a decoder of colours."""

    prior: Tensor

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        coarse = (-(-self.size[0] // cfg.step), -(-self.size[1] // cfg.step))
        self.decoder = Decoder(shape_of(encoders["image"], *self.size), len(centers()), coarse, cfg.planes)
        self.register_buffer("prior", torch.zeros(len(centers())))  # zero: not counted yet, all weigh the same

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``picture`` uint8 [3, H, W]."""
        return View(cfg.area)

    @classmethod
    def preview(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Adds what is looked at and what is asked for."""
        return Planes(View(cfg.area))

    def before_epoch(self, examples: Iterable[Batch]) -> None:
        """Counts the colours of the training pictures, once."""
        if self.prior.any():
            return
        seen, total = 0, torch.zeros_like(self.prior)
        for batch in examples:
            total += self.targets(ops.lab(batch["picture"]))[1].sum(0)
            seen += len(batch["picture"])
            if seen >= COUNTED:
                break
        self.prior.copy_(total / total.sum().clamp_min(1e-6))

    def targets(self, lab: Tensor) -> tuple[Tensor, Tensor]:
        """Lab [B, 3, H, W] -> colours ab [B, 2, h, w] of the places, and their shares of bins [B h w, Q]."""
        ab = F.avg_pool2d(lab[:, 1:], self.cfg.step, ceil_mode=True, count_include_pad=False)
        return ab, soft_bins(ab.permute(0, 2, 3, 1).reshape(-1, 2), self.cfg.neighbors, self.cfg.deviation)

    def logits(self, lab: Tensor) -> Tensor:
        """Lab [B, 3, H, W], of which lightness alone is looked at -> logits [B, Q, h, w]."""
        made: Tensor = self.decoder(self.encoders["image"](lightness(lab)).maps[-1])
        return made.float()

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Cross-entropy of the soft bins, rare ones weighing more; a mean over all ranks' pictures with colour."""
        lab = ops.lab(batch["picture"])
        logits = self.logits(lab)
        ab, wanted = self.targets(lab)
        told = F.log_softmax(logits, 1).permute(0, 2, 3, 1).flatten(0, 2)  # [B h w, Q]
        each = -(wanted * told).sum(1) * self.weights()[wanted.argmax(1)]
        each = gather(each.unflatten(0, (len(lab), -1)).mean(1))  # [B]
        colored = gather((lab[:, 1:].abs().amax((1, 2, 3)) > self.cfg.least).float())
        error = (annealed(logits, self.cfg.temperature) - ab).square().sum(1).mean().sqrt()
        return Step((each * colored).sum() / colored.sum().clamp_min(1), detached({"error": error}))

    def weights(self) -> Tensor:
        """Of each bin [Q], by how rare it is; 1 before it is counted."""
        return rarity(self.prior, self.cfg.uniform) if self.prior.any() else torch.ones_like(self.prior)

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """``gray``, what is looked at, and ``colored``, the likely colours, 0..1 [B, 3, H, W]."""
        lab = ops.lab(batch["picture"])
        ab = F.interpolate(annealed(self.logits(lab), self.cfg.temperature), lab.shape[2:], mode="bilinear")
        return {"gray": lightness(lab), "colored": ops.rgb(torch.cat([lab[:, :1], ab], 1))}

    def vector(self, x: Tensor) -> Tensor:
        """Of lightness alone, [B, D]."""
        return super().vector(lightness(ops.lab(x)))


def lightness(lab: Tensor) -> Tensor:
    """Lab [B, 3, H, W] -> a gray picture 0..1 [B, 3, H, W]."""
    return (lab[:, :1] / 100).clamp(0, 1).expand(-1, 3, -1, -1)
