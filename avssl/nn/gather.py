"""Joining a batch that is split over ranks, with gradient."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def gather(x: Tensor) -> Tensor:
    """[B / R, ...] on each of R ranks -> [B, ...] on all, in rank order; gradients flow back to every rank.

    Each rank computes the loss of the whole batch and gradients are averaged over ranks: the backward pass sums the
    ranks' (equal) gradients, so that two ranks equal one.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return x
    if not x.requires_grad:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(x.contiguous()))
