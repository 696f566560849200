"""Say, from the distance of two vectors alone, whether a picture and a sound come from the same moment of one video.

Relja Arandjelović, Andrew Zisserman: Objects that Sound, ECCV 2018, arXiv:1712.06651 (AVE-Net); the task is that of
Look, Listen and Learn, ICCV 2017, arXiv:1705.08168.

Two logits whose difference is an affine function of the distance are one logistic of that function; its weight begins
negative, since otherwise the network can begin (and stay) the wrong way round.

Deviations: negatives are the batch's sounds moved on by one picture, and a pair from one recording does not count; a
place is scored by the projection of its own features, which is what the paper's AVOL-Net is trained for.
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
from avssl.sample import Needs


class Config(MethodConfig):
    """AVE-Net; defaults are the paper's."""

    hidden: int = Field(128, ge=1)
    """width of each projection's hidden layer"""
    width: int = Field(128, ge=1)
    """D, the width of the space in which picture and sound are compared"""
    pooling: Literal["max", "mean"] = "max"
    """over places and moments: each feature where it is strongest, then the projection; or the mean of projections"""
    area: float = Field(0.76, gt=0, le=1)
    """least share of the picture that a view shows"""
    strength: float = Field(0.25, ge=0)
    """of the colour changes"""
    decibels: float = Field(1.0, ge=0)
    """most by which the sound is made louder or softer"""


class AVENet(Method[Config]):
    """Two towers, one distance, one logistic."""

    modalities = ("image", "audio")
    localizes = ("audio",)

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.heads = nn.ModuleDict(
            {kind: mlp(towers.width(encoders[kind]), cfg.hidden, cfg.width) for kind in self.modalities}
        )
        self.weight = nn.Parameter(torch.tensor([-4.0]))
        self.bias = nn.Parameter(torch.tensor([4.0]))
        self.spaces = {"main": Space(self.modalities, cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """One picture and the sound around it."""
        return inputs.needs(frames=1, audio_seconds=inputs.cfg.audio_seconds)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``picture`` and ``sound``."""
        return views.PictureAndSound(inputs, cfg.area, cfg.strength, cfg.decibels)

    def pooled(self, modality: str, x: Tensor) -> Tensor:
        """A batch of one modality -> projected vectors [B, D]."""
        maps = self.encoders[modality](x).maps[-1].flatten(2)  # [B, C, places or moments]
        head = self.heads[modality]
        found: Tensor = head(maps.amax(2)) if self.cfg.pooling == "max" else head(maps.transpose(1, 2)).mean(1)
        return found

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Binary cross-entropy of true pairs and of pairs with the next item's sound, half each."""
        picture = gather(self.embed("image", batch["picture"]))  # [B, D]
        sound = gather(self.embed("audio", batch["sound"]))
        recording = gather(batch["recording"])
        counts = (recording != recording.roll(-1)).float()
        true = self.logit(picture, sound)
        false = self.logit(picture, sound.roll(-1, 0))
        wrong = (F.softplus(false) * counts).sum() / counts.sum().clamp_min(1)
        right = F.softplus(-true).mean()
        told = 0.5 * (true > 0).float().mean() + 0.5 * ((false < 0) * counts).sum() / counts.sum().clamp_min(1)
        return Step(0.5 * (right + wrong), detached({"accuracy": told, "weight": self.weight[0]}))

    def logit(self, picture: Tensor, sound: Tensor) -> Tensor:
        """Unit vectors [B, D] each -> log-odds [B] that they belong together."""
        distance = (picture - sound).square().sum(1).clamp_min(1e-12).sqrt()  # the root has no slope at 0
        return self.weight * distance + self.bias

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]."""
        if modality not in self.modalities or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.pooled(modality, x))

    def localize(self, video: Tensor, query: Tensor, modality: str) -> Tensor:
        """Cosine of the sound with every place of every picture, [B, T, h, w]."""
        if modality not in self.localizes:
            raise ValueError(f"{self.cfg.name} localizes audio, not {modality}")
        return torch.einsum("bthwd,bd->bthw", self.each_place(video), self.embed("audio", query))

    def each_place(self, video: Tensor) -> Tensor:
        """video uint8 [B, T, 3, H, W] -> unit vectors [B, T, h, w, D]."""
        maps = self.encoders["image"](video.flatten(0, 1)).maps[-1]  # [B*T, C, h, w]
        places = ops.unit(self.heads["image"](maps.permute(0, 2, 3, 1)))  # [B*T, h, w, D]
        found: Tensor = places.unflatten(0, video.shape[:2])
        return found

    def places(self, video: Tensor) -> Tensor:
        """Each place's mean over the pictures, [B, h, w, D]."""
        return self.each_place(video).mean(1)

    def sought(self, query: Tensor, modality: str) -> Tensor:
        """A sound's vector, [B, D]."""
        return self.embed(modality, query)
