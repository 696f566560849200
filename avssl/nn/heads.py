"""Projections from an encoder's width into a method's own space."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from avssl.encoders.image import JointNorm


def mlp(inputs: int, hidden: int, outputs: int, layers: int = 2, standardized: bool = False) -> nn.Sequential:
    """``layers`` linear layers with ReLU between them, over the last axis; one layer is a plain projection.

    Where it is asked for, outputs are ``standardized`` (:func:`batch_norm`); x is then [B, inputs].
    """
    assert layers >= 1
    widths = [inputs, *[hidden] * (layers - 1), outputs]
    modules: list[nn.Module] = []
    for index, (wide, narrow) in enumerate(itertools.pairwise(widths)):
        if index:
            modules.append(nn.ReLU(inplace=True))
        modules.append(nn.Linear(wide, narrow))
    if standardized:
        modules += batch_norm(outputs, learnt=False)
    return nn.Sequential(*modules)


def batch_norm(width: int, learnt: bool = True) -> nn.Sequential:
    """BatchNorm of vectors x [B, width], whose statistics are those of the batch on all ranks together.

    Without a ``learnt`` scale and shift x is standardized: what all items have in common goes, and what tells them
    apart gets the same size. Encoders without much training take items for nearly the same, and who compares with
    vectors remembered from earlier steps (:class:`avssl.nn.bank.Bank`) would see how the common part has moved since,
    and little else.
    """
    return nn.Sequential(nn.Unflatten(1, (width, 1, 1)), JointNorm(width, affine=learnt), nn.Flatten())


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
