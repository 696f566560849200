"""Paint what is missing in a picture, so that a critic takes it for the real one.

Deepak Pathak, Philipp Krähenbühl, Jeff Donahue, Trevor Darrell, Alexei A. Efros: Context Encoders: Feature Learning by
Inpainting, CVPR 2016, arXiv:1604.07379.

The critic takes one turn, encoder and painter take the other, with (1 - w) squared error + w times the critic's
disbelief. What is missing is a region of any shape, so that no edge is learnt, or the middle square; of that, a visible
rim is painted as well and counts more, and the critic sees the square alone.

Deviations: each picture has its own region (one for the whole batch spoils normalization); of a region of any shape the
error is that of what is missing, and the critic sees it where it was missing (the authors' code takes all that was
painted for both); what is missing becomes gray; GroupNorm; any encoder takes the place of AlexNet, followed by the
paper's layer across places.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.pictures import OfPictures, Shares, View
from avssl.nn.adversaries import glances
from avssl.nn.decoders import Across, Decoder, psnr, shape_of
from avssl.nn.masking import blob
from avssl.sample import Sample


class Config(MethodConfig):
    """Context encoder; defaults are the paper's."""

    region: Literal["any", "middle"] = "any"
    """what is missing; the middle stays in one place, and can be painted without looking"""
    share: Shares = (0.2, 0.3)
    """any: least and greatest share of the picture"""
    overlap: float = Field(4 / 128, ge=0, lt=0.2)
    """middle: width of the visible rim, as a share of the side"""
    rim: float = Field(10.0, ge=0)
    """middle: weight of the rim's error"""
    adversarial: float = Field(0.001, ge=0, lt=1)
    """w; at 0 there is no critic, as for the paper's features"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of the picture that is shown"""
    planes: int = Field(64, ge=16)
    """of the critic's first layer, and least of the painter's"""


class Cut:
    """One picture -> a view of it, uint8 [3, H, W], and where it is ``missing``, bool [H, W]."""

    def __init__(self, cfg: Config):
        self.cfg, self.view = cfg, View(cfg.area)

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Draws the view and the region."""
        cfg = self.cfg
        picture = self.view(sample, generator, progress)["picture"]
        size = (picture.shape[1], picture.shape[2])
        if cfg.region == "any":
            return {"picture": picture, "missing": blob(size, views.uniform(generator, *cfg.share), generator)}
        return {"picture": picture, "missing": square(*size, round(cfg.overlap * min(size)))}


def square(height: int, width: int, rim: int = 0) -> Tensor:
    """bool [H, W]: the middle of half the height and width, less a rim of so many pixels."""
    inside = torch.zeros(height, width, dtype=torch.bool)
    top, left = height // 4, width // 4
    inside[top + rim : top + height // 2 - rim, left + rim : left + width // 2 - rim] = True
    return inside


class ContextEncoder(OfPictures[Config]):
    """An encoder, a painter, and a critic of what is painted."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        shape = shape_of(encoders["image"], *self.size)
        self.painter = nn.Sequential(Across(shape), Decoder(shape, 3, self.size, cfg.planes))
        self.critic = critic(cfg.planes) if cfg.adversarial else None

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``picture`` uint8 [3, H, W] and ``missing`` bool [H, W]."""
        return Cut(cfg)

    def turns(self) -> dict[str, list[nn.Parameter]]:
        """The critic, if there is one, then encoder and painter."""
        critics = {"critic": list(self.critic.parameters())} if self.critic else {}
        players = [*self.encoders.parameters(), *self.painter.parameters()]
        return {**critics, "painter": [p for p in players if p.requires_grad]}

    def paint(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The clean pictures, what is seen of them and what is painted, 0..1 [B, 3, H, W] each."""
        clean = batch["picture"].float() / 255
        seen = torch.where(batch["missing"][:, None], 0.5, clean)
        return clean, seen, self.painter(self.encoders["image"](seen).maps[-1]).float().sigmoid()

    def forward(self, batch: Batch, turn: str = "painter") -> Step:
        """The critic's two answers in its turn; the painter's error and the critic's disbelief in the other."""
        with torch.set_grad_enabled(turn == "painter" and torch.is_grad_enabled()):
            clean, _, made = self.paint(batch)
        middle = self.cfg.region == "middle"
        whole = square(*self.size).to(clean.device) if middle else torch.ones_like(batch["missing"][0])
        filled = torch.where(batch["missing"][:, None], made, clean)
        real, fake = (x[:, :, whole.any(1)][..., whole.any(0)] for x in (clean, made if middle else filled))
        if turn == "critic":
            assert self.critic is not None
            told = self.critic(real).float(), self.critic(fake).float()
            right = 0.5 * ((told[0] > 0).float().mean() + (told[1] < 0).float().mean())
            return Step(F.softplus(-told[0]).mean() + F.softplus(told[1]).mean(), detached({"accuracy": right}))
        rim = whole & ~batch["missing"] if middle else torch.zeros_like(batch["missing"])
        weight = (batch["missing"] + self.cfg.rim * rim)[:, None]  # [B, 1, H, W]
        judged = (batch["missing"] | rim).flatten(1).sum(1)
        error = ((weight * (made - clean).square()).flatten(1).sum(1) / (3 * judged)).mean()
        metrics = detached({"error": error, "psnr": psnr(filled, clean)})
        disbelief = F.softplus(-self.critic(fake).float()).mean() if self.critic else error
        return Step(torch.lerp(error, disbelief, self.cfg.adversarial), metrics)

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """What is ``seen``, and the picture with what is missing ``filled``."""
        clean, seen, made = self.paint(batch)
        return {"seen": seen, "filled": torch.where(batch["missing"][:, None], made, clean)}


def critic(planes: int) -> nn.Sequential:
    """Pictures 0..1 [B, 3, H, W] -> logits [B, 1], high for real ones."""
    return nn.Sequential(*glances(planes), nn.Linear(64 * planes, 1))
