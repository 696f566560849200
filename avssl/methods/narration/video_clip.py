"""Tell which words belong to this clip when both only overlap in time, among clips that are chosen to be alike.

Hu Xu, Gargi Ghosh, Po-Yao Huang, Dmytro Okhonko, Armen Aghajanyan, Florian Metze, Luke Zettlemoyer, Christoph
Feichtenhofer: VideoCLIP: Contrastive Pre-training for Zero-shot Video-Text Understanding, EMNLP 2021, arXiv:2109.14084.

The words come first: one to K sentences. The clip's middle lies anywhere inside the nearest of them and its length is
drawn, so that neither begins nor ends with the other. Before each epoch but the first, items are put in an order in
which those that look and sound alike in words stand together: a batch is a few such groups.

Deviations: InfoNCE both ways without equal texts and other items of the recording among the negatives; a short clip is
shown at the frame count of a long one; groups are found among the items of an epoch, each once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.contrast import Temperature
from avssl.nn.gather import gather
from avssl.nn.mining import neighborhoods
from avssl.nn.narration import bag_contrast
from avssl.nn.sweep import sweep
from avssl.sample import Needs, Sample

UNSET = -1
"""order of a run that has mined nothing yet"""


class Config(MethodConfig):
    """VideoCLIP."""

    sentences: int = Field(3, ge=1)
    """K, most sentences of a text"""
    shortest: float = Field(0.25, gt=0, le=1)
    """least length of a clip, as a share of the window"""
    group: int = Field(8, ge=0)
    """items alike that stand together in a batch; 0 leaves the order to chance"""
    width: int = Field(512, ge=1)
    """D, the width of the space"""
    temperature: float = Field(0.07, gt=0)
    """where the learned temperature starts"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of the picture that a view shows"""


class Overlapping:
    """Some of the sentences, and a clip of any length about the window's middle: video [T, 3, H, W], tokens [1, L]."""

    def __init__(self, cfg: Config, inputs: Inputs):
        self.cfg = cfg
        self.inputs = inputs

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Sentences are the nearest ones, in order of time."""
        count = 1 + views.integer(generator, self.cfg.sentences)
        begins = sample.times[:count, 0].tolist()  # nan where there is no sentence
        said = sorted((begin, text) for begin, text in zip(begins, sample.text, strict=False) if text)
        text = " ".join(one for _, one in said)
        video = sample.video[0]
        share = views.uniform(generator, self.cfg.shortest, 1.0)
        frames = len(video)
        places = (torch.arange(frames) + 0.5 - frames / 2) * share + frames / 2
        clip = views.crop(video[places.floor().long().clamp(0, frames - 1)], generator, (self.cfg.area, 1.0))
        return {"video": views.flip(clip, generator), "tokens": self.inputs.tokens([text])}


class VideoCLIP(Method[Config]):
    """Two towers, one contrast, batches that are hard."""

    modalities = ("video", "text")
    mined: Tensor
    epochs: Tensor

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.heads = nn.ModuleDict({kind: nn.Linear(towers.width(encoders[kind]), cfg.width) for kind in encoders})
        self.temperature = Temperature(cfg.temperature)
        self.register_buffer("mined", torch.full((length,), UNSET))
        self.register_buffer("epochs", torch.zeros(1, dtype=torch.int64))
        self.spaces = {"main": Space(self.modalities, cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """A clip whose middle lies in a sentence, and the sentences nearest to it with their times."""
        return replace(inputs.needs(narrations=cfg.sentences, window="inside"), narration_times=True)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video`` and ``tokens``."""
        return Overlapping(cfg, inputs)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """InfoNCE both ways; clips without words do not count."""
        video = gather(self.embed("video", batch["video"]))
        text = gather(self.embed("text", batch["tokens"][:, 0]))
        tokens, recording = gather(batch["tokens"]), gather(batch["recording"])
        loss, accuracy = bag_contrast(video, text[:, None], tokens, recording, self.temperature())
        return Step(loss, detached({"accuracy": accuracy, "scale": self.temperature()[0]}))

    def before_epoch(self, examples: Iterable[Batch]) -> None:
        """Puts items that are alike, by the mean of both vectors, side by side; untrained vectors tell nothing."""
        self.epochs += 1
        if self.cfg.group and self.epochs > 1:
            seen = sweep(self, examples, self.both)
            self.mined.copy_(self.ordered(seen["index"], neighborhoods(seen["both"], self.cfg.group)))

    def both(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Clips and their words as one vector, [B, D]."""
        return {"both": self.embed("video", batch["video"]) + self.embed("text", batch["tokens"][:, 0])}

    def ordered(self, index: Tensor, order: Tensor) -> Tensor:
        """Items by their place among those that could be read; those that could not be come last, [N]."""
        lost = torch.ones(self.length, dtype=torch.bool, device=index.device)
        lost[index] = False
        return torch.cat([index[order], lost.nonzero().flatten()])

    def order(self) -> Tensor | None:
        """The mined order, once there is one."""
        return None if bool((self.mined == UNSET).any()) else self.mined

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]."""
        if modality not in self.modalities or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.heads[modality](self.encoders[modality](x).vector))
