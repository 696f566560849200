"""Batches of items that are hard to tell apart."""

from __future__ import annotations

import torch
from torch import Tensor

from avssl import ops


@torch.no_grad()
def neighborhoods(vectors: Tensor, size: int, reach: int = 2) -> Tensor:
    """All items in an order in which neighbors stand together (the retrieved batches of Xu et al., 2021).

    A random item that has no group yet founds one of ``size``: itself, and a random choice among the ``reach`` times as
    many items without a group that are most like it. Draws from torch's global randomness.

    Args:
        vectors: [N, D].
        size: items of a group; the last one may be smaller.
        reach: how many times as many neighbors are chosen from.

    Returns:
        int64 [N], each item once.
    """
    vectors = ops.unit(vectors)
    free = torch.ones(len(vectors), dtype=torch.bool, device=vectors.device)
    groups = []
    for item in torch.randperm(len(vectors)).tolist():
        if not free[item]:
            continue
        free[item] = False
        likeness = (vectors @ vectors[item]).masked_fill(~free, float("-inf"))
        near = likeness.topk(min(reach * (size - 1), int(free.sum()))).indices
        chosen = near[torch.randperm(len(near), device="cpu").to(near.device)[: size - 1]]
        free[chosen] = False
        groups.append(torch.cat([torch.tensor([item], device=vectors.device), chosen]))
    return torch.cat(groups)
