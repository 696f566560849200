"""Of all sounds in the batch, tell which one this picture makes, by the one place that fits each sound best.

Shentong Mo, Pedro Morgado: Localizing Visual Sounds the Easy Way, ECCV 2022, arXiv:2203.09324.

Deviations: the mean of both directions where the released code has their sum; other items of one recording are no
negatives; towers begin untrained, so there is no map of objects from ImageNet to blend in.
"""

from __future__ import annotations

from pydantic import Field

from avssl.methods.base import Batch, Step, detached
from avssl.methods.sounding import SoundingConfig, SoundingPlaces
from avssl.nn.contrast import info_nce, retrieval_accuracy
from avssl.nn.sounding import place_scores


class Config(SoundingConfig):
    """EZ-VSL; defaults are the paper's."""

    temperature: float = Field(0.03, gt=0)
    """divides the cosines"""


class EZVSL(SoundingPlaces[Config]):
    """Greatest cosine over places, InfoNCE both ways."""

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """InfoNCE between pictures and sounds."""
        places, sounds, recording = self.joint(batch)
        count = len(places)
        logits = place_scores(places, sounds).amax(2) / self.cfg.temperature  # [B, B + X]
        own = logits[:, :count]
        loss = info_nce(own, recording[:, None] == recording, logits[:, count:])
        loss = loss + self.dark(places, sounds, recording)
        return Step(loss, detached({"accuracy": retrieval_accuracy(own)}))
