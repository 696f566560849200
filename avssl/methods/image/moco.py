"""Of two views of one picture, find the slow encoder's view of it among thousands that it saw in earlier steps.

Kaiming He, Haoqi Fan, Yuxin Wu, Saining Xie, Ross Girshick: Momentum Contrast for Unsupervised Visual Representation
Learning, CVPR 2020, arXiv:1911.05722. Version 2 (arXiv:2003.04297) is temperature=0.2 layers=2 blur=true.

Deviations: with GroupNorm a batch leaks nothing, so that none is shuffled; keys of the same recording are no negatives;
colours change as in version 2, in most pictures.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from avssl import ops, views
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, detached
from avssl.methods.pictures import OfViews, ViewsConfig
from avssl.nn.bank import UNSEEN
from avssl.nn.gather import gather
from avssl.nn.heads import mlp
from avssl.nn.teacher import Teacher


class Config(ViewsConfig):
    """MoCo; defaults are the paper's."""

    queue: int = Field(65536, ge=1)
    """K, keys that are remembered"""
    momentum: float = Field(0.999, ge=0, lt=1)
    """share of the slow encoder's weights that stays at each step"""
    temperature: float = Field(0.07, gt=0)
    """divides the cosines"""
    hidden: int = Field(2048, ge=1)
    """width of the projection's hidden layers, where it has any"""
    projection: int = Field(128, ge=1)
    """D, the width of keys"""
    layers: int = Field(1, ge=1)
    """layers of the projection"""
    blur: bool = False
    """blur half of the views; not for small pictures"""


class MoCo(OfViews[Config]):
    """An encoder, its slow copy, and a queue of what the copy saw."""

    queue: Tensor
    recording: Tensor
    oldest: Tensor

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.head = mlp(self.width, cfg.hidden, cfg.projection, cfg.layers)
        self.slow_encoder = Teacher(encoders["image"], cfg.momentum)
        self.slow_head = Teacher(self.head, cfg.momentum)
        self.register_buffer("queue", ops.unit(torch.randn(cfg.queue, cfg.projection)))  # random at first, [K, D]
        self.register_buffer("recording", torch.full((cfg.queue,), UNSEEN))
        self.register_buffer("oldest", torch.zeros(1, dtype=torch.int64))
        self.fresh: list[tuple[Tensor, Tensor]] = []

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> views.Views:
        """Two views."""
        return views.TwoViews(cfg.area, cfg.strength, (0.5 * cfg.blur, 0.5 * cfg.blur))

    def chance(self, items: int) -> dict[str, float]:
        """Of naming the right one."""
        return {"accuracy": 1 / (1 + self.cfg.queue)}

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """InfoNCE of the first view, against the slow encoder's second one and the queue."""
        first, second = self.views.made(batch).chunk(2)
        query = ops.unit(self.head(self.encoders["image"](first).vector))  # [B, D]
        key = ops.unit(self.slow_head(self.slow_encoder(second).vector))
        if self.training:
            self.fresh.append((key, batch["recording"]))
        same = batch["recording"][:, None] == self.recording  # [B, K]
        logits = torch.cat(
            [(query * key).sum(1, keepdim=True), (query @ self.queue.T).masked_fill(same, -torch.inf)], 1
        )
        loss = F.cross_entropy(logits / self.cfg.temperature, torch.zeros_like(batch["recording"]))
        hit = (logits.argmax(1) == 0).float().mean()
        return Step(loss, detached({"accuracy": hit, "cosine": logits[:, 0].mean()}))

    def after_step(self, progress: float) -> None:
        """The slow copy follows, and the keys of all ranks take the places of the oldest."""
        self.slow_encoder.follow(self.encoders["image"])
        self.slow_head.follow(self.head)
        for key, recording in self.fresh:
            self.remember(gather(key), gather(recording))
        self.fresh.clear()

    def remember(self, keys: Tensor, recording: Tensor) -> None:
        """keys [B, D] and their recordings [B]; of more than the queue holds, the last ones stay."""
        keys, recording = keys[-len(self.queue) :], recording[-len(self.queue) :]
        places = (self.oldest + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[places] = keys.to(self.queue.dtype)
        self.recording[places] = recording
        self.oldest.copy_((self.oldest + len(keys)) % len(self.queue))
