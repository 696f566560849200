"""Transformer blocks and positions without parameters, for tokens of any grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avssl.nn.attention import attention

HEAD = 32
"""width of an attention head, where the block's width has room for several"""


class Block(nn.Module):
    """Attention and a feed-forward layer, each after a norm and with a way around it (Vaswani et al., 2017).

    The norms may be several, under names: the same weights then serve tokens of different kinds.

    Args:
        width: D, a multiple of 32 or less than it.
        norms: names of the norms.
        ratio: width of the feed-forward layer over D.
    """

    def __init__(self, width: int, norms: Sequence[str] = ("main",), ratio: int = 4):
        super().__init__()
        self.heads = max(1, width // HEAD)
        self.before = nn.ModuleDict({name: nn.LayerNorm(width) for name in norms})
        self.between = nn.ModuleDict({name: nn.LayerNorm(width) for name in norms})
        self.ask = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width))

    def forward(self, x: Tensor, norm: str = "main") -> Tensor:
        """x [B, L, D] -> [B, L, D]."""
        parts = self.ask(self.before[norm](x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = attention(*parts).transpose(1, 2).flatten(2)  # [B, L, D]
        x = x + self.join(mixed)
        result: Tensor = x + self.feed(self.between[norm](x))
        return result


def positions(grid: Sequence[int], width: int) -> Tensor:
    """Where each cell of a grid is, as sines and cosines of its coordinates, float32 [cells, D]; the last axis fastest.

    Args:
        grid: cells along each axis.
        width: D; each axis has an equal share of it, what is left over is 0.
    """
    share = width // len(grid) // 2
    rates = torch.exp(torch.arange(share) * (-math.log(10000.0) / max(1, share)))
    places = torch.cartesian_prod(*(torch.arange(count) for count in grid)).reshape(-1, len(grid))
    angles = places[:, :, None] * rates  # [cells, axes, share]
    told = torch.cat([angles.sin(), angles.cos()], 2).flatten(1)
    return F.pad(told, (0, width - told.shape[1]))
