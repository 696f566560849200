"""Projections from an encoder's width into a method's own space."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


def mlp(inputs: int, hidden: int, outputs: int, layers: int = 2) -> nn.Sequential:
    """``layers`` linear layers with ReLU between them, over the last axis; one layer is a plain projection.

    No BatchNorm inside: it would make two ranks differ from one.
    """
    assert layers >= 1
    widths = [inputs, *[hidden] * (layers - 1), outputs]
    modules: list[nn.Module] = []
    for index, (wide, narrow) in enumerate(itertools.pairwise(widths)):
        if index:
            modules.append(nn.ReLU(inplace=True))
        modules.append(nn.Linear(wide, narrow))
    return nn.Sequential(*modules)


class Gated(nn.Module):
    """A projection that weighs its own outputs: y * sigmoid(W y + b) with y linear in x (Miech et al., 2019).

    Args:
        inputs: width of x, the last axis.
        outputs: width of the result.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.project = nn.Linear(inputs, outputs)
        self.gate = nn.Linear(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., inputs] -> [..., outputs]."""
        y: Tensor = self.project(x)
        return y * torch.sigmoid(self.gate(y))
