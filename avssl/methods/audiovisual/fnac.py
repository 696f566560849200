"""Of all sounds in the batch, tell which one a picture makes, and let what sounds or looks alike be confused.

Weixuan Sun, Jiayi Zhang, Jianyuan Wang, Zheyuan Liu, Yiran Zhong, Tianpeng Feng, Yandong Guo, Yanhao Zhang, Nick
Barnes: Learning Audio-Visual Source Localization via False Negative Aware Contrastive Learning, CVPR 2023,
arXiv:2303.11302.

Deviations: the contrast is the mean of both directions where the released code has their sum, so weights are half of
its 100; other items of one recording are no negatives.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Generator, Tensor

from avssl import views
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.sounding import SoundingConfig, SoundingPlaces
from avssl.nn.contrast import info_nce, retrieval_accuracy
from avssl.nn.gather import gather
from avssl.nn.sounding import adjacency_gap, foreground, place_scores
from avssl.sample import Sample


class Config(SoundingConfig):
    """FNAC; defaults are the paper's."""

    temperature: float = Field(0.03, gt=0)
    """divides the cosines"""
    dropout: float = Field(0.9, ge=0, lt=1)
    """share of a picture's features that is hidden in training"""
    alike_sounds: float = Field(50.0, ge=0)
    """weight: sounds that are alike may fit each other's pictures"""
    alike_pictures: float = Field(50.0, ge=0)
    """weight: pictures that are alike may fit each other's sounds"""
    alike_regions: float = Field(50.0, ge=0)
    """weight: sounding regions are as alike as their sounds"""
    foreground: float = Field(0.6, ge=0, le=1)
    """how far up its own map's range a place must be to belong to the sounding region"""
    warmup: float = Field(0.15, ge=0, le=1)
    """share of the steps with the contrast alone"""


class WithProgress(views.PictureAndSound):
    """Says how far the run is, beside the picture and the sound."""

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Adds ``progress`` 0..1."""
        return {**super().__call__(sample, generator, progress), "progress": torch.tensor(progress)}


class FNAC(SoundingPlaces[Config]):
    """Greatest cosine over places, InfoNCE both ways, three tables of likeness drawn towards each other."""

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``picture``, ``sound``, ``seed``, ``progress``, and ``noise`` where the options ask for it."""
        return WithProgress(inputs, cfg.area, cfg.strength, cfg.decibels, noise=cfg.negatives, seed=cfg.dropout > 0)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """InfoNCE; after the warm-up also the gaps between tables of likeness."""
        cfg = self.cfg
        places, sounds, recording = self.joint(batch)
        count = len(places)
        scores = place_scores(places, sounds)  # [B, B + X, P]
        logits = scores.amax(2) / cfg.temperature
        own = logits[:, :count]
        contrast = info_nce(own, recording[:, None] == recording, logits[:, count:])
        shown = places.flatten(2).float()  # [B, D, P]
        index = torch.arange(count, device=places.device)
        region = foreground(shown, scores[index, index].detach(), cfg.foreground)
        heard, looks, regions = (x @ x.T / cfg.temperature for x in (sounds[:count], shown.mean(2), region))
        gaps = {
            "alike_sounds": adjacency_gap(heard, own),
            "alike_pictures": adjacency_gap(looks, own),
            "alike_regions": adjacency_gap(heard, regions),
        }
        begun = (gather(batch["progress"]) >= cfg.warmup).float().mean()
        loss = contrast + begun * sum(getattr(cfg, name) * gap for name, gap in gaps.items())
        loss = loss + self.dark(places, sounds, recording)
        return Step(loss, detached({"contrast": contrast, "accuracy": retrieval_accuracy(own), **gaps}))
