"""Tell which window of one stream belongs to a window of another: any two streams with a shared clock.

Yonglong Tian, Dilip Krishnan, Phillip Isola: Contrastive Multiview Coding, ECCV 2020, arXiv:1906.05849 (two views).

Deviations: negatives of the batch, a learned temperature; a vector may have parts for steps of time, less their mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import EncoderConfig, Frozen, MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.methods.rivals import Rivals, RivalsConfig
from avssl.nn.contrast import Temperature, retrieval_accuracy
from avssl.nn.gather import gather
from avssl.nn.heads import mlp
from avssl.sample import Needs, Sample


class Side(Frozen):
    """A stream, what learns from it, and how it is changed by chance."""

    stream: str
    """its name: video, audio, left, right, or one that the manifest names"""
    encoder: Literal["image", "video", "audio"]
    """kind of its encoder; each side has one of its own"""
    tower: EncoderConfig | None = None
    """what it is built from; None takes the section of that kind under encoders"""
    seconds: float = Field(0.0, ge=0)
    """its window, in the middle of the run's; 0 takes all of that"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of a picture that a view shows"""
    mirror: bool = True
    """whether pictures are mirrored by chance"""
    strength: float = Field(0.0, ge=0)
    """of changes of colour"""
    decibels: float = Field(6.0, ge=0)
    """most by which a sound is made louder or softer"""
    speed: float = Field(0.0, ge=0, le=1)
    """most by which a sound is faster or slower, and higher or deeper; for what need not keep step"""
    tone: float = Field(0.0, ge=0)
    """decibels, most by which single frequencies are louder or softer"""
    hiss: float = Field(0.0, ge=0, le=1)
    """chance of noise under a sound"""


class Config(MethodConfig):
    """Which streams, and their space."""

    first: Side
    """one stream, and what learns from it"""
    second: Side
    """the other"""
    together: bool = False
    """crop and mirror both pictures alike, for cameras whose pixels lie on each other"""
    width: int = Field(128, ge=1)
    """D, of each step's part of a vector"""
    steps: int = Field(1, ge=1)
    """K, steps of time that have a part of the vector each"""
    rivals: RivalsConfig = RivalsConfig()
    """who is told apart"""


@dataclass(frozen=True)
class PairedStreams:
    """A window of both streams, each cropped, mirrored, re-coloured, or made louder and faster, and partly hidden."""

    cfg: Config
    inputs: Inputs

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Stream -> pictures [T, 3, H, W] (deep ones [T, 1, H, W]) or sound [M, F]."""
        made, seeds = {}, torch.randint(1 << 62, (2,), generator=generator).tolist()
        for side, seed in zip((self.cfg.first, self.cfg.second), seeds, strict=True):
            x = sample.stream(side.stream)[0]
            if side.encoder == "audio":
                x = views.tone(views.speed(x, generator, side.speed), generator, side.tone)
                x = self.inputs.audio(views.hiss(views.gain(x, generator, side.decibels), generator, side.hiss))
                x = views.hide(x, generator)
            else:
                geometry = Generator().manual_seed(seeds[0] if self.cfg.together else seed)
                x = views.flip(views.crop(x, geometry, (side.area, 1.0)), geometry, 0.5 * side.mirror)
                x = x.clamp(0, 1) if x.is_floating_point() else views.color(x, generator, side.strength)
            made[side.stream] = x
        return made


class PairedContrast(Method[Config]):
    """Two towers, one space, InfoNCE both ways."""

    modalities = ("image", "video", "audio")

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.sides = {side.stream: side for side in (cfg.first, cfg.second)}
        kinds = [side.encoder for side in self.sides.values()]
        if len(kinds) < 2 or (cfg.steps > 1 and "image" in kinds):
            wrong = "choose two different streams" if len(kinds) < 2 else "an image encoder sees no time, so steps is 1"
            raise ValueError(f"method.first, method.second ({', '.join(self.sides)}), steps={cfg.steps}: {wrong}")
        self.heads = nn.ModuleDict({n: mlp(towers.width(encoders[n]), 2 * cfg.width, cfg.width) for n in self.sides})
        self.temperature, self.rivals = Temperature(), Rivals(cfg.rivals, cfg.steps * cfg.width)
        self.spaces = {"main": Space(tuple(self.sides), cfg.steps * cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """Both streams."""
        names, kinds = (cfg.first.stream, cfg.second.stream), {cfg.first.encoder, cfg.second.encoder}
        seconds, frames = inputs.cfg.audio_seconds * ("audio" in kinds), 0 if kinds == {"audio"} else None
        return inputs.needs(frames=frames, audio_seconds=seconds, streams=names)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives each stream under its name."""
        return PairedStreams(cfg, inputs)

    @classmethod
    def towers(cls, cfg: Config, specs: Any) -> dict[str, tuple[str, Any]]:
        """One for each stream, called by its name."""
        return {one.stream: (one.encoder, one.tower or getattr(specs, one.encoder)) for one in (cfg.first, cfg.second)}

    def kind_of(self, modality: str) -> str:
        """A stream is read as a video or as a sound."""
        return "audio" if self.sides[modality].encoder == "audio" else "video"

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Mean of both directions' InfoNCE; other windows of a recording are no negatives."""
        first, second = (gather(self.embed(name, batch[name])) for name in self.sides)
        loss, logits = self.rivals.pairs(first, second, self.temperature(), batch)
        return Step(loss, detached({"accuracy": retrieval_accuracy(logits)}))

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, K D] of a stream: pictures [B, T, 3 or 1, H, W], sound [B, M, F]."""
        if modality not in self.sides or space != "main":
            raise self.no_space(modality, space)
        side, head = self.sides[modality], self.heads[modality]
        x = self.inputs.middle(x, side.seconds, side.encoder)
        features = self.encoders[modality](x if side.encoder == "audio" else x.expand(*x.shape[:-3], 3, *x.shape[-2:]))
        if self.cfg.steps == 1:
            return ops.unit(head(features.pooled("max")))
        parts = head(nn.functional.adaptive_avg_pool1d(features.course("max"), self.cfg.steps).transpose(1, 2))
        return ops.unit((parts - parts.mean(1, keepdim=True)).flatten(1))
