"""What of a picture is lightness and what is color, for looking at."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from avssl import ops
from avssl.sample import Sample

MIDDLE = 60.0
"""lightness, of 100, at which colors alone are drawn: most can be shown there"""


class Planes:
    """What another transform gives, and of its ``picture`` uint8 [3, H, W] the lightness and the colors, each alone."""

    def __init__(self, transform: Callable[[Sample, Generator, float], dict[str, Tensor]]):
        self.transform = transform

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Adds ``lightness`` and ``colors``, uint8 [3, H, W]."""
        made = self.transform(sample, generator, progress)
        lab = ops.lab(made["picture"][None])  # [1, 3, H, W]
        light, color = lab[:, :1], lab[:, 1:]
        shown = {
            "lightness": torch.cat([light, torch.zeros_like(color)], 1),
            "colors": torch.cat([torch.full_like(light, MIDDLE), color], 1),
        }
        return {**made, **{name: (ops.rgb(x)[0] * 255).round().to(torch.uint8) for name, x in shown.items()}}
