"""Of all phrases said in the batch, tell which few were said around this clip, though none of them need be about it.

Antoine Miech, Jean-Baptiste Alayrac, Lucas Smaira, Ivan Laptev, Josef Sivic, Andrew Zisserman: End-to-End Learning of
Visual Representations from Uncurated Instructional Videos, CVPR 2020, arXiv:1912.06430.

The K phrases nearest in time are one bag. The denominator has the bag once, the clip with all other phrases, and the
bag's phrases with all other clips; its floor is 0. The released code counts the bag twice (``released``), floor log 2.

Deviations: unit vectors and a learned temperature in place of raw dot products; equal texts, texts without a token and
other items of the same recording are no negatives; the run's own vocabulary in place of word2vec.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.contrast import Temperature, mil_nce
from avssl.nn.gather import gather
from avssl.nn.heads import mlp
from avssl.sample import Needs, Sample


class Config(MethodConfig):
    """MIL-NCE; defaults are the paper's where it has them."""

    phrases: int = Field(4, ge=1)
    """K, phrases nearest in time that make one bag"""
    width: int = Field(512, ge=1)
    """D, the width of the space"""
    temperature: float = Field(0.07, gt=0)
    """where the learned temperature starts"""
    released: bool = False
    """count positives twice in the denominator, as the released code does"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of the picture that a view shows"""


class ClipAndPhrases:
    """A clip and the phrases around it: video uint8 [T, 3, H, W], tokens int64 [K, L]."""

    def __init__(self, cfg: Config, inputs: Inputs):
        self.cfg = cfg
        self.inputs = inputs

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Crops and mirrors the clip."""
        video = views.flip(views.crop(sample.video[0], generator, (self.cfg.area, 1.0)), generator)
        return {"video": video, "tokens": self.inputs.tokens(sample.text)}


class MILNCE(Method[Config]):
    """Clips and phrases in one space, with bags of positives."""

    modalities = ("video", "text")

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.heads = nn.ModuleDict(
            {kind: mlp(towers.width(encoders[kind]), cfg.width, cfg.width, 1) for kind in self.modalities}
        )
        self.temperature = Temperature(cfg.temperature)
        self.spaces = {"main": Space(self.modalities, cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """A clip around a phrase, and the phrases nearest to its middle."""
        return inputs.needs(narrations=cfg.phrases, window="narration")

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video`` and ``tokens``."""
        return ClipAndPhrases(cfg, inputs)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """MIL-NCE over the whole batch."""
        video = gather(self.embed("video", batch["video"]))  # [B, D]
        text = gather(self.embed("text", batch["tokens"].flatten(0, 1)))  # [B*K, D]
        tokens, recording = gather(batch["tokens"]), gather(batch["recording"])
        scores = (video @ text.T * self.temperature()).unflatten(1, tokens.shape[:2])  # [B, B, K] clip, item, phrase
        loss = self.bag_loss(scores, tokens, recording)
        best = scores.masked_fill((tokens < 0).all(2), float("-inf")).amax(2)
        told = (best.argmax(1) == torch.arange(len(best), device=best.device)).float().mean()
        return Step(loss, detached({"accuracy": told, "scale": self.temperature()[0]}))

    def bag_loss(self, scores: Tensor, tokens: Tensor, recording: Tensor) -> Tensor:
        """Scores [B, B, K] of clip i and phrase k of item j, tokens [B, K, L], recording [B] -> scalar."""
        own = torch.eye(len(tokens), dtype=torch.bool, device=scores.device)[..., None].expand_as(scores)  # [B, B, K]
        said = (tokens >= 0).any(2)  # [B, K]
        same = (tokens[:, :, None, None] == tokens).all(4)  # [B, K, B, K] equal texts
        equal = (same & said[:, :, None, None]).any(1)  # [B, B, K] phrase k of item j is also in the bag of i
        known = (recording[:, None] == recording)[..., None] & ~own
        texts = said & ~known & (~equal | own)  # other phrases for clip i
        held = equal.transpose(0, 1)  # [B, B, K] phrase k of item i is also in the bag of j
        clips = said[:, None] & ~known & (~held | own)  # other clips for phrase k of item i
        logits = torch.cat([scores, scores.transpose(0, 1)], 1).flatten(1)  # [B, 2*B*K]
        positive = torch.cat([own, torch.zeros_like(own)], 1).flatten(1)
        valid = torch.cat([texts, clips if self.cfg.released else clips & ~own], 1).flatten(1)
        return mil_nce(logits, positive, valid)

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]."""
        if modality not in self.modalities or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.heads[modality](self.encoders[modality](x).vector))
