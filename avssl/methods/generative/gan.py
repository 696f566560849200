"""Make pictures out of codes so well that a critic cannot tell them from real ones; one of the two networks is kept.

Alec Radford, Luke Metz, Soumith Chintala: Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks, ICLR 2016, arXiv:1511.06434. The regressor is the baseline of Jeff Donahue, Philipp Krähenbühl,
Trevor Darrell: Adversarial Feature Learning, ICLR 2017, arXiv:1605.09782.

Two networks can be the ``learner``: the ``critic`` itself, whose features tell real from made; or the latent
``regressor``, which sees made pictures alone and tells from which code each was made, beside a critic of its own. With
``joint`` above 0 the generator is moved by the regressor as well; at 1 it would hide the code in any picture at all.

Deviations: GroupNorm in place of BatchNorm; the generator upsamples and convolves; any encoder takes the place of the
critic's convolutions; the regressor's squared error is the mean over the code's numbers.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from avssl import ops
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.pictures import OfPictures, View
from avssl.nn.adversaries import Maker, glances


class Config(MethodConfig):
    """GAN; the code and its prior are the paper's."""

    learner: Literal["critic", "regressor"] = "critic"
    """which network is the encoder"""
    joint: float = Field(0.0, ge=0, lt=1)
    """regressor: factor on its gradient in the generator (0.25 in BiGAN's paper)"""
    code: int = Field(100, ge=1)
    """Z, length of the code; its prior is uniform in -1..1"""
    planes: int = Field(64, ge=8)
    """of the generator's last layer and the separate critic's first; doubled at each coarser one"""
    area: float = Field(0.79, gt=0, le=1)
    """least share of the picture that is shown"""


class GAN(OfPictures[Config]):
    """A generator, a critic, and a regressor where it is the learner."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.maker = Maker(cfg.code, cfg.planes, *self.size)
        if cfg.learner == "critic":
            self.judge = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * self.width, 1))
        else:
            self.to_code = nn.Linear(self.width, cfg.code)
            self.judge = nn.Sequential(*glances(cfg.planes), nn.Linear(64 * cfg.planes, 1))

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``picture`` uint8 [3, H, W] and ``code`` [Z]."""
        return View(cfg.area, (1.0, 1.0), cfg.code)

    def turns(self) -> dict[str, list[nn.Parameter]]:
        """The critic, then the generator, with the regressor if there is one."""
        critic, players = list(self.judge.parameters()), list(self.maker.parameters())
        if self.cfg.learner == "critic":
            critic += self.encoders.parameters()
        else:
            players += [*self.encoders.parameters(), *self.to_code.parameters()]
        return {
            turn: [one for one in moved if one.requires_grad]
            for turn, moved in (("critic", critic), ("players", players))
        }

    def judged(self, picture: Tensor) -> Tensor:
        """Pictures 0..1 [B, 3, H, W] -> logits [B], high for real ones."""
        if self.cfg.learner == "critic":
            seen = self.encoders["image"](picture).maps[-1]
        else:
            seen = ops.picture(picture)
        found: Tensor = self.judge(seen)[:, 0].float()
        return found

    def coded(self, picture: Tensor) -> Tensor:
        """Pictures 0..1 [B, 3, H, W] -> the codes that the regressor takes them to be made from, [B, Z]."""
        found: Tensor = self.to_code(self.encoders["image"](picture).vector)
        return found.float()

    def forward(self, batch: Batch, turn: str = "critic") -> Step:
        """The critic's two answers in its turn; in the other its disbelief (which does not saturate) and the code."""
        players = turn == "players"
        with torch.set_grad_enabled(players and torch.is_grad_enabled()):
            made = self.made(batch["code"])
        fake = self.judged(made)
        if not players:
            real = self.judged(batch["picture"].float() / 255)
            right = 0.5 * ((real > 0).float().mean() + (fake < 0).float().mean())
            return Step(F.softplus(-real).mean() + F.softplus(fake).mean(), detached({"accuracy": right}))
        loss, metrics = F.softplus(-fake).mean(), {"spread": made.std(0, correction=0).mean()}
        if self.cfg.learner == "regressor":
            error = (self.coded(torch.lerp(made.detach(), made, self.cfg.joint)) - batch["code"]).square().mean()
            loss, metrics["explained"] = loss + error, 1 - 3 * error  # a uniform number in -1..1 has variance 1/3
        return Step(loss, detached(metrics))

    def made(self, code: Tensor) -> Tensor:
        """Codes [B, Z] -> pictures 0..1 [B, 3, H, W]."""
        picture: Tensor = self.maker(code).float()
        return (picture + 1) / 2

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """Pictures ``made`` of the codes; and ``again``, what becomes of the real ones by way of the regressor."""
        shown = {"made": self.made(batch["code"])}
        if self.cfg.learner == "regressor":
            shown["again"] = self.made(self.coded(batch["picture"].float() / 255))
        return shown
