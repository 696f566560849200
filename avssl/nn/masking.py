"""Hiding parts of a picture or spectrogram, cell by cell, and the values that were there."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Grid = tuple[int, int]
"""cells down and across"""


def kept(seed: Tensor, cells: int, share: float) -> Tensor:
    """Which cells stay visible, drawn for each sample from its own seed.

    Args:
        seed: int64 [B], drawn with the sample.
        cells: L, of which at least one stays and one is hidden.
        share: of the cells that is hidden.

    Returns:
        int64 [B, K], in ascending order.
    """
    count = min(cells - 1, max(1, round(cells * (1 - share))))
    draws = (torch.rand(cells, generator=Generator().manual_seed(number)) for number in seed.tolist())
    return torch.stack([draw.argsort()[:count].sort().values for draw in draws]).to(seed.device)


def hidden(visible: Tensor, cells: int) -> Tensor:
    """Visible cells int64 [B, K] of ``cells`` -> bool [B, cells], true where hidden."""
    return torch.ones(len(visible), cells, dtype=torch.bool, device=visible.device).scatter(1, visible, False)


def patches(x: Tensor, grid: Grid) -> Tensor:
    """x [B, C, H, W] -> the V = C * height * width values of each cell, [B, cells, V]; zeros where cells stick out."""
    high, wide = (-(-size // count) for size, count in zip(x.shape[2:], grid, strict=True))
    x = F.pad(x, (0, wide * grid[1] - x.shape[3], 0, high * grid[0] - x.shape[2]))
    x = x.reshape(len(x), x.shape[1], grid[0], high, grid[1], wide)
    return x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def cover(x: Tensor, mask: Tensor, grid: Grid, fill: float) -> Tensor:
    """x [B, C, H, W] with the cells of ``mask`` bool [B, cells] overwritten by one value; the type stays."""
    high, wide = (-(-size // count) for size, count in zip(x.shape[2:], grid, strict=True))
    cells = mask.unflatten(1, grid).repeat_interleave(high, 1).repeat_interleave(wide, 2)
    return x.masked_fill(cells[:, None, : x.shape[2], : x.shape[3]], fill)


def standard(values: Tensor) -> Tensor:
    """Values of cells [..., V] without each cell's mean and spread, so that all cells count alike (He et al., 2022)."""
    values = values.float()
    return (values - values.mean(-1, keepdim=True)) / (values.var(-1, keepdim=True) + 1e-6).sqrt()


def blob(size: Grid, share: float, generator: Generator, spots: int = 8) -> Tensor:
    """A region of any shape, bool [H, W]: where smooth noise is greatest (Pathak et al., 2016).

    Args:
        size: (H, W) in pixels.
        share: of the pixels that are in it.
        generator: of the noise.
        spots: how many of its spots fit side by side.
    """
    coarse = torch.rand(1, 1, spots, spots, generator=generator)
    field = F.interpolate(coarse, size, mode="bicubic", align_corners=False).flatten()
    region = torch.zeros(len(field), dtype=torch.bool)
    region[field.argsort(descending=True)[: round(share * len(field))]] = True
    return region.view(size)
