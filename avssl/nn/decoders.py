"""Decoders: from a code to what was coded."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avssl.nn.masking import hidden
from avssl.nn.transformer import Block, positions


class CellDecoder(nn.Module):
    """Fills in hidden cells from visible ones of all kinds: a small transformer over both (He et al., 2022).

    Args:
        inputs: D, width of the visible cells' tokens.
        width: of its own tokens.
        layers: blocks.
        grids: kind -> cells along each axis.
        values: kind -> V, how many numbers a cell has.
    """

    def __init__(
        self, inputs: int, width: int, layers: int, grids: Mapping[str, tuple[int, ...]], values: Mapping[str, int]
    ):
        super().__init__()
        self.grids = dict(grids)
        self.enter = nn.Linear(inputs, width)
        self.blank = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.kinds = nn.ParameterDict({kind: nn.Parameter(0.02 * torch.randn(1, 1, width)) for kind in grids})
        self.blocks = nn.Sequential(*(Block(width) for _ in range(layers)), nn.LayerNorm(width))
        self.leave = nn.ModuleDict({kind: nn.Linear(width, count) for kind, count in values.items()})

    def forward(self, tokens: Mapping[str, Tensor], visible: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tokens [B, K, D] at the visible cells int64 [B, K] -> values of the hidden ones, [B, cells - K, V]."""
        rows, masks = [], {}
        for kind, x in tokens.items():
            places = positions(self.grids[kind], self.blank.shape[2]).to(x.device)  # [cells, width]
            known = self.enter(x)
            whole = self.blank.to(known.dtype).expand(len(x), len(places), -1)
            whole = whole.scatter(1, visible[kind][..., None].expand_as(known), known)
            rows.append(whole + self.kinds[kind] + places)
            masks[kind] = hidden(visible[kind], len(places))
        parts = self.blocks(torch.cat(rows, 1)).split([row.shape[1] for row in rows], 1)
        left = {
            kind: part[mask].unflatten(0, (len(part), -1))
            for (kind, mask), part in zip(masks.items(), parts, strict=True)
        }
        return {kind: self.leave[kind](part).float() for kind, part in left.items()}
