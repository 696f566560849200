"""Tell the region of a picture that makes its sound, in two views of it, and find it moved as the picture is moved.

Jinxiang Liu, Chen Ju, Weidi Xie, Ya Zhang: Exploiting Transformation Invariance and Equivariance for Self-supervised
Sound Localisation, ACM Multimedia 2022, arXiv:2206.12772 (SSL-TIE).

Deviations: angle and scale are drawn for each picture, not for the batch; what the moved picture does not show is left
out of the comparison, since black corners are not silent ones; other items of one recording are no negatives.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from avssl import views
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.sounding import SoundingConfig, SoundingPlaces
from avssl.nn.gather import gather
from avssl.nn.sounding import place_scores, tri_map, warped
from avssl.sample import Sample


class Config(SoundingConfig):
    """SSL-TIE; defaults are the paper's where it has them."""

    sounding: float = Field(0.65, ge=-1, le=1)
    """cosine above which a place sounds"""
    background: float = Field(0.4, ge=-1, le=1)
    """cosine below which a place is background; between the two nothing is said"""
    softness: float = Field(0.03, gt=0)
    """of both bounds"""
    temperature: float = Field(0.07, gt=0)
    """divides the regions' mean cosines"""
    equivariance: float = Field(1.0, ge=0)
    """weight of the squared difference between the moved map and the map of the moved picture"""
    degrees: float = Field(30.0, ge=0, le=180)
    """most by which a picture is turned"""
    smallest: float = Field(0.5, gt=0, le=1)
    """least size of the moved picture"""
    area: float = Field(0.2, gt=0, le=1)
    """least share of the picture that a view shows"""
    strength: float = Field(0.5, ge=0)
    """of the colour changes"""
    hidden: float = Field(0.2, ge=0, lt=1)
    """greatest share of time and of bands hidden from the sound"""


class WithMove:
    """A picture and its sound as all of them see it, parts of the sound hidden, and a move."""

    def __init__(self, cfg: Config, inputs: Inputs):
        self.cfg = cfg
        self.plain = views.PictureAndSound(
            inputs, cfg.area, cfg.strength, cfg.decibels, noise=cfg.negatives, seed=cfg.dropout > 0
        )
        self.shape = inputs.cfg.width / inputs.cfg.height

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Adds ``move`` [2, 3], for :func:`~avssl.nn.sounding.warped`."""
        cfg, result = self.cfg, self.plain(sample, generator, progress)
        result["sound"] = views.hide(result["sound"], generator, cfg.hidden, cfg.hidden)
        angle = math.radians(views.uniform(generator, -cfg.degrees, cfg.degrees))
        size = views.uniform(generator, cfg.smallest, 1.0)
        side = -1.0 if views.chance(generator, 0.5) else 1.0
        along, across = math.cos(angle) / size, math.sin(angle) / size
        turn = [[side * along, -side * across / self.shape, 0.0], [across * self.shape, along, 0.0]]
        return {**result, "move": torch.tensor(turn)}


class SSLTIE(SoundingPlaces[Config]):
    """LVS on a picture and on the picture moved; the map must move along."""

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``picture``, ``sound`` and ``move``; ``noise`` and ``seed`` where the options ask for them."""
        return WithMove(cfg, inputs)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Mean of both views' contrasts, and what the map of the moved picture differs by from the moved map."""
        cfg, picture, move = self.cfg, batch["picture"], batch["move"]
        places, sounds, recording = self.joint(batch)
        moved = gather(self.seen(warped(picture.float() / 255, move), batch.get("seed")))
        move, same = gather(move), recording[:, None] == recording
        contrasts, maps = [], []
        own = torch.arange(len(places), device=places.device)
        for side in (places, moved):
            scores = place_scores(side, sounds)  # [B, B + X, P]
            logits = tri_map(scores, same, (cfg.sounding, cfg.background), cfg.softness, cfg.temperature)
            contrasts.append(F.cross_entropy(logits, torch.zeros_like(own)))
            maps.append(scores[own, own].unflatten(1, side.shape[2:])[:, None])  # [B, 1, h, w]
        shown = (warped(torch.ones_like(maps[0]), move) > 0.999).float()
        apart = ((warped(maps[0], move) - maps[1]).square() * shown).sum() / shown.sum().clamp_min(1)
        contrast, hit = 0.5 * (contrasts[0] + contrasts[1]), (logits.argmax(1) == 0).float().mean()
        metrics = {"contrast": contrast, "equivariance": apart, "accuracy": hit}
        loss = contrast + cfg.equivariance * apart + self.dark(places, sounds, recording)
        return Step(loss, detached(metrics))
