"""Make pairs of picture and code, encoded or generated, so alike that a critic cannot tell which of the two it sees.

Jeff Donahue, Philipp Krähenbühl, Trevor Darrell: Adversarial Feature Learning, ICLR 2017, arXiv:1605.09782.

The critic takes one turn, encoder and generator take the other together, with flipped labels (which does not saturate).

Deviations: GroupNorm in place of BatchNorm; the generator makes pictures of the run's own size by upsampling and
convolving; any encoder, with a linear layer to the code.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.sample import Needs, Sample


class Config(MethodConfig):
    """BiGAN; defaults are the paper's for ImageNet."""

    code: int = Field(200, ge=1)
    """Z, length of the code; its prior is uniform in -1..1"""
    planes: int = Field(64, ge=8)
    """of the critic's first layer and the generator's last; doubled at each coarser one"""
    area: float = Field(0.79, gt=0, le=1)
    """least share of the picture that is shown"""


class Draw:
    """One picture -> a view of it, uint8 [3, H, W], and a code of the prior [Z]."""

    def __init__(self, cfg: Config):
        self.cfg = cfg

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """The code is drawn here, per sample, so that it does not depend on ranks or workers."""
        picture = views.crop(sample.video[0, 0], generator, (self.cfg.area, 1.0), ratio=(1.0, 1.0))
        code = torch.rand(self.cfg.code, generator=generator) * 2 - 1
        return {"picture": views.flip(picture, generator), "code": code}


class Maker(nn.Module):
    """Code [B, Z] -> picture [B, 3, H, W] in -1..1: three doublings of a grid an eighth of the size."""

    def __init__(self, code: int, planes: int, height: int, width: int):
        super().__init__()
        self.size = (height, width)
        self.grid = (-(-height // 8), -(-width // 8))
        self.start = nn.Linear(code, planes * 4 * self.grid[0] * self.grid[1])
        steps = ((planes * 4, planes * 2), (planes * 2, planes), (planes, planes))
        self.stages = nn.Sequential(*(self.doubling(wide, narrow, planes // 8) for wide, narrow in steps))
        self.last = nn.Sequential(
            nn.GroupNorm(planes // 8, planes), nn.ReLU(), nn.Conv2d(planes, 3, 3, 1, 1), nn.Tanh()
        )

    @staticmethod
    def doubling(wide: int, narrow: int, groups: int) -> nn.Sequential:
        """[B, wide, h, w] -> [B, narrow, 2 h, 2 w]."""
        grow = nn.Upsample(scale_factor=2)
        return nn.Sequential(nn.GroupNorm(groups, wide), nn.ReLU(), grow, nn.Conv2d(wide, narrow, 3, 1, 1))

    def forward(self, code: Tensor) -> Tensor:
        """[B, Z] -> [B, 3, H, W]."""
        x: Tensor = self.last(self.stages(self.start(code).unflatten(1, (-1, *self.grid))))
        return x[..., : self.size[0], : self.size[1]]


class Critic(nn.Module):
    """(picture in -1..1, code) -> one logit, high for a real picture with its code."""

    def __init__(self, code: int, planes: int):
        super().__init__()
        widths = [3, planes, planes * 2, planes * 4]
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.LeakyReLU(0.2)]
            if index:
                layers.insert(-1, nn.GroupNorm(planes // 8, outputs))
        self.look = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.judge = nn.Sequential(
            nn.Linear(planes * 4 * 16 + code, planes * 4), nn.LeakyReLU(0.2), nn.Linear(planes * 4, 1)
        )

    def forward(self, picture: Tensor, code: Tensor) -> Tensor:
        """[B, 3, H, W], [B, Z] -> logits [B]."""
        judged: Tensor = self.judge(torch.cat([self.look(picture), code], 1))
        return judged[:, 0]


class BiGAN(Method[Config]):
    """An encoder that inverts a generator without ever being told to."""

    modalities = ("image",)

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        width = towers.width(encoders["image"])
        self.to_code = nn.Linear(width, cfg.code)
        self.maker = Maker(cfg.code, cfg.planes, inputs.cfg.height, inputs.cfg.width)
        self.critic = Critic(cfg.code, cfg.planes)
        self.spaces = {"main": Space(("image",), width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """One picture."""
        return inputs.needs(frames=1)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``picture`` uint8 [3, H, W] and ``code`` [Z]."""
        return Draw(cfg)

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

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D] of the encoder: the layer below the code tells pictures apart better than the code."""
        if modality != "image" or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.encoders["image"](x).vector)
