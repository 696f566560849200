"""Learn from the few pictures that have labels, guess the others' labels, and learn from confident guesses as well.

Qizhe Xie, Minh-Thang Luong, Eduard Hovy, Quoc V. Le: Self-training with Noisy Student Improves ImageNet Classification,
CVPR 2020, arXiv:1911.04252.

This is no pre-training: labels of the very task are in it from the first step. Those of a ``share`` of the items are
learnt from. The run has ``rounds`` of equal length; each but the first begins, at an epoch, with guesses: the network
as it is, shown whole pictures, teaches the one that goes on with cropped and mirrored ones. Labels of other items are
only compared with guesses: ``guessed`` is the share of them that has one, ``right`` the share of guesses that is true.

Deviations: the student goes on from the teacher's weights and is as large; crops are all its noise; guesses are hard
and not balanced over classes; items with labels come as often as those with a guess.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.pictures import Labeled, OfPictures
from avssl.nn.gather import gather
from avssl.sample import Needs

NONE = -1
"""guess of an item that has none"""


class Config(MethodConfig):
    """Self-training."""

    label: str = Field("kind", min_length=1)
    """name of the label in the manifest"""
    classes: int = Field(1000, ge=2)
    """how many values it has"""
    share: float = Field(0.1, gt=0, le=1)
    """of the items whose labels are learnt from, at least one item, drawn by the run's seed; 1 is ``supervised``"""
    rounds: int = Field(3, ge=1)
    """the first learns from labels alone; a run of fewer epochs has fewer"""
    threshold: float = Field(0.9, gt=0, lt=1)
    """least probability of a guess that is learnt from"""
    area: float = Field(0.35, gt=0, le=1)
    """least share of the picture that a view shows"""
    flip: bool = True
    """mirror half of the pictures; not where left and right mean something, as in digits"""


class SelfTraining(OfPictures[Config]):
    """One classifier, its own teacher from round to round."""

    labeled: Tensor
    guess: Tensor
    mixed: Tensor
    round: Tensor
    done: Tensor

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.head = nn.Linear(self.width, cfg.classes)
        self.register_buffer("labeled", torch.randperm(length) < max(1, round(cfg.share * length)))
        self.register_buffer("guess", torch.full((length,), NONE))
        self.register_buffer("mixed", torch.full((length,), NONE))  # the epoch's order of items
        self.register_buffer("round", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("done", torch.zeros(1))  # share of the run

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """One picture and its label."""
        return dataclasses.replace(inputs.needs(frames=1), label=cfg.label)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``picture`` and ``whole`` uint8 [3, H, W], and ``label``."""
        return Labeled(cfg.label, cfg.classes, cfg.area, cfg.flip, whole=True)

    def logits(self, picture: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] -> [B, K]."""
        found: Tensor = self.head(self.vector(picture))
        return found.float()

    def chance(self, items: int) -> dict[str, float]:
        """Of naming the right one."""
        return {"accuracy": 1 / self.cfg.classes}

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Cross-entropy of labels and guesses, items with neither cost nothing; in eval mode, of all labels."""
        label, metrics = batch["label"], dict[str, Tensor]()
        target = label
        if self.training:
            guess = self.guess[batch["index"]]
            target = torch.where(self.labeled[batch["index"]], label, guess)
            metrics["guessed"] = (self.guess != NONE).sum() / (~self.labeled).sum().clamp_min(1)
            metrics["right"] = (guess == label).sum() / (guess != NONE).sum().clamp_min(1)
        logits = self.logits(batch["picture"])
        metrics["accuracy"] = (logits.argmax(1) == label).float().mean()
        each = gather(F.cross_entropy(logits, target, ignore_index=NONE, reduction="none"))
        return Step(each.sum() / gather(target != NONE).sum().clamp_min(1), detached(metrics))

    def before_epoch(self, examples: Iterable[Batch]) -> None:
        """Guesses at the first epoch of each round but the first; items that are learnt from stand in a new order."""
        due = min(self.cfg.rounds - 1, int(self.done * self.cfg.rounds))
        if due > int(self.round):
            self.round.fill_(due)
            self.teach(examples)
        usable = (self.labeled | (self.guess != NONE)).nonzero().flatten()
        turns = range(-(-self.length // len(usable)))
        order = torch.cat([usable[torch.randperm(len(usable), device=usable.device)] for _ in turns])
        self.mixed.copy_(order[: self.length])

    @torch.no_grad()
    def teach(self, examples: Iterable[Batch]) -> None:
        """Guesses the labels of all items without one anew, from whole pictures; unsure guesses are none."""
        training = self.training
        self.eval()
        self.guess.fill_(NONE)
        for batch in examples:
            sure, guess = self.logits(batch["whole"]).softmax(1).max(1)
            self.guess[batch["index"]] = guess.masked_fill(sure < self.cfg.threshold, NONE)
        self.guess[self.labeled] = NONE
        self.train(training)

    def order(self) -> Tensor | None:
        """Items with a label or a guess, over and over; none before the first epoch."""
        return None if bool((self.mixed == NONE).any()) else self.mixed

    def after_step(self, progress: float) -> None:
        """Notes how much of the run is done."""
        self.done.fill_(progress)
