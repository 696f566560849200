"""A small vision transformer for pictures, which can be shown some of its patches alone."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from avssl import ops
from avssl.encoders import Features, Spec
from avssl.nn.transformer import Block, positions


class ViTImage(nn.Module):
    """Patches of ``stride`` pixels, fixed positions, ``layers`` blocks (Dosovitskiy et al., 2021); no class token.

    The vector is the mean over patches. Patches that are not shown cost nothing.
    """

    def __init__(self, spec: Spec):
        super().__init__()
        self.patch = spec.stride
        self.enter = nn.Conv2d(3, spec.width, spec.stride, spec.stride)
        self.blocks = nn.ModuleList(Block(spec.width) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.width)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Features:
        """x [B, 3, H, W] -> vector [B, D], map [B, D, h, w]; of patches ``visible`` int64 [B, K] alone [B, D, 1, K].

        Where H or W is no multiple of the patch, the picture is filled up with gray on the right and below.
        """
        low, right = (-size % self.patch for size in x.shape[2:])
        cells = self.enter(F.pad(ops.picture(x), (0, right, 0, low)))  # [B, D, h, w]
        grid = cells.shape[2:]
        tokens = cells.flatten(2).transpose(1, 2)
        tokens = tokens + positions(grid, tokens.shape[2]).to(tokens)
        if visible is not None:
            tokens = tokens.gather(1, visible[..., None].expand(-1, -1, tokens.shape[2]))
            grid = (1, visible.shape[1])
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return Features(tokens.mean(1), (tokens.transpose(1, 2).unflatten(2, grid),))
