"""Small trained matrices beside large frozen ones: W + (scale / r) B A, with B zero at first.

Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen: LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022,
arXiv:2106.09685. A [r, in] is random and B [out, r] zero, so that training begins where the frozen network is. All
linear layers of a network's blocks are adapted, where the paper takes two of attention's four.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

SCALE = 2.0
"""times the product, whatever the rank: the paper's alpha is twice the rank"""


class LowRank(nn.Module):
    """A weight [out, in] -> the same plus a product of rank r, as a parametrization.

    It sits in the weight itself and not beside its layer, for some networks hand their weights to a function.
    """

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        out, into = weight.shape
        self.down = nn.Parameter(torch.empty(rank, into).uniform_(-1, 1) / math.sqrt(into))
        self.up = nn.Parameter(torch.zeros(out, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """[out, in] -> [out, in]."""
        return weight + SCALE * (self.up @ self.down)


def adapt(network: nn.Module, rank: int) -> int:
    """Freeze ``network``, and give every linear layer inside a list of blocks a trained product of this rank.

    Returns how many layers it has adapted. Raises ValueError where there is none, or the rank is below 1.
    """
    if rank < 1:
        raise ValueError(f"lora is {rank}; a rank is at least 1")
    network.requires_grad_(False)
    blocks = [part for part in network.modules() if isinstance(part, nn.ModuleList)]
    layers = {id(part): part for block in blocks for part in block.modules() if type(part) is nn.Linear}
    if not layers:
        raise ValueError(f"lora: {type(network).__name__} has no linear layer in blocks to adapt; tune its last layers")
    for layer in layers.values():
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))
    return len(layers)
