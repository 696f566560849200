"""The same methods as `lightly` has them, for scripts/bench_methods.py alone; the project never imports it.

Built from the parts that its documentation builds them from: transforms, heads, losses, momentum. The trunk is ours,
for it is the rest that is compared; MAE's is torchvision's transformer of the same width, depth and heads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss
from lightly.models import utils
from lightly.models.modules import (
    BYOLPredictionHead,
    BYOLProjectionHead,
    MAEBackbone,
    MAEDecoder,
    SimCLRProjectionHead,
)
from lightly.transforms import BYOLTransform, BYOLView1Transform, BYOLView2Transform, MAETransform, SimCLRTransform
from torch import Tensor, nn

Views = list[Tensor]
HEAD = 32
"""width of an attention head"""


class SimCLR(nn.Module):
    """Two views, one after the other, through trunk and head."""

    def __init__(self, trunk: nn.Module, width: int, cfg: Any):
        super().__init__()
        self.trunk = trunk
        self.head = SimCLRProjectionHead(width, cfg.hidden, cfg.projection, batch_norm=False)
        self.loss = NTXentLoss(cfg.temperature)

    def forward(self, views: Views) -> Tensor:
        """views: two of float [B, 3, H, W] in 0..1 -> loss."""
        loss: Tensor = self.loss(*(self.head(self.trunk(view).vector) for view in views))
        return loss

    def after(self) -> None:
        """Nothing follows a step."""


class BYOL(nn.Module):
    """Trunk, head and predictor, and slow copies of the first two."""

    def __init__(self, trunk: nn.Module, width: int, cfg: Any):
        super().__init__()
        self.trunk, self.momentum = trunk, cfg.momentum
        self.head = BYOLProjectionHead(width, cfg.hidden, cfg.projection)
        self.predictor = BYOLPredictionHead(cfg.projection, cfg.hidden, cfg.projection)
        self.slow_trunk, self.slow_head = copy.deepcopy(self.trunk), copy.deepcopy(self.head)
        utils.deactivate_requires_grad(self.slow_trunk)
        utils.deactivate_requires_grad(self.slow_head)
        self.loss = NegativeCosineSimilarity()

    def forward(self, views: Views) -> Tensor:
        """views: two of float [B, 3, H, W] in 0..1 -> loss."""
        told = [self.predictor(self.head(self.trunk(view).vector)) for view in views]
        slow = [self.slow_head(self.slow_trunk(view).vector).detach() for view in views]
        loss: Tensor = 0.5 * (self.loss(told[0], slow[1]) + self.loss(told[1], slow[0]))
        return loss

    def after(self) -> None:
        """The slow copies follow."""
        utils.update_momentum(self.trunk, self.slow_trunk, m=self.momentum)
        utils.update_momentum(self.head, self.slow_head, m=self.momentum)


class MAE(nn.Module):
    """A transformer that sees a quarter of the patches, and a decoder."""

    def __init__(self, side: int, spec: Any, cfg: Any):
        super().__init__()
        self.patch, self.share = spec.stride, cfg.hidden_share
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.backbone = MAEBackbone(
            image_size=side, patch_size=spec.stride, num_layers=spec.layers, num_heads=spec.width // HEAD,
            hidden_dim=spec.width, mlp_dim=4 * spec.width, norm_layer=norm,
        )  # fmt: skip
        self.cells = self.backbone.seq_length  # the class token among them
        self.blank = nn.Parameter(torch.zeros(1, 1, cfg.decoder_width))
        self.decoder = MAEDecoder(
            seq_length=self.cells, num_layers=cfg.decoder_layers, num_heads=cfg.decoder_width // HEAD,
            embed_input_dim=spec.width, hidden_dim=cfg.decoder_width, mlp_dim=4 * cfg.decoder_width,
            out_dim=3 * spec.stride**2, norm_layer=norm,
        )  # fmt: skip

    def forward(self, views: Views) -> Tensor:
        """views: one of float [B, 3, H, W] in 0..1 -> loss."""
        (x,) = views
        seen, hidden = utils.random_token_mask((len(x), self.cells), mask_ratio=self.share, device=x.device)
        known = self.decoder.embed(self.backbone.encode(x, seen))
        whole = utils.repeat_token(self.blank, (len(x), self.cells))
        whole = utils.set_at_index(whole, seen, known.type_as(whole))
        made = self.decoder.predict(utils.get_at_index(self.decoder.decode(whole), hidden))
        wanted = utils.get_at_index(utils.patchify(x, self.patch), hidden - 1)  # the class token has no pixels
        return nn.functional.mse_loss(made, wanted)

    def after(self) -> None:
        """Nothing follows a step."""


def transform(name: str, side: int, cfg: Any) -> Callable[[Any], Views]:
    """A PIL picture -> views, with the settings of our own config and no other normalization."""
    if name == "mae":
        return MAETransform(side, min_scale=cfg.area, normalize={})
    same = {"input_size": side, "min_scale": cfg.area, "normalize": None}
    colors = {"cj_strength": cfg.strength, "cj_bright": 0.8, "cj_contrast": 0.8, "cj_sat": 0.8, "cj_hue": 0.2}
    if name == "simclr":
        return SimCLRTransform(**same, **colors, gaussian_blur=0.5 * cfg.blur)
    return BYOLTransform(
        view_1_transform=BYOLView1Transform(
            **same, **colors, gaussian_blur=cfg.blurred[0], solarization_prob=cfg.solarized[0]
        ),
        view_2_transform=BYOLView2Transform(
            **same, **colors, gaussian_blur=cfg.blurred[1], solarization_prob=cfg.solarized[1]
        ),
    )


def module(name: str, trunk: nn.Module, side: int, spec: Any, cfg: Any) -> SimCLR | BYOL | MAE:
    """One of simclr, byol, mae: of this trunk, or of an encoder's ``spec`` where it must be a transformer."""
    if name == "mae":
        return MAE(side, spec, cfg)
    return SimCLR(trunk, spec.width, cfg) if name == "simclr" else BYOL(trunk, spec.width, cfg)
