"""Pictures looked at in several sizes: what is small in one is as large as what was learnt from in an enlarged one.

A network that has seen things of one size finds no others, and pictures are scaled down to its size: a talker who fills
half of the height has lips of a few pixels. Each place gets the highest of its scores (a pyramid of pictures).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST, MOST = 0.25, 8.0


def check_sizes(sizes: Sequence[float]) -> None:
    """Raise ValueError, one line, for sizes that no picture can be looked at in."""
    if not sizes or not all(LEAST <= size <= MOST for size in sizes) or len(set(sizes)) < len(sizes):
        told = ", ".join(f"{size:g}" for size in sizes) or "none"
        raise ValueError(f"sizes must be different numbers from {LEAST:g} to {MOST:g}, such as 1,2,3; got {told}")


def unsqueezed(height: int, width: int, shown: tuple[int, int]) -> tuple[int, int]:
    """The run's picture (height, width), higher or wider until it has the shape of the recording's, ``shown``.

    One side stays as it is, so that nothing is smaller than what was learnt from.
    """
    wider = (shown[1] / shown[0]) / (width / height)
    return (height, round(width * wider)) if wider >= 1 else (round(height / wider), width)


def in_sizes(video: Tensor, sizes: Sequence[float]) -> list[Tensor]:
    """The pictures in each size: video uint8 [B, T, 3, H, W], as large as the largest of ``sizes`` asks for."""
    most, (height, width) = max(sizes), video.shape[-2:]
    made = []
    for size in sizes:
        shape = max(1, round(height * size / most)), max(1, round(width * size / most))
        if shape == (height, width):
            made.append(video)
            continue
        small = F.interpolate(video.flatten(0, 1).float(), size=shape, mode="area")
        made.append(small.round().to(torch.uint8).unflatten(0, video.shape[:2]))
    return made


def highest(maps: Sequence[Tensor]) -> Tensor:
    """Maps [..., h, w] of each size, on the finest grid of them: each place's highest score."""
    if len(maps) == 1:
        return maps[0]
    shape = max((one.shape[-2:] for one in maps), key=lambda grid: grid[0] * grid[1])
    found = None
    for one in maps:
        flat = one.reshape(-1, 1, *one.shape[-2:])
        if one.shape[-2:] != shape:
            flat = F.interpolate(flat, size=shape, mode="bilinear")
        found = flat if found is None else torch.maximum(found, flat)
    assert found is not None
    return found.reshape(*maps[0].shape[:-2], *shape)
