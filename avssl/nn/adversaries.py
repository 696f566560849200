"""Two players against each other: what makes pictures out of codes, and how a critic looks at them."""

from __future__ import annotations

import itertools

from torch import Tensor, nn


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


def glances(planes: int) -> nn.Sequential:
    """A critic's view of pictures in three strided convolutions, [B, 3, H, W] -> [B, 64 planes].

    Args:
        planes: of the first convolution; doubled by each other one.
    """
    layers: list[nn.Module] = []
    for wide, narrow in itertools.pairwise((3, planes, 2 * planes, 4 * planes)):
        norm = [nn.GroupNorm(planes // 8, narrow)] if wide > 3 else []
        layers += [nn.Conv2d(wide, narrow, 4, 2, 1), *norm, nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten())
