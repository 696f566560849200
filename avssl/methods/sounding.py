"""What localizers of one picture and one sound share: two projections, one cosine per place, options, negatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Transform
from avssl.nn.dense import unheard
from avssl.nn.gather import gather
from avssl.nn.sounding import dropped
from avssl.sample import Needs


class SoundingConfig(MethodConfig):
    """Options that all of them have."""

    width: int = Field(512, ge=1)
    """D, the width in which sound and places are compared"""
    negatives: bool = False
    """silence and noise are negatives of every picture (as in SSL-SaN); sounds off screen are the batch's others"""
    dropout: float = Field(0.0, ge=0, lt=1)
    """share of a picture's features that is hidden in training"""
    area: float = Field(0.83, gt=0, le=1)
    """least share of the picture that a view shows"""
    strength: float = Field(0.0, ge=0)
    """of the colour changes"""
    decibels: float = Field(0.0, ge=0)
    """most by which the sound is made louder or softer"""


S = TypeVar("S", bound=SoundingConfig)


class SoundingPlaces(Method[S]):
    """A picture's places and a sound in one space; subclasses say what is minimised."""

    modalities = ("image", "audio")
    localizes = ("audio",)

    def __init__(self, cfg: S, inputs: Inputs, encoders: nn.ModuleDict, length: int, projections: int = 1):
        super().__init__(cfg, inputs, encoders, length)
        self.look = nn.Conv2d(towers.width(encoders["image"]), projections * cfg.width, 1)
        self.listen = nn.Linear(towers.width(encoders["audio"]), projections * cfg.width)
        self.spaces = {"main": Space(self.modalities, projections * cfg.width)}

    @classmethod
    def needs(cls, cfg: S, inputs: Inputs) -> Needs:
        """One picture and the sound around it."""
        return inputs.needs(frames=1, audio_seconds=inputs.cfg.audio_seconds)

    @classmethod
    def transform(cls, cfg: S, inputs: Inputs) -> Transform:
        """Gives ``picture`` and ``sound``; ``noise`` and ``seed`` where the options ask for them."""
        return views.PictureAndSound(
            inputs, cfg.area, cfg.strength, cfg.decibels, noise=cfg.negatives, seed=cfg.dropout > 0
        )

    def features(self, picture: Tensor, seeds: Tensor | None = None) -> Tensor:
        """picture [B, 3, H, W] -> the encoder's map [B, C, h, w]; parts of it hidden where there are ``seeds`` [B]."""
        maps: Tensor = self.encoders["image"](picture).maps[-1]
        return maps if seeds is None else dropped(maps, seeds, self.cfg.dropout)

    def seen(self, picture: Tensor, seeds: Tensor | None = None) -> Tensor:
        """picture [B, 3, H, W] -> a unit vector for each place, [B, D, h, w]."""
        return ops.unit(self.look(self.features(picture, seeds)), 1)

    def heard(self, sound: Tensor) -> Tensor:
        """sound [B, M, F] -> unit vectors [B, D] of what is greatest over time."""
        return ops.unit(self.listen(self.encoders["audio"](sound).maps[-1].amax(2)))

    def joint(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """All ranks' places [B, D, h, w], sounds [B + X, D] of which the last X are no picture's, recording [B]."""
        places = gather(self.seen(batch["picture"], batch.get("seed")))
        return places, self.sounds(batch), gather(batch["recording"])

    def sounds(self, batch: Batch, heard: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """All ranks' sounds, then those that no picture makes where the options ask for them, [B + X, D]."""
        sound = batch["sound"]
        extra = unheard(batch["noise"], self.inputs.silence) if self.cfg.negatives else sound[:0]
        own, none = (heard or self.heard)(torch.cat([sound, extra])).tensor_split([len(sound)])
        return torch.cat([gather(own), none])

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]; a picture's is the mean over its places."""
        if space == "main" and modality == "image":
            return ops.unit(self.seen(x).mean((2, 3)))
        if space == "main" and modality == "audio":
            return ops.unit(self.heard(x))
        raise self.no_space(modality, space)

    def each_place(self, video: Tensor) -> Tensor:
        """video uint8 [B, T, 3, H, W] -> unit vectors [B, T, h, w, D]."""
        found: Tensor = self.seen(video.flatten(0, 1)).permute(0, 2, 3, 1).unflatten(0, video.shape[:2])
        return found

    def localize(self, video: Tensor, query: Tensor, modality: str) -> Tensor:
        """Cosine of the sound with every place of every picture, [B, T, h, w]."""
        return torch.einsum("bthwd,bd->bthw", self.each_place(video), self.sought(query, modality))

    def places(self, video: Tensor) -> Tensor:
        """Each place's mean over the pictures, [B, h, w, D]."""
        return self.each_place(video).mean(1)

    def sought(self, query: Tensor, modality: str) -> Tensor:
        """A sound's vector, [B, D]."""
        if modality not in self.localizes:
            raise ValueError(f"{self.cfg.name} localizes audio, not {modality}")
        return self.heard(query)
