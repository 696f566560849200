"""Bags of sentences against clips or sounds."""

from __future__ import annotations

import torch
from torch import Tensor

from avssl.nn.contrast import mil_nce


def equal_texts(tokens: Tensor) -> Tensor:
    """tokens [B, K, L] -> bool [B, B, K]: phrase k of j says what some phrase of i says; no negative for i."""
    flat = tokens.flatten(0, 1)  # [BK, L]
    equal = (flat[:, None] == flat).all(2)  # [BK, BK]
    same: Tensor = equal.unflatten(0, tokens.shape[:2]).any(1).unflatten(1, tokens.shape[:2])
    return same


def bag_contrast(
    vectors: Tensor, bags: Tensor, tokens: Tensor, recording: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """MIL-NCE both ways between vectors and their bags of phrases.

    Empty phrases do not count; phrases of the same recording, and phrases whose text equals one of the bag's, are
    no negatives.

    Args:
        vectors: unit [B, D], clips or sounds.
        bags: unit [B, K, D], phrases.
        tokens: int64 [B, K, L], padded with -1.
        recording: int64 [B].
        scale: [1], inverse temperature.

    Returns:
        loss, and the share of rows whose best phrase is one of their own; both scalars.
    """
    count, phrases = tokens.shape[:2]
    own = torch.eye(count, dtype=torch.bool, device=vectors.device)[:, :, None].expand(-1, -1, phrases)
    spoken = (tokens >= 0).any(2)  # [B, K]
    other = (recording[:, None] != recording)[:, :, None] & ~equal_texts(tokens)
    valid = (other | own) & spoken  # [B, B, K]
    logits = torch.einsum("bd,ckd->bck", vectors, bags) * scale  # [B, B, K]
    find = mil_nce(logits.flatten(1), own.flatten(1), valid.flatten(1))
    turned = logits.transpose(0, 1).flatten(1)  # [B, K of B]: each bag against all vectors
    found = mil_nce(turned, own.transpose(0, 1).flatten(1), valid.transpose(0, 1).flatten(1))
    best = logits.masked_fill(~valid, float("-inf")).flatten(1).argmax(1) // phrases
    hit = best == torch.arange(count, device=best.device)
    rows = spoken.any(1)
    return 0.5 * (find + found), (hit & rows).float().sum() / rows.sum().clamp_min(1)
