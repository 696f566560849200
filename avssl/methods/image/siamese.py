"""Bring two views of one picture together and push two pictures apart, until they are a margin away from each other.

Raia Hadsell, Sumit Chopra, Yann LeCun: Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006,
doi:10.1109/CVPR.2006.100.

Each item gives one pair of each kind: its two views, and its first view with another item's second one. Two forms of
the loss are in use, ``distance`` (the paper's, whose margin is for the distance, and which has a factor of one half)
and ``squared`` (whose margin is for the squared distance); and two conventions of the label Y, 1 for pairs that are
apart (the paper's) or 1 for pairs that belong together.

Deviations: vectors have length 1, so that distances are between 0 and 2; the other item is drawn from the batch, on all
ranks; other items of the same recording are never pushed apart.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from avssl import views
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, detached
from avssl.methods.pictures import OfViews, ViewsConfig
from avssl.nn.gather import gather

Form = Literal["distance", "squared"]
One = Literal["apart", "together"]
LEAST = 1e-12
"""squared distance below which the plain one has no slope"""


class Config(ViewsConfig):
    """Siamese networks with the contrastive loss."""

    margin: float = Field(1.0, gt=0, le=4)
    """beyond which pairs are left alone, in distance or, for that form, in squared distance"""
    form: Form = "distance"
    """what the margin is for"""
    one: One = "apart"
    """which pairs have the label 1; the loss is the same"""
    width: int = Field(128, ge=2)
    """of the space"""


class Siamese(OfViews[Config]):
    """One encoder for both sides of a pair."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length, cfg.width)
        self.head = nn.Linear(self.width, cfg.width)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> views.Views:
        """Two views, and a number ``draw`` that chooses the other item."""
        return views.TwoViews(cfg.area, cfg.strength, draws=1)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """The mean over all pairs; items that have no other one give but one pair."""
        both = self.embed("image", self.views.made(batch)).chunk(2)
        first, second, recording = gather(both[0]), gather(both[1]), gather(batch["recording"])
        other, some = another(recording, gather(batch["draw"])[:, 0])
        squares = (torch.cat([first, first]) - torch.cat([second, second[other]])).square().sum(1)  # [2B]
        apart = torch.arange(len(squares), device=squares.device) >= len(first)
        label = apart if self.cfg.one == "apart" else ~apart
        losses = contrastive(squares, label.float(), self.cfg.margin, self.cfg.form, self.cfg.one)
        valid = torch.cat([torch.ones_like(some), some])
        near, far = squares.sqrt().chunk(2)
        metrics = {"together": near.mean(), "apart": (far * some).sum() / some.sum().clamp_min(1)}
        return Step((losses * valid).sum() / valid.sum(), detached(metrics))

    def vector(self, x: Tensor) -> Tensor:
        """In the space of the distances, [B, D]."""
        found: Tensor = self.head(super().vector(x))
        return found

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """Who is ``apart`` from each first view, 0..1 [B, 3, H, W]; gray where there is nobody else."""
        other, some = another(batch["recording"], batch["draw"][:, 0])
        second = self.views.made(batch).chunk(2)[1][other].float() / 255
        return {"apart": torch.where(some[:, None, None, None], second, 0.5)}


def another(recording: Tensor, draw: Tensor) -> tuple[Tensor, Tensor]:
    """For each item one of another recording, int64 [B], chosen by the large random numbers ``draw`` [B]; and whether
    there is one, bool [B]."""
    valid = recording[:, None] != recording
    count = valid.sum(1)
    place = draw % count.clamp_min(1)
    return ((valid.cumsum(1) - 1 == place[:, None]) & valid).int().argmax(1), count > 0


def contrastive(squares: Tensor, label: Tensor, margin: float, form: Form, one: One) -> Tensor:
    """The loss of each pair, [P].

    Args:
        squares: [P] squared distances.
        label: [P], Y, 0 or 1.
        margin: m.
        form: distance, 1/2 d^2 and 1/2 max(0, m - d)^2; squared, d^2 and max(0, m - d^2).
        one: which pairs have Y = 1.
    """
    apart = label if one == "apart" else 1 - label
    if form == "squared":
        return (1 - apart) * squares + apart * (margin - squares).clamp_min(0)
    lacking = (margin - squares.clamp_min(LEAST).sqrt()).clamp_min(0)
    return 0.5 * ((1 - apart) * squares + apart * lacking.square())
