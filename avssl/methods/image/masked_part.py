"""Pretend that a part of a picture is not known, and predict it from another part: top from bottom, left from right.

Any part from any other, as hidden-part prediction is told in general; the closest paper is Deepak Pathak, Philipp
Krähenbühl, Jeff Donahue, Trevor Darrell, Alexei A. Efros: Context Encoders: Feature Learning by Inpainting, CVPR 2016,
arXiv:1604.07379, whose layer across places joins encoder and decoder here.

Only squared error of the hidden part counts. A band along its edge is neither shown nor judged, or lines that go on
across the edge would be half of the answer.

Deviations from that paper: the parts, the band; there is no critic (see context_encoder).
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
from avssl.methods.base import Batch, Step, detached
from avssl.methods.pictures import OfViews
from avssl.nn.decoders import Across, Decoder, psnr, shape_of
from avssl.nn.masking import blob
from avssl.sample import Sample

Part = Literal["top", "bottom", "left", "right", "middle", "rim", "occluded"]
PARTS: tuple[Part, ...] = ("top", "bottom", "left", "right", "middle", "rim", "occluded")
"""occluded: a region of any shape, as if something stood in front"""


class Config(MethodConfig):
    """Which part is predicted from which."""

    hidden: Part | Literal["any"] = "any"
    """what is predicted; any is drawn anew for each picture"""
    seen: Part | Literal["rest"] = "rest"
    """from what, less what is hidden; rest: everything else"""
    share: float = Field(0.5, gt=0, lt=1)
    """of the picture that a part takes up"""
    gap: float = Field(1 / 16, ge=0, lt=0.25)
    """width of the band that is neither shown nor judged, as a share of the shorter side"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of the picture that is shown"""
    planes: int = Field(32, ge=8)
    """least of the decoder's"""


def region(part: Part, size: tuple[int, int], share: float, generator: Generator) -> Tensor:
    """A part of a picture of H x W pixels that takes up ``share`` of it, bool [H, W]."""
    if part == "occluded":
        return blob(size, share, generator, 4)  # large enough that the band leaves something
    if part == "rim":
        return ~region("middle", size, 1 - share, generator)
    inside, side = torch.zeros(size, dtype=torch.bool), share**0.5 if part == "middle" else share
    h, w = round(size[0] * side), round(size[1] * side)
    if part == "middle":
        top, left = (size[0] - h) // 2, (size[1] - w) // 2
        inside[top : top + h, left : left + w] = True
    elif part in ("top", "bottom"):
        inside[slice(0, h) if part == "top" else slice(size[0] - h, None)] = True
    else:
        inside[:, slice(0, w) if part == "left" else slice(size[1] - w, None)] = True
    return inside


def masks(cfg: Config, part: Part, size: tuple[int, int], generator: Generator) -> tuple[Tensor, Tensor]:
    """What is seen and what is judged where ``part`` is hidden, bool [H, W] each."""
    hidden = region(part, size, cfg.share, generator)
    seen = ~hidden if cfg.seen == "rest" else region(cfg.seen, size, cfg.share, generator) & ~hidden
    reach = round(cfg.gap * min(size))
    near = F.max_pool2d(seen[None].float(), 2 * reach + 1, 1, reach)[0] > 0
    return seen, hidden & ~near


class Hide(views.OneView):
    """A view of each picture, and what of it is ``seen`` and what is ``judged``, bool [H, W]."""

    def __init__(self, cfg: Config):
        super().__init__(cfg.area)
        self.cfg = cfg

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Draws what decides the view and, where they are not told, the part and its shape."""
        cfg = self.cfg
        drawn = super().__call__(sample, generator, progress)
        size = (drawn["picture"].shape[1], drawn["picture"].shape[2])
        known = [part for part in PARTS if part != cfg.seen]
        part = known[views.integer(generator, len(known))] if cfg.hidden == "any" else cfg.hidden
        seen, judged = masks(cfg, part, size, generator)
        return {**drawn, "seen": seen, "judged": judged}


class MaskedPart(OfViews[Config]):
    """An encoder of what is seen, a decoder of what is not."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        if cfg.hidden == cfg.seen:
            raise ValueError(
                f"method.seen={cfg.seen}: nothing of it is left where {cfg.hidden} is hidden; name another"
            )
        for part in PARTS if cfg.hidden == "any" else [cfg.hidden]:
            if part != cfg.seen and not masks(cfg, part, self.size, Generator().manual_seed(0))[1].any():
                raise ValueError(
                    f"method.share={cfg.share}, gap={cfg.gap}: of {part} nothing is left to judge beside the band at "
                    f"{self.size[0]} x {self.size[1]} pixels; hide more, or make the band narrower"
                )
        shape = shape_of(encoders["image"], *self.size)
        self.decoder = nn.Sequential(Across(shape), Decoder(shape, 3, self.size, cfg.planes))

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> views.Views:
        """A view; adds ``seen`` and ``judged``, bool [H, W]."""
        return Hide(cfg)

    def predicted(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The clean views, what is seen of them and what is made of that, 0..1 [B, 3, H, W] each."""
        clean = self.views.made(batch).float() / 255
        seen = torch.where(batch["seen"][:, None], clean, 0.5)
        return clean, seen, self.decoder(self.encoders["image"](seen).maps[-1]).float().sigmoid()

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Mean squared error of what is judged, each picture counting alike."""
        clean, _, made = self.predicted(batch)
        judged = batch["judged"][:, None].float()  # [B, 1, H, W]
        count = 3 * judged.sum((1, 2, 3)).clamp_min(1)
        loss = ((judged * (made - clean).square()).sum((1, 2, 3)) / count).mean()
        middle = (judged * clean).sum((0, 2, 3)) / judged.sum((0, 2, 3)).clamp_min(1)  # [3]
        spread = ((judged * (clean - middle[:, None, None]).square()).sum((1, 2, 3)) / count).mean()
        filled = torch.where(judged > 0, made, clean)
        return Step(loss, detached({"explained": 1 - loss / spread.clamp_min(1e-6), "psnr": psnr(filled, clean)}))

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """What is ``shown`` to the encoder, and the picture with the rest ``filled``."""
        clean, seen, made = self.predicted(batch)
        return {"shown": seen, "filled": torch.where(batch["seen"][:, None], clean, made)}
