"""Pictures and sounds made worse, to judge on: a probe fitted on clean examples that must know these too.

The severities are our own, so figures are not to be compared with published ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from avssl.probe.decoded import Decoded

SEVEREST = 5
Worsen = Callable[[Tensor, int, Generator], Tensor]
"""(window, severity 1 to 5, generator) -> the window made worse"""


@dataclass(frozen=True)
class Worse(Decoded):
    """Windows under a corruption, a function of each window's place and the seed."""

    change: Worsen
    severity: int
    seed: int

    def windows(self, places: NDArray[np.int64] | slice) -> Tensor:
        """Windows made worse."""
        numbers = np.arange(len(self.owner))[places].tolist()
        clean = super().windows(places)
        draws = (Generator().manual_seed(self.seed * len(self.owner) + number) for number in numbers)
        return torch.stack([self.change(x, self.severity, draw) for x, draw in zip(clean, draws, strict=True)])


def worse(data: Decoded, under: str, seed: int = 0) -> Decoded:
    """The same windows under one corruption, such as ``noise 3``: noise, blur or contrast, severity 1 to 5.

    Raises ValueError for what there is not.
    """
    name, _, severity = under.partition(" ")
    kinds = _SOUNDS if data.modality == "audio" else _PICTURES if data.modality in ("image", "video") else {}
    if name not in kinds or severity not in [str(k) for k in range(1, SEVEREST + 1)]:
        raise ValueError(
            f"--under '{under}': for {data.modality} there is {', '.join(kinds) or 'nothing'}, severity 1 to {SEVEREST}"
        )
    return Worse(data.modality, data.x, data.owner, data.inputs, kinds[name], int(severity), seed)


def _noise(x: Tensor, severity: int, draw: Generator) -> Tensor:
    """Gaussian, with a deviation of 4 % of the range for each step of severity."""
    added = torch.randn(x.shape, generator=draw) * (0.04 * severity * 255)
    return (x.float() + added).round().clamp(0, 255).to(torch.uint8)


def _blur(x: Tensor, severity: int, draw: Generator) -> Tensor:
    """Gaussian, with a deviation of 2 % of the height for each step of severity."""
    from torchvision.transforms.v2.functional import gaussian_blur

    deviation = 0.02 * severity * x.shape[-2]
    reach = min(math.ceil(3 * deviation), (min(x.shape[-2:]) - 1) // 2)
    blurred: Tensor = gaussian_blur(x, [2 * reach + 1] * 2, [deviation] * 2)
    return blurred


def _contrast(x: Tensor, severity: int, draw: Generator) -> Tensor:
    """What differs from the mean of the window shrinks by 15 % for each step of severity."""
    mean = x.float().mean()
    return (mean + (x.float() - mean) * (1 - 0.15 * severity)).round().to(torch.uint8)


def _hiss(x: Tensor, severity: int, draw: Generator) -> Tensor:
    """White noise, 30 dB below the window's own level less 6 dB for each step of severity."""
    level = x.square().mean().sqrt() * 10 ** ((6 * severity - 30) / 20)
    return (x + torch.randn(x.shape, generator=draw) * level).clamp(-1, 1)


_PICTURES: dict[str, Worsen] = {"noise": _noise, "blur": _blur, "contrast": _contrast}
_SOUNDS: dict[str, Worsen] = {"noise": _hiss}
