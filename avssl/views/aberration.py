"""Color planes moved against each other, as by the lens of a camera, but anywhere alike."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from avssl.views.draw import integer


def displaced(x: Tensor, generator: Generator, most: int) -> Tensor:
    """Each plane moved by up to ``most`` pixels along each axis, uint8 [3, H, W] -> [3, H - 2 most, W - 2 most].

    A lens displaces planes the more the farther from its middle a place is, which tells where a patch was cut out.
    """
    h, w = x.shape[1] - 2 * most, x.shape[2] - 2 * most
    corners = [[integer(generator, 2 * most + 1) for _ in range(2)] for _ in range(3)]
    return torch.stack([plane[y : y + h, z : z + w] for plane, (y, z) in zip(x, corners, strict=True)])
