"""Put two views of a picture nearer to each other than to a view of any other picture, by a margin.

Florian Schroff, Dmitry Kalenichenko, James Philbin: FaceNet: A Unified Embedding for Face Recognition and Clustering,
CVPR 2015, arXiv:1503.03832.

Each item gives an anchor and a positive; the negative is another item's second view. Which one is ``mining``: a random
one; ``semi_hard``, the nearest that is farther than the positive, or else the farthest; ``hard``, the nearest; or
``all``, the mean over all. Distances are squared, or plain as in many later works.

Deviations: the two views of one picture take the place of two pictures of one face; negatives come from the batch, on
all ranks; other items of the same recording are no negatives.
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

Mining = Literal["random", "semi_hard", "hard", "all"]
LEAST = 1e-12
"""squared distance below which the plain one has no slope"""


class Config(ViewsConfig):
    """Triplets; margin, width and mining are the paper's."""

    margin: float = Field(0.2, gt=0)
    """by which a negative must be farther away than the positive, in squared or plain distance"""
    squared: bool = True
    """square the distances"""
    mining: Mining = "semi_hard"
    """which negative is taken"""
    width: int = Field(128, ge=2)
    """of the space"""


class Triplet(OfViews[Config]):
    """Two views and a negative out of the batch."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length, cfg.width)
        self.head = nn.Linear(self.width, cfg.width)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> views.Views:
        """Two views, and a number ``draw`` that chooses a random negative."""
        return views.TwoViews(cfg.area, cfg.strength, draws=1)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """The mean of what each anchor's margin lacks; anchors without a negative do not count."""
        both = self.embed("image", self.views.made(batch)).chunk(2)
        anchor, other, recording = gather(both[0]), gather(both[1]), gather(batch["recording"])
        far = self.distances(anchor, other)
        valid = recording[:, None] != recording
        weights = mined(far.detach(), valid, self.cfg.mining, gather(batch["draw"])[:, 0])
        near = far.diagonal()[:, None]
        lacking = (near - far + self.cfg.margin).clamp_min(0)
        loss = (lacking * weights).sum() / weights.sum().clamp_min(1)
        active = ((lacking > 0) * weights).sum() / weights.sum().clamp_min(1)
        hit = (near < far.masked_fill(~valid, float("inf")).amin(1, keepdim=True)).float().mean()
        return Step(loss, detached({"active": active, "accuracy": hit}))

    def distances(self, anchor: Tensor, other: Tensor) -> Tensor:
        """Of each of [B, D] from each of [C, D], squared or not: [B, C]."""
        far = (anchor[:, None] - other).square().sum(2)
        return far if self.cfg.squared else far.clamp_min(LEAST).sqrt()

    def vector(self, x: Tensor) -> Tensor:
        """In the space of the distances, [B, D]."""
        found: Tensor = self.head(super().vector(x))
        return found

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """The ``negative`` of each first view, 0..1 [B, 3, H, W], of several their mean; gray where there is none."""
        both = self.views.made(batch)
        valid = batch["recording"][:, None] != batch["recording"]
        far = self.distances(*self.embed("image", both).chunk(2))
        weights = mined(far, valid, self.cfg.mining, batch["draw"][:, 0]).float()
        mean = torch.einsum("bc,cxhw->bxhw", weights, both.chunk(2)[1].float() / 255)
        return {"negative": torch.where(valid.any(1)[:, None, None, None], mean, 0.5)}


def mined(far: Tensor, valid: Tensor, mining: Mining, draw: Tensor) -> Tensor:
    """How much each negative counts, [B, B]: rows add up to 1, or to 0 where there is no negative.

    Args:
        far: [B, B] distances of anchors from others, the diagonal from their positives.
        valid: bool [B, B], which others are negatives.
        mining: how to choose.
        draw: int64 [B], large random numbers.
    """
    count = valid.sum(1)
    if mining == "all":
        return valid / count.clamp_min(1)[:, None]
    nearest = far.masked_fill(~valid, float("inf"))
    if mining == "random":
        wanted = draw % count.clamp_min(1)
        chosen = ((valid.cumsum(1) - 1 == wanted[:, None]) & valid).int().argmax(1)
    elif mining == "hard":
        chosen = nearest.argmin(1)
    else:
        beyond = nearest.masked_fill(far <= far.diagonal()[:, None], float("inf"))
        farthest = far.masked_fill(~valid, float("-inf")).argmax(1)
        chosen = torch.where(beyond.isfinite().any(1), beyond.argmin(1), farthest)
    return nn.functional.one_hot(chosen, len(far)) * valid
