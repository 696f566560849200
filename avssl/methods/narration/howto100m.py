"""Tell a clip's own sentence from other sentences by a margin, also from one said elsewhere in the same recording.

Antoine Miech, Dimitri Zhukov, Jean-Baptiste Alayrac, Makarand Tapaswi, Ivan Laptev, Josef Sivic: HowTo100M: Learning a
Text-Video Embedding by Watching Hundred Million Narrated Video Clips, ICCV 2019, arXiv:1906.03327.

A pair's cosine must exceed, by the margin, that of its clip with any other sentence and of its sentence with any other
clip. Negatives from the same recording, which share its scene and speaker, have half of the weight: they cannot be told
by what a recording looks like as a whole.

Deviations: encoders learn from pixels and words in place of fixed features; equal texts and texts without a token are
no negatives.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.gather import gather
from avssl.nn.heads import Gated
from avssl.nn.narration import equal_texts
from avssl.sample import Needs


class Config(MethodConfig):
    """HowTo100M's joint embedding."""

    margin: float = Field(0.1, gt=0)
    """by which the cosine of a pair must exceed that of others"""
    within: float = Field(0.5, ge=0, le=1)
    """weight of negatives from the same recording; other recordings have the rest"""
    windows: int = Field(2, ge=2)
    """N, clips of one item, each with its own sentence"""
    gap_seconds: float = Field(1.0, ge=0)
    """least distance between them"""
    width: int = Field(512, ge=1)
    """D, the width of the space"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of the picture that a view shows"""


class HowTo100M(Method[Config]):
    """Two gated projections into one space."""

    modalities = ("video", "text")

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.heads = nn.ModuleDict({kind: Gated(towers.width(encoders[kind]), cfg.width) for kind in self.modalities})
        self.spaces = {"main": Space(self.modalities, cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """Clips around sentences of one item, and those sentences."""
        needs = inputs.needs(
            narrations=1, window="narration", clips=cfg.windows, clip_gap_seconds=cfg.gap_seconds
        )  # fmt: skip
        return replace(needs, narrations_each=True)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video`` [N, T, 3, H, W] and ``tokens`` [N, 1, L]."""
        return views.Narrated(inputs, cfg.area)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Max-margin ranking over all pairs of the batch."""
        video = gather(self.embed("video", batch["video"].flatten(0, 1)))  # [B*N, D]
        text = gather(self.embed("text", batch["tokens"].flatten(0, 2)))
        tokens = gather(batch["tokens"]).flatten(0, 1)  # [B*N, 1, L]
        recording = gather(batch["recording"]).repeat_interleave(self.cfg.windows)
        scores = video @ text.T
        other, same = self.margins(scores, tokens, recording)
        said = (tokens >= 0).any(2)[:, 0]
        best = scores.masked_fill(~said, -2).argmax(1) == torch.arange(len(scores), device=scores.device)
        accuracy = (best & said).float().sum() / said.sum().clamp_min(1)
        loss = (1 - self.cfg.within) * other + self.cfg.within * same
        return Step(loss, detached({"other": other, "same": same, "accuracy": accuracy}))

    def margins(self, scores: Tensor, tokens: Tensor, recording: Tensor) -> tuple[Tensor, Tensor]:
        """Mean hinge over negatives from other recordings, and from the same; 0 where there are none.

        Args:
            scores: [P, P] cosine of clip i and sentence j; the diagonal are the pairs.
            tokens: int64 [P, 1, L], padded with -1.
            recording: int64 [P].
        """
        said = (tokens >= 0).any(2)[:, 0]
        pair = scores.diagonal()
        differ = ~equal_texts(tokens)[..., 0] & said & said[:, None]  # [P, P] no pair of a sentence with itself
        hinge = (self.cfg.margin + scores - pair[:, None]).relu() + (self.cfg.margin + scores - pair).relu()
        alike = recording[:, None] == recording
        kinds = (differ & ~alike).float(), (differ & alike).float()
        other, same = ((hinge * kind).sum() / kind.sum().clamp_min(1) for kind in kinds)
        return other, same

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]."""
        if modality not in self.modalities or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.heads[modality](self.encoders[modality](x).vector))
