"""Say whether a picture and a sound belong together, by the one place of the picture that fits the sound best.

Relja Arandjelović, Andrew Zisserman: Objects that Sound, ECCV 2018, arXiv:1712.06651 (AVOL-Net).

Deviations: places and sounds are compared by cosines; both classes weigh the same; negatives are the batch's sounds
moved on by one picture, and a pair from one recording does not count.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, detached
from avssl.methods.sounding import SoundingConfig, SoundingPlaces
from avssl.nn.sounding import place_scores


class Config(SoundingConfig):
    """AVOL-Net; defaults are the paper's."""

    width: int = Field(128, ge=1)
    """D, the width in which sound and places are compared"""


class AVOLNet(SoundingPlaces[Config]):
    """Two towers, one logistic per place, the greatest of them answers: a bag of places (multiple instances)."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.weight = nn.Parameter(torch.tensor([10.0]))
        self.bias = nn.Parameter(torch.tensor([-5.0]))

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Binary cross-entropy of the best place, of true pairs and of false ones, half each."""
        places, sounds, recording = self.joint(batch)
        count = len(places)
        best = self.weight * place_scores(places, sounds).amax(2) + self.bias  # [B, B + X]
        true = best[:, :count].diagonal()
        after = (torch.arange(count, device=best.device) + 1) % count
        false = torch.cat([best[:, :count].gather(1, after[:, None]), best[:, count:]], 1)  # [B, 1 + X]
        counts = torch.ones_like(false)
        counts[:, 0] = (recording != recording[after]).float()
        share = counts / counts.sum().clamp_min(1)
        right, wrong = F.softplus(-true).mean(), (F.softplus(false) * share).sum()
        told = 0.5 * (true > 0).float().mean() + 0.5 * ((false < 0) * share).sum()
        loss = 0.5 * (right + wrong) + self.dark(places, sounds, recording)
        return Step(loss, detached({"accuracy": told, "weight": self.weight[0]}))
