"""A slow copy of a network: what learners are compared with in place of themselves."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class Teacher(nn.Module):
    """The moving average of a network's weights (Tarvainen, Valpola, 2017; He et al., 2020); never trained itself.

    Args:
        student: what it begins as a copy of.
        momentum: share of the old weights that stays at each step.
    """

    def __init__(self, student: nn.Module, momentum: float):
        super().__init__()
        self.copy = copy.deepcopy(student).requires_grad_(False)
        self.momentum = momentum
        self.begun = [student]  # in a list, so that it is no part of this module

    def begin(self) -> None:
        """Equal to the student again, where that got other weights before the training."""
        self.copy.load_state_dict(self.begun[0].state_dict())

    @torch.no_grad()
    def forward(self, x: Tensor) -> Any:
        """What the student gives, without a gradient."""
        return self.copy(x)

    @torch.no_grad()
    def follow(self, student: nn.Module) -> None:
        """One step towards the student; what a network counts and averages itself is taken over as it is."""
        for mine, new in zip(self.copy.parameters(), student.parameters(), strict=True):
            mine.lerp_(new, 1 - self.momentum)
        for kept, counted in zip(self.copy.buffers(), student.buffers(), strict=True):
            kept.copy_(counted)
