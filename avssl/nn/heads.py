"""Projections from an encoder's width into a method's own space."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from avssl.nn.gather import gather

EPSILON = 1e-5
"""added to variances"""


def mlp(inputs: int, hidden: int, outputs: int, layers: int = 2, standardized: bool = False) -> nn.Sequential:
    """``layers`` linear layers with ReLU between them, over the last axis; one layer is a plain projection.

    No BatchNorm inside: it would make two ranks differ from one. :class:`Standardized` does not, and comes last where
    it is asked for; x is then [B, inputs].
    """
    assert layers >= 1
    widths = [inputs, *[hidden] * (layers - 1), outputs]
    modules: list[nn.Module] = []
    for index, (wide, narrow) in enumerate(itertools.pairwise(widths)):
        if index:
            modules.append(nn.ReLU(inplace=True))
        modules.append(nn.Linear(wide, narrow))
    if standardized:
        modules.append(Standardized(outputs))
    return nn.Sequential(*modules)


class Standardized(nn.Module):
    """BatchNorm without scale and shift, whose mean and variance are those of the batch on all ranks together.

    What all items have in common goes, and what tells them apart gets the same size: encoders without much training
    take items for nearly the same, and who compares with vectors remembered from earlier steps
    (:class:`avssl.nn.bank.Bank`) would see how the common part has moved since, and little else.

    Args:
        width: D, of x.
        momentum: share of the new batch in the running mean and variance, which evaluation uses.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int, momentum: float = 0.1):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, D] -> [B, D]; in training B is 2 or more."""
        mean, variance = self.mean, self.variance
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        if self.training:
            batch = gather(x)
            mean, variance = batch.mean(0), batch.var(0, correction=0)
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.variance.lerp_(variance, self.momentum)
        return (x - mean) * (variance + EPSILON).rsqrt()


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
