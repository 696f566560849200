"""Positives that both modalities agree on: clips that look alike and sound alike."""

from __future__ import annotations

import torch
from torch import Tensor

NONE = -1
"""where an item has fewer positives than there is room for"""
AT_ONCE = 1024
"""items that are compared with all others at a time"""


@torch.no_grad()
def agreed(first: Tensor, second: Tensor, recording: Tensor, count: int) -> Tensor:
    """The items nearest by the lesser of two similarities (the consensus of Morgado, Vasconcelos, Misra, 2021).

    Args:
        first, second: unit vectors [N, D] and [N, D'] of the same N items in two modalities.
        recording: [N] of each item; items of one recording are none of each other's positives. Items whose recording is
            negative have not been seen yet: they have no positives and are none.
        count: P.

    Returns:
        int64 [N, P], the nearest first, `NONE` where there are fewer.
    """
    seen = recording >= 0
    found = torch.full((len(first), count), NONE, device=first.device)
    if not count:  # nobody asks: at each step of a contrast without mined positives
        return found
    room = min(count, len(first))
    for begin in range(0, len(first), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        alike = torch.minimum(first[part] @ first.T, second[part] @ second.T)  # [B, N]
        other = (recording[part, None] != recording) & seen & seen[part, None]
        values, rows = alike.masked_fill(~other, float("-inf")).topk(room, 1)
        found[part, :room] = torch.where(values.isfinite(), rows, NONE)
    return found
