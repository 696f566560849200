"""Tell the region of a picture that makes its sound from that picture's background and from other sounds.

Honglie Chen, Weidi Xie, Triantafyllos Afouras, Arsha Nagrani, Andrea Vedaldi, Andrew Zisserman: Localizing Visual
Sounds the Hard Way, CVPR 2021, arXiv:2104.02691.

Deviations: as in the released code, each negative is a candidate of its own, at a temperature, and other sounds count
where they would sound; other items of one recording are no negatives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field

from avssl.methods.base import Batch, Step, detached
from avssl.methods.sounding import SoundingConfig, SoundingPlaces
from avssl.nn.sounding import place_scores, tri_map


class Config(SoundingConfig):
    """LVS; defaults are the paper's."""

    sounding: float = Field(0.65, ge=-1, le=1)
    """cosine above which a place sounds"""
    background: float = Field(0.4, ge=-1, le=1)
    """cosine below which a place is background; between the two nothing is said"""
    softness: float = Field(0.03, gt=0)
    """of both bounds"""
    temperature: float = Field(0.07, gt=0)
    """divides the regions' mean cosines"""


class LVS(SoundingPlaces[Config]):
    """A map in three parts: sounding, background, undecided."""

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Cross-entropy of the own region among other sounds' regions and the own background."""
        cfg = self.cfg
        places, sounds, recording = self.joint(batch)
        scores = place_scores(places, sounds)  # [B, B + X, P]
        same = recording[:, None] == recording
        logits = tri_map(scores, same, (cfg.sounding, cfg.background), cfg.softness, cfg.temperature)
        loss = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))
        loss = loss + self.dark(places, sounds, recording)
        region, background = logits[:, 0].mean() * cfg.temperature, logits[:, -1].mean() * cfg.temperature
        hit = (logits.argmax(1) == 0).float().mean()
        return Step(loss, detached({"accuracy": hit, "region": region, "background": background}))
