"""Look where a sound says, and tell from what is there which of two sounds it was.

Arda Senocak, Tae-Hyun Oh, Junsik Kim, Ming-Hsuan Yang, In So Kweon: Learning to Localize Sound Source in Visual
Scenes, CVPR 2018, arXiv:1803.03849 (the unsupervised form).

Deviations: attention is a softmax of cosines times a sharpness, since bare cosines attend nowhere; distances are of
unit vectors; negatives are the batch's sounds moved on by one picture, and a pair from one recording does not count;
towers begin untrained. A picture on its own is seen with even attention.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from avssl import ops
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, detached
from avssl.methods.sounding import SoundingConfig, SoundingPlaces
from avssl.nn.gather import gather
from avssl.nn.heads import mlp


class Config(SoundingConfig):
    """Options of the attention; defaults are the paper's where it has them."""

    hidden: int = Field(512, ge=1)
    """width of the hidden layers"""
    sharpness: float = Field(10.0, gt=0)
    """of the attention, on cosines"""


class AttentionLocalizer(SoundingPlaces[Config]):
    """A sound attends to places; what it finds must be nearer to it than to another sound."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.ask = mlp(cfg.width, cfg.hidden, cfg.width)
        self.tell = mlp(cfg.width, cfg.hidden, cfg.width)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Squared error of the softmax of both distances, which must be 0 for the own sound and 1 for the other."""
        sounds, recording = self.sounds(batch), gather(batch["recording"])  # [B + X, D]
        places = gather(self.seen(batch["picture"], batch.get("seed")))
        count = len(places)
        found = self.found(places, sounds[:count])
        distance = (found[:, None] - sounds).square().sum(2).clamp_min(1e-12).sqrt()  # [B, B + X]
        index = torch.arange(count, device=places.device)
        after = (index + 1) % count
        others = torch.cat([distance[index, after][:, None], distance[:, count:]], 1)  # [B, 1 + X]
        counts = torch.ones_like(others)
        counts[:, 0] = (recording != recording[after]).float()
        near = torch.sigmoid(
            distance[index, index][:, None] - others
        )  # the softmax's first part; one minus it the second
        share = counts / counts.sum().clamp_min(1)
        hit = ((near < 0.5) * share).sum()
        loss = (2 * near.square() * share).sum() + self.dark(places, sounds, recording)
        return Step(loss, detached({"accuracy": hit}))

    def found(self, places: Tensor, sounds: Tensor) -> Tensor:
        """places [B, D, h, w], sounds [B, D] -> what each sound finds in its picture, unit vectors [B, D]."""
        places = places.flatten(2)
        attention = (torch.einsum("bdp,bd->bp", places, self.asked(sounds)) * self.cfg.sharpness).softmax(1)
        return ops.unit(self.tell(torch.einsum("bdp,bp->bd", places, attention)))

    def asked(self, sounds: Tensor) -> Tensor:
        """A sound's vectors [B, D] -> what it looks for, unit vectors [B, D]."""
        return ops.unit(self.ask(sounds))

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D], of sounds and of pictures seen with even attention."""
        if modality == "image" and space == "main":
            return ops.unit(self.tell(self.seen(x).mean((2, 3))))
        return super().embed(modality, x, space)

    def sought(self, query: Tensor, modality: str) -> Tensor:
        """What a sound looks for, [B, D]."""
        return self.asked(super().sought(query, modality))
