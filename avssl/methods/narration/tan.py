"""Say at which moments of a long window each sentence is shown, and whether it is shown at all, from times that lie.

Tengda Han, Weidi Xie, Andrew Zisserman: Temporal Alignment Networks for Long-term Video, CVPR 2022, arXiv:2204.02968.

A dual view compares sentences with steps of time that do not know them; a joint view lets both look at each other, and
tells steps when they are (the dual one does not, so that it embeds windows of any length). At first the times of the
narration are believed (MIL-NCE over steps). Then a sentence moves to where both views are sure of it and agree; one
that neither is sure of is dropped; the others keep their time. A third output says which can be aligned at all.

Deviations: the views that label are those of the network as it learns; sentences outside the window teach, before the
views are asked, what cannot be aligned; equal texts are no negatives; windows are as long as the run's inputs.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.attention import quick
from avssl.nn.fusion import tokens_of
from avssl.nn.gather import gather
from avssl.nn.two_views import agreed, covered, seconds_code, step_contrast
from avssl.sample import Needs


class Config(MethodConfig):
    """TAN; temperature, overlap and share are the paper's."""

    sentences: int = Field(6, ge=1)
    """K, sentences nearest to the window's middle"""
    width: int = Field(256, ge=32, multiple_of=32)
    """D, of steps and sentences"""
    layers: int = Field(2, ge=1)
    """blocks of each view"""
    temperature: float = Field(0.07, gt=0)
    """divides the cosines"""
    agree_from: float = Field(0.4, ge=0, le=1)
    """share of the training after which sentences move"""
    overlap: float = Field(0.5, ge=0, le=1)
    """of both views' spans, that is agreement"""
    confident: float = Field(0.7, gt=0, le=1)
    """share of the batch's sentences, by score, that a view is sure of"""
    alignability: float = Field(1.0, ge=0)
    """weight of telling what can be aligned"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of the picture that a view shows"""


class TAN(Method[Config]):
    """Steps and sentences, compared apart and together."""

    modalities = ("video", "text")
    settled: Tensor

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.enter = nn.ModuleDict(
            {kind: nn.Linear(towers.width(encoders[kind]), cfg.width) for kind in self.modalities}
        )
        block = nn.TransformerEncoderLayer(
            cfg.width, cfg.width // 32, 2 * cfg.width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.dual = nn.TransformerEncoder(block, cfg.layers, enable_nested_tensor=False)
        self.joint = nn.TransformerEncoder(block, cfg.layers, enable_nested_tensor=False)
        self.alignable = nn.Linear(cfg.width, 1)
        self.register_buffer("settled", torch.zeros(1, dtype=torch.bool))
        self.spaces = {"main": Space(self.modalities, cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """A window around a sentence, the sentences nearest to its middle, and their times."""
        return replace(inputs.needs(narrations=cfg.sentences, window="narration"), narration_times=True)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video``, ``tokens`` [K, L] and ``times`` [K, 2]."""
        return views.Narrated(inputs, cfg.area)

    def steps(self, video: Tensor) -> Tensor:
        """video uint8 [B, T, 3, H, W] -> [B, T', D]."""
        found: Tensor = self.enter["video"](tokens_of(self.encoders["video"](video).maps[-1], "video", 0))
        return found

    def sentences(self, tokens: Tensor) -> Tensor:
        """tokens [B, L] -> [B, D]."""
        found: Tensor = self.enter["text"](self.encoders["text"](tokens).vector)
        return found

    def mixed(self, video: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
        """Steps [B, T', D] and sentences [B, K, D], each alone and then in the joint view."""
        x, said = self.steps(video), self.sentences(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
        hidden = torch.cat([torch.zeros_like(x[..., 0], dtype=torch.bool), (tokens < 0).all(2)], 1)
        when = seconds_code(x.shape[1], video.shape[1] / self.inputs.cfg.fps, x.shape[2], x.device)
        with quick(hidden):
            mixed = self.joint(torch.cat([x + when, said], 1), src_key_padding_mask=hidden)
        return x, said, mixed[:, : x.shape[1]], mixed[:, x.shape[1] :]

    def alignability(self, video: Tensor, tokens: Tensor) -> Tensor:
        """video uint8 [B, T, 3, H, W], tokens [B, K, L] -> log-odds [B, K] that a sentence can be aligned."""
        *_, asked = self.mixed(video, tokens)
        logit: Tensor = self.alignable(asked)[..., 0]
        return logit

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """MIL-NCE of both views over steps, and what can be aligned."""
        tokens, recording = batch["tokens"], gather(batch["recording"])
        x, said, seen, asked = self.mixed(batch["video"], tokens)
        seconds, rows = batch["video"].shape[1] / self.inputs.cfg.fps, torch.arange(len(recording), device=x.device)
        joint = gather(torch.einsum("bkd,btd->bkt", ops.unit(asked), ops.unit(seen)))  # [B, K, T']
        logit = gather(self.alignable(asked)[..., 0])  # [B, K]
        with quick(x):
            steps, said = gather(ops.unit(self.dual(x))), gather(ops.unit(said))
        tokens, times = gather(tokens), gather(batch["times"])
        dual = torch.einsum("bkd,ctd->bkct", said, steps)  # [B, K, B, T']
        target = covered(times, joint.shape[2], seconds) & (tokens >= 0).any(2, keepdim=True)  # [B, K, T']
        inside, told = target.any(2), (tokens >= 0).any(2)
        lengths = (times[..., 1] - times[..., 0]) * (joint.shape[2] / seconds)
        found = agreed(dual[rows, :, rows], joint, lengths, inside, self.cfg.confident, self.cfg.overlap)
        sure, lost = found.sure & self.settled, found.lost & self.settled
        target = torch.where(sure[..., None], found.steps, target) & ~lost[..., None]
        scores = dual / self.cfg.temperature, joint / self.cfg.temperature
        loss_dual, loss_joint = step_contrast(*scores, target, tokens, recording)
        known = told & ~(inside & ~sure & ~lost & self.settled)  # what agreement leaves open teaches nothing here
        right = (inside & ~lost).float()
        each = F.binary_cross_entropy_with_logits(logit.float(), right, reduction="none")
        align = (each * known).sum() / known.sum().clamp_min(1)
        count = inside.sum().clamp_min(1)
        metrics = {"dual": loss_dual, "joint": loss_joint, "alignable": align, "sure": found.sure.sum() / count,
                   "lost": found.lost.sum() / count}  # fmt: skip
        return Step(loss_dual + loss_joint + self.cfg.alignability * align, detached(metrics))

    def after_step(self, progress: float) -> None:
        """From some point on, the views are asked."""
        self.settled.fill_(progress >= self.cfg.agree_from)

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D] of the dual view; a clip is the mean of its steps."""
        if modality not in self.modalities or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.sentences(x) if modality == "text" else ops.unit(self.dual(self.steps(x))).mean(1))
