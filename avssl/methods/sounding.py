"""What localizers share: options, negatives and regularizers; for one picture and one sound, projections and maps too.

Sounds from off screen are negatives in two ways: ``offscreen`` (dense_av and trimodal: ``calibration``) asks that
pictures stay dark under the sounds of other recordings, on one scale for all; ``splice`` puts such a sound in place of
a stretch of the own one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Transform
from avssl.nn import listening
from avssl.nn.dense import Calibration, unheard
from avssl.nn.gather import gather
from avssl.nn.sounding import best_place, dropped
from avssl.sample import Needs, Sample


class ListeningConfig(MethodConfig):
    """The regularizers of localizers that compare sound and picture moment by moment; off unless asked for."""

    nonnegative: float = Field(0.0, ge=0)
    """weight of the square of negative scores (0.01 in DenseAV, as the next three)"""
    silence: float = Field(0.0, ge=0)
    """weight of the size of silence's scores"""
    splice: float = Field(0.0, ge=0)
    """weight of the scores where another recording's sound, from off screen, replaces up to half of the own one"""
    smooth: float = Field(0.0, ge=0)
    """weight of the change of scores from moment to moment"""
    specialize: float = Field(0.0, ge=0)
    """weight of heads that light the same places (0.05 in DenseAV)"""
    steady: float = Field(0.0, ge=0)
    """weight that keeps the learned temperature from rising above where it started (0.1 in DenseAV)"""


class WithStretch(views.ClipAndSound):
    """Says which stretch of the sound may be replaced, beside the clip and the sound."""

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Adds ``stretch`` [2], beginning and length as shares of the sound."""
        length = views.uniform(generator, 0.1, 0.5)
        stretch = torch.tensor([views.uniform(generator, 0.0, 1 - length), length])
        return {**super().__call__(sample, generator, progress), "stretch": stretch}


def regularizers(
    cfg: ListeningConfig, volume: Tensor, paired: Tensor, foreign: Tensor | None, scale: Tensor
) -> dict[str, Tensor]:
    """The terms that are asked for, by name, not yet weighted.

    Args:
        cfg: their weights.
        volume: scores [B, B + X, K, T, h, w]; the last sound is silence where ``silence`` is asked for.
        paired: of each clip with its own sound, [B, K, T, h, w].
        foreign: [B, T], the share of each moment's sound that is another recording's; given where ``splice`` is asked.
        scale: the factor on the scores over that at the start, [1].
    """
    terms: dict[str, Tensor] = {}
    if cfg.nonnegative:
        terms["nonnegative"] = listening.below_zero(volume[:, : len(volume)])
    if cfg.silence:
        terms["silence"] = volume[:, -1].abs().mean()
    if cfg.splice:
        assert foreign is not None
        terms["splice"] = listening.heard_off_screen(paired, foreign)
    if cfg.smooth:
        terms["smooth"] = listening.restless(paired)
    if cfg.specialize:
        terms["specialize"] = listening.alike(paired)
    if cfg.steady:
        terms["steady"] = (-scale.log()).clamp_min(0).square().mean()
    return terms


class SoundingConfig(MethodConfig):
    """Options that all of them have."""

    width: int = Field(512, ge=1)
    """D, the width in which sound and places are compared"""
    negatives: bool = False
    """silence and noise are negatives of every picture (as in SSL-SaN)"""
    offscreen: float = Field(0.0, ge=0)
    """weight of a logistic term under which a picture's best place is bright for the own sound and dark for the sounds
    of other recordings, which are off screen here, and for silence and noise where they are negatives"""
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
        if cfg.offscreen:
            self.calibration = Calibration()

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

    def asked(self, sounds: Tensor) -> Tensor:
        """A sound's vectors [B, D] -> what places are compared with, [B, D]."""
        return sounds

    def dark(self, places: Tensor, sounds: Tensor, recording: Tensor) -> Tensor:
        """The weighted term of ``offscreen``; 0 where it is not asked for.

        Args:
            places: [B, D, h, w].
            sounds: [B + X, D], of which the last X are no picture's.
            recording: [B]; pairs of one recording are no negatives.
        """
        if not self.cfg.offscreen:
            return places.new_zeros(())
        own = torch.eye(len(places), dtype=torch.bool, device=places.device)
        more = (0, len(sounds) - len(places))
        valid = F.pad(own | (recording[:, None] != recording), more, value=True)
        term: Tensor = self.calibration(best_place(places, self.asked(sounds)), F.pad(own, more), valid)
        return self.cfg.offscreen * term

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
