"""Say whether a picture and a sound belong together, from both at once.

Relja Arandjelović, Andrew Zisserman: Look, Listen and Learn, ICCV 2017, arXiv:1705.08168.

Two encoders, each pooled by its maximum, joined, and two layers that answer yes or no. The joined answer cannot be
looked up in an index (that is AVE-Net's point); what pictures alone, and sounds alone, are embedded by can.

Deviations: negatives are the batch's sounds moved on by one picture, and a pair from one recording does not count.
"""

from __future__ import annotations

import torch
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
    """L3-Net; the hidden width is the paper's."""

    hidden: int = Field(128, ge=1)
    """width of the layer that sees both"""
    area: float = Field(0.76, gt=0, le=1)
    """least share of the picture that a view shows"""
    strength: float = Field(0.25, ge=0)
    """of the colour changes"""
    decibels: float = Field(1.0, ge=0)
    """most by which the sound is made louder or softer"""


class L3Net(Method[Config]):
    """Two towers and one classifier on top of both."""

    modalities = ("image", "audio")

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        width = {kind: towers.width(encoders[kind]) for kind in self.modalities}
        self.classify = mlp(sum(width.values()), cfg.hidden, 2)
        self.spaces = {"main": Space(("image",), width["image"]), "sound": Space(("audio",), width["audio"])}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """One picture and the sound around it."""
        return inputs.needs(frames=1, audio_seconds=inputs.cfg.audio_seconds)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``picture`` and ``sound``."""
        return views.PictureAndSound(inputs, cfg.area, cfg.strength, cfg.decibels)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Cross-entropy of true pairs and of pairs with the next item's sound, half each."""
        picture, sound = gather(self.pooled("image", batch["picture"])), gather(self.pooled("audio", batch["sound"]))
        recording = gather(batch["recording"])
        counts = (recording != recording.roll(-1)).float()
        true = self.logits(picture, sound)  # [B, 2]: no, yes
        false = self.logits(picture, sound.roll(-1, 0))
        right = -true.log_softmax(1)[:, 1].mean()
        wrong = -(false.log_softmax(1)[:, 0] * counts).sum() / counts.sum().clamp_min(1)
        told = 0.5 * (true.argmax(1) == 1).float().mean()
        told = told + 0.5 * ((false.argmax(1) == 0) * counts).sum() / counts.sum().clamp_min(1)
        return Step(0.5 * (right + wrong), detached({"accuracy": told}))

    def pooled(self, modality: str, x: Tensor) -> Tensor:
        """Each feature where it is strongest, [B, D]."""
        strongest: Tensor = self.encoders[modality](x).maps[-1].flatten(2).float().amax(2)
        return strongest

    def logits(self, picture: Tensor, sound: Tensor) -> Tensor:
        """Pooled features [B, D] each -> [B, 2], for no and for yes."""
        both: Tensor = self.classify(torch.cat([picture, sound], 1)).float()
        return both

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]: pictures in ``main``, sounds in ``sound``."""
        if space not in self.spaces or modality not in self.spaces[space].modalities:
            raise self.no_space(modality, space)
        return ops.unit(self.pooled(modality, x))
