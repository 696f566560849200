"""Single draws, all from the generator that is given."""

from __future__ import annotations

import torch
from torch import Generator


def uniform(generator: Generator, low: float, high: float) -> float:
    """One number between ``low`` and ``high``."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def integer(generator: Generator, count: int) -> int:
    """One of 0 .. count - 1."""
    return int(torch.randint(count, (), generator=generator))


def chance(generator: Generator, probability: float) -> bool:
    """True with this probability; always uses one draw."""
    return float(torch.rand((), generator=generator)) < probability
