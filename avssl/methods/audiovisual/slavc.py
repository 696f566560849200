"""Of all sounds in the batch, tell which one each place makes, and of all places which one makes the sound.

Shentong Mo, Pedro Morgado: A Closer Look at Weakly-Supervised Audio-Visual Source Localization, NeurIPS 2022,
arXiv:2209.09634 (SLAVC).

Deviations: the mean of both directions; the sound's direction chooses among pictures (the released code chooses among
sounds in both); other items of one recording are no negatives. The score is the mean of both cosines, as released.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from avssl import ops
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, detached
from avssl.methods.sounding import SoundingConfig, SoundingPlaces
from avssl.nn.contrast import retrieval_accuracy
from avssl.nn.gather import gather
from avssl.nn.sounding import NEVER, dropped, place_scores
from avssl.nn.teacher import Teacher


class Config(SoundingConfig):
    """SLAVC; defaults are the paper's."""

    temperature: float = Field(0.03, gt=0)
    """divides the cosines"""
    momentum: float = Field(0.999, ge=0, lt=1)
    """share of the slow encoders' weights that stays at each step"""
    dropout: float = Field(0.9, ge=0, lt=1)
    """share of a picture's features that is hidden in training"""


class SLAVC(SoundingPlaces[Config]):
    """Two projections, one to choose the sample and one to choose the place; slow encoders are the other side."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length, projections=2)
        self.slow = nn.ModuleDict({name: Teacher(part, cfg.momentum) for name, part in self.quick().items()})

    def quick(self) -> dict[str, nn.Module]:
        """What is trained, and slowly followed."""
        towers = {kind: self.encoders[kind] for kind in self.modalities}
        return {**towers, "look": self.look, "listen": self.listen}

    def seen(self, picture: Tensor, seeds: Tensor | None = None, slow: bool = False) -> Tensor:
        """picture [B, 3, H, W] -> both projections of each place, one behind the other, [B, 2 D, h, w]."""
        tower, look = (self.slow["image"], self.slow["look"]) if slow else (self.encoders["image"], self.look)
        maps = tower(picture).maps[-1]
        return both(look(maps if seeds is None else dropped(maps, seeds + slow, self.cfg.dropout)))

    def heard(self, sound: Tensor, slow: bool = False) -> Tensor:
        """sound [B, M, F] -> both projections of what is greatest over time, [B, 2 D]."""
        tower, listen = (self.slow["audio"], self.slow["listen"]) if slow else (self.encoders["audio"], self.listen)
        return both(listen(tower(sound).maps[-1].amax(2)))

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Pictures among slow sounds, and sounds among slow pictures."""
        picture, seeds = batch["picture"], batch.get("seed")
        places, sounds, recording = self.joint(batch)
        count = len(places)
        slow_sounds = self.sounds(batch, lambda sound: self.heard(sound, slow=True))
        slow_places = gather(self.seen(picture, seeds, slow=True))
        hidden = (recording[:, None] == recording) & ~torch.eye(count, dtype=torch.bool, device=places.device)
        across = self.chosen(places, slow_sounds, F.pad(hidden, (0, len(sounds) - count)), 1)
        down = self.chosen(slow_places, sounds[:count], hidden, 0)
        target = torch.arange(count, device=places.device)
        loss = 0.5 * (F.cross_entropy(across, target) + F.cross_entropy(down.T, target))
        loss = loss + self.dark(places, sounds, recording)
        return Step(loss, detached({"accuracy": retrieval_accuracy(across[:, :count])}))

    def chosen(self, places: Tensor, sounds: Tensor, hidden: Tensor, samples: int) -> Tensor:
        """log of the sum over places of softmax over samples times softmax over places.

        Args:
            places: [V, 2 D, h, w].
            sounds: [A, 2 D].
            hidden: bool [V, A], pairs that are left out.
            samples: the axis over which samples compete: 1 sounds, 0 pictures.

        Returns:
            [V, A].
        """
        (which, where), scale = zip(places.chunk(2, 1), sounds.chunk(2, 1), strict=True), 2 / self.cfg.temperature
        sample = (place_scores(*which) * scale).masked_fill(hidden[..., None], NEVER).log_softmax(samples)
        place = (place_scores(*where) * scale).log_softmax(2)
        return (sample + place).logsumexp(2).masked_fill(hidden, NEVER)

    def after_step(self, progress: float) -> None:
        """The slow encoders follow."""
        for name, part in self.quick().items():
            teacher = self.slow[name]
            assert isinstance(teacher, Teacher)
            teacher.follow(part)


def both(x: Tensor) -> Tensor:
    """Two halves of the channels [B, 2 D, ...], each made unit, together unit: inner products are mean cosines."""
    return ops.unit(x.unflatten(1, (2, -1)), 2).flatten(1, 2) / 2**0.5
