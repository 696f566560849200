"""Say whether a sentence goes with a clip: yes for the one said around it, no for one said in another recording.

The question of Relja Arandjelović, Andrew Zisserman: Look, Listen and Learn, ICCV 2017, arXiv:1705.08168, asked about
narration in place of sound. ``joined`` answers as that paper does, from both vectors side by side; ``distance`` as
their Objects that Sound, ECCV 2018, arXiv:1712.06651, from the distance of unit vectors, which a search can use.

Deviations: clips and sentences in place of pictures and sounds; half of the pairs are false, each clip's with the first
sentence after its own in the batch that another recording says in other words.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.gather import gather
from avssl.nn.heads import mlp
from avssl.nn.narration import equal_texts
from avssl.sample import Needs


class Config(MethodConfig):
    """Narration correspondence; widths as in L3-Net and AVE-Net."""

    fusion: Literal["distance", "joined"] = "distance"
    """distance: a logistic of how far apart the vectors are; joined: a network sees both, and there is no space"""
    hidden: int = Field(128, ge=1)
    """width of hidden layers"""
    width: int = Field(128, ge=1)
    """D, the width of each projected vector"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of the picture that a view shows"""


class NarrationCorrespondence(Method[Config]):
    """Two towers and one answer."""

    modalities = ("video", "text")

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.heads = nn.ModuleDict(
            {kind: mlp(towers.width(encoders[kind]), cfg.hidden, cfg.width) for kind in self.modalities}
        )
        if cfg.fusion == "joined":
            self.answer = mlp(2 * cfg.width, cfg.hidden, 1)
        else:
            self.weight = nn.Parameter(torch.tensor([-4.0]))
            self.bias = nn.Parameter(torch.tensor([4.0]))
            self.spaces = {"main": Space(self.modalities, cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """A clip around a sentence, and that sentence."""
        return inputs.needs(narrations=1, window="narration")

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video`` and ``tokens``."""
        return views.Narrated(inputs, cfg.area)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Binary cross-entropy of true and of false pairs, half each; clips without a sentence do not count."""
        video = gather(self.projected("video", batch["video"]))  # [B, D]
        text = gather(self.projected("text", batch["tokens"].flatten(0, 1)))
        tokens, recording = gather(batch["tokens"]), gather(batch["recording"])
        said = (tokens >= 0).any(2)[:, 0].float()  # [B]
        other, found = self.mismatched(tokens, recording)
        true, false = self.logit(video, text), self.logit(video, text[other])
        right = (F.softplus(-true) * said).sum() / said.sum().clamp_min(1)
        wrong = (F.softplus(false) * found).sum() / found.sum().clamp_min(1)
        told = ((true > 0) * said).sum() + ((false < 0) * found).sum()
        accuracy = told / (said.sum() + found.sum()).clamp_min(1)
        return Step(0.5 * (right + wrong), detached({"accuracy": accuracy, "true": right, "false": wrong}))

    def mismatched(self, tokens: Tensor, recording: Tensor) -> tuple[Tensor, Tensor]:
        """tokens [B, 1, L], recording [B] -> row of a false sentence for each clip int64 [B], and whether there is one.

        False is what another recording says in other words; the first such row after the clip's own is taken.
        """
        said = (tokens >= 0).any(2)[:, 0]
        fits = (recording[:, None] != recording) & ~equal_texts(tokens)[..., 0] & said  # [B, B]
        rows = torch.arange(len(tokens), device=tokens.device)
        after = (rows - rows[:, None]) % len(tokens)  # [B, B]
        return after.masked_fill(~fits, len(tokens)).argmin(1), fits.any(1).float()

    def logit(self, video: Tensor, text: Tensor) -> Tensor:
        """Projected vectors [B, D] each -> log-odds [B] that they belong together."""
        if self.cfg.fusion == "joined":
            answer: Tensor = self.answer(torch.cat([video, text], 1)).squeeze(1)
            return answer
        distance = (ops.unit(video) - ops.unit(text)).square().sum(1).clamp_min(1e-12).sqrt()  # no slope at 0
        return self.weight * distance + self.bias

    def projected(self, modality: str, x: Tensor) -> Tensor:
        """A batch of one modality -> [B, D]."""
        found: Tensor = self.heads[modality](self.encoders[modality](x).vector)
        return found

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D], where the answer is a distance."""
        if not self.spaces:
            return super().embed(modality, x, space)
        if modality not in self.modalities or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.projected(modality, x))
