"""Joining a batch that is split over ranks, with gradient."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def several_ranks() -> bool:
    """Whether the batch is split over more than this process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather(x: Tensor) -> Tensor:
    """[B / R, ...] on each of R ranks -> [B, ...] on all, in rank order; gradients flow back to every rank.

    Each rank computes the loss of the whole batch and gradients are averaged over ranks: the backward pass sums the
    ranks' (equal) gradients, so that two ranks equal one.
    """
    if not several_ranks():
        return x
    if not x.requires_grad:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)
    joined: Tensor = _Gather.apply(x)  # type: ignore[no-untyped-call]
    return joined


class _Gather(torch.autograd.Function):
    """torch's own gather hands gradients on as they lie in memory, and gives wrong ones where a map is permuted."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        whole = gradients[0].contiguous().clone()
        dist.all_reduce(whole)
        first = dist.get_rank() * ctx.rows
        return whole[first : first + ctx.rows]


def own_rows(whole: Tensor, rows: int) -> Tensor:
    """This rank's share of what :func:`gather` joined from ``rows`` on each rank: [B, ...] -> [B / R, ...]."""
    first = dist.get_rank() * rows if several_ranks() else 0
    return whole[first : first + rows]
