"""Tokens of several modalities through one transformer block, any of which may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avssl.nn.attention import quick
from avssl.nn.heads import Gated


class Tokens(NamedTuple):
    """One modality of a batch."""

    x: Tensor
    """[B, L, D]"""
    real: Tensor
    """bool [B, L], false where padded; a row without a real token is a modality that is missing"""


def tokens_of(maps: Tensor, modality: str, moments: int) -> Tensor:
    """An encoder's last map -> [B, L, C]: a video's steps, ``moments`` parts of a sound, a text's tokens."""
    if modality == "video":
        return maps.flatten(3).mean(3).transpose(1, 2)  # [B, C, T', h, w] -> [B, T', C]
    if modality == "audio":
        maps = F.adaptive_avg_pool1d(maps.float(), min(moments, maps.shape[2]))
    return maps.transpose(1, 2)


class Fusion(nn.Module):
    """One pre-norm transformer block without positions over the tokens of any modalities side by side.

    A modality's vector is the mean of its own tokens after the block, through a gated projection of its own.

    Args:
        modalities: that may come.
        width: D of the tokens, a multiple of 32.
        outputs: width of the vectors.
    """

    def __init__(self, modalities: tuple[str, ...], width: int, outputs: int):
        super().__init__()
        self.block = nn.TransformerEncoderLayer(
            width, max(1, width // 32), 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleDict({name: Gated(width, outputs) for name in modalities})

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Tensor]:
        """Tokens of some modalities -> the vector [B, outputs] of each; arbitrary, but finite, where it is missing."""
        x = torch.cat([one.x for one in tokens.values()], 1)
        real = torch.cat([one.real for one in tokens.values()], 1)
        # attention over nothing is not a number: a row without any token looks at its first place
        hidden = torch.cat([~real[:, :1] & real.any(1, keepdim=True), ~real[:, 1:]], 1)
        with quick(x):
            mixed = self.norm(self.block(x, src_key_padding_mask=hidden))
        parts = mixed.split([one.x.shape[1] for one in tokens.values()], 1)
        found = {}
        for (name, one), part in zip(tokens.items(), parts, strict=True):
            weight = torch.where(one.real.any(1, keepdim=True), one.real, torch.ones_like(one.real))[..., None].float()
            found[name] = self.heads[name]((part.float() * weight).sum(1) / weight.sum(1))
        return found
