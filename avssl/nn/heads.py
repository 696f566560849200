"""Projections from an encoder's width into a method's own space."""

from __future__ import annotations

import itertools

from torch import nn


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
