"""Attention by the kernel that learns quickest where a run trains.

On a CPU, the backward pass of torch's fused attention is far slower in bfloat16 than in float32: on a core with AMX
eight times for 16 tokens, four times for 64, twice for 200 (torch 2.11). So under autocast, where gradients are wanted,
it gets float32; where the call is inside a layer of torch's own, short sequences take plain products instead.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

SHORT = 128
"""tokens up to which plain products are quicker than the fused kernel in bfloat16"""


def _slow(x: Tensor) -> bool:
    return x.device.type == "cpu" and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")


def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Scaled dot-product attention (Vaswani et al., 2017) of [B, heads, L, D] each -> [B, heads, L, D]."""
    if not _slow(queries):
        return F.scaled_dot_product_attention(queries, keys, values)
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(queries.float(), keys.float(), values.float())


def quick(x: Tensor) -> AbstractContextManager[None]:
    """In it, torch's own transformer layers over x [B, L, D] take the kernel that learns quickest."""
    return sdpa_kernel(SDPBackend.MATH) if _slow(x) and x.shape[1] <= SHORT else nullcontext()
