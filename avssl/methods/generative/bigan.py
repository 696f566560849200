"""Make pairs of picture and code, encoded or generated, so alike that a critic cannot tell which of the two it sees.

Jeff Donahue, Philipp Krähenbühl, Trevor Darrell: Adversarial Feature Learning, ICLR 2017, arXiv:1605.09782.

The critic takes one turn, encoder and generator take the other together, with flipped labels (which does not saturate).

Deviations: GroupNorm in place of BatchNorm; the generator makes pictures of the run's own size by upsampling and
convolving; any encoder, whose vector is standardized over the batch before a linear layer makes the code of it. Vectors
of encoders without BatchNorm hardly differ at first, and the critic would know a real pair by its code alone.
"""

from __future__ import annotations

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
from avssl.nn.heads import batch_norm


class Config(MethodConfig):
    """BiGAN; defaults are the paper's for ImageNet."""

    code: int = Field(200, ge=1)
    """Z, length of the code; its prior is uniform in -1..1"""
    planes: int = Field(64, ge=8)
    """of the critic's first layer and the generator's last; doubled at each coarser one"""
    area: float = Field(0.79, gt=0, le=1)
    """least share of the picture that is shown"""


class Critic(nn.Module):
    """(picture in -1..1, code) -> one logit, high for a real picture with its code."""

    def __init__(self, code: int, planes: int):
        super().__init__()
        self.look = glances(planes)
        self.judge = nn.Sequential(
            nn.Linear(planes * 4 * 16 + code, planes * 4), nn.LeakyReLU(0.2), nn.Linear(planes * 4, 1)
        )

    def forward(self, picture: Tensor, code: Tensor) -> Tensor:
        """[B, 3, H, W], [B, Z] -> logits [B]."""
        judged: Tensor = self.judge(torch.cat([self.look(picture), code], 1))
        return judged[:, 0]


class BiGAN(OfPictures[Config]):
    """An encoder that inverts a generator without ever being told to."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.to_code = nn.Sequential(batch_norm(self.width, learnt=False), nn.Linear(self.width, cfg.code))
        self.maker = Maker(cfg.code, cfg.planes, *self.size)
        self.critic = Critic(cfg.code, cfg.planes)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``picture`` uint8 [3, H, W] and ``code`` [Z]."""
        return View(cfg.area, (1.0, 1.0), cfg.code)

    def turns(self) -> dict[str, list[nn.Parameter]]:
        """The critic, then both players."""
        players = [*self.encoders.parameters(), *self.to_code.parameters(), *self.maker.parameters()]
        return {"critic": list(self.critic.parameters()), "players": [p for p in players if p.requires_grad]}

    def forward(self, batch: Batch, turn: str = "critic") -> Step:
        """The same two logits in both turns; the labels are flipped for the players."""
        with torch.set_grad_enabled(turn == "players" and torch.is_grad_enabled()):
            code = self.to_code(self.encoders["image"](batch["picture"]).vector)
            fake = self.maker(batch["code"])
        real = self.critic(ops.picture(batch["picture"]), code)
        made = self.critic(fake, batch["code"])
        sign = 1 if turn == "critic" else -1
        loss = F.softplus(-sign * real).mean() + F.softplus(sign * made).mean()
        right = 0.5 * ((real > 0).float().mean() + (made < 0).float().mean())
        return Step(loss, detached({f"{turn}_loss": loss, "critic_accuracy": right}))

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """Pictures ``made`` of the codes; and ``again``, of the real ones' own codes: alike, not pixel by pixel."""
        own = self.to_code(self.encoders["image"](batch["picture"]).vector)
        return {name: (self.maker(code).float() + 1) / 2 for name, code in (("made", batch["code"]), ("again", own))}
