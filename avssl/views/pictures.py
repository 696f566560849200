"""Changes of pictures, uint8 [..., 3, H, W]; what is drawn is drawn once: all frames of a clip get the same view."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as F

from avssl.views.draw import chance, integer, uniform


def crop(x: Tensor, generator: Generator, area: tuple[float, float], size: tuple[int, int] | None = None,
         ratio: tuple[float, float] = (3 / 4, 4 / 3)) -> Tensor:  # fmt: skip
    """A random rectangle of the picture, scaled bicubically (the crop of Szegedy et al., 2015).

    Args:
        x: uint8 [..., 3, H, W].
        generator: of all draws.
        area: least and greatest share of the picture's area.
        size: (height, width) of the result in pixels; default that of ``x``.
        ratio: least and greatest width / height of the rectangle.

    Returns:
        uint8 [..., 3, *size].
    """
    height, width = x.shape[-2:]
    size = size or (height, width)
    for _ in range(10):
        share = uniform(generator, *area) * height * width
        shape = math.exp(uniform(generator, math.log(ratio[0]), math.log(ratio[1])))
        h, w = round(math.sqrt(share / shape)), round(math.sqrt(share * shape))
        if 0 < h <= height and 0 < w <= width:
            break
    else:
        h, w = height, width
    top, left = integer(generator, height - h + 1), integer(generator, width - w + 1)
    cut: Tensor = F.resized_crop(
        x, top, left, h, w, list(size), interpolation=F.InterpolationMode.BICUBIC, antialias=True
    )
    return cut


def flip(x: Tensor, generator: Generator, probability: float = 0.5) -> Tensor:
    """Mirrors left and right."""
    return x.flip(-1) if chance(generator, probability) else x


def color(x: Tensor, generator: Generator, strength: float = 1.0, probability: float = 0.8) -> Tensor:
    """Brightness, contrast, saturation (factors 1 +- 0.8 strength) and hue (+- 0.2 strength), in random order.

    The policy of SimCLR (Chen et al., 2020), version 2: all four multiply, each result is clipped.
    """
    if not chance(generator, probability):
        return x
    wide, narrow = 0.8 * strength, 0.2 * strength
    low, high = max(0.0, 1 - wide), 1 + wide
    values = [uniform(generator, low, high) for _ in range(3)] + [uniform(generator, -narrow, narrow)]
    changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    for index in torch.randperm(4, generator=generator).tolist():
        x = changes[index](x, values[index])
    return x


def gray(x: Tensor, generator: Generator, probability: float = 0.2) -> Tensor:
    """Drops the colour, keeps three planes."""
    return F.rgb_to_grayscale(x, 3) if chance(generator, probability) else x


def shift(x: Tensor, generator: Generator, share: float = 0.08) -> Tensor:
    """Moves the picture by up to ``share`` of its size, the edge repeated; x uint8 [..., H, W]."""
    height, width = x.shape[-2:]
    down = integer(generator, 2 * int(share * height) + 1) - int(share * height)
    right = integer(generator, 2 * int(share * width) + 1) - int(share * width)
    moved = x.roll((down, right), (-2, -1))
    edge = slice(0, down) if down > 0 else slice(height + down, height)
    moved[..., edge, :] = moved[..., down % height if down > 0 else height + down - 1, :].unsqueeze(-2)
    edge = slice(0, right) if right > 0 else slice(width + right, width)
    moved[..., edge] = moved[..., right % width if right > 0 else width + right - 1].unsqueeze(-1)
    return moved


def contrast(x: Tensor, generator: Generator, strength: float = 0.3) -> Tensor:
    """Contrast 1 +- strength and brightness +- strength / 2, by one table for all pixels; x uint8."""
    factor = uniform(generator, 1 - strength, 1 + strength)
    offset = uniform(generator, -strength / 2, strength / 2) * 255
    table = ((torch.arange(256) - 128) * factor + 128 + offset).clamp(0, 255).to(torch.uint8)
    return torch.from_numpy(table.numpy()[x.numpy()])
