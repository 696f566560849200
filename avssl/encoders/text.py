"""Text encoder: tokens int64 [B, L], padded with -1 -> Features with a map [B, D, L]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avssl.encoders import Features, Spec
from avssl.nn.attention import quick


class TextTransformer(nn.Module):
    """A small pre-norm transformer (Vaswani et al., 2017); the vector is the mean over real tokens.

    A text without a token gives the learned ``empty`` vector, so that missing narration is finite.
    """

    def __init__(self, spec: Spec, tokens: int, vocabulary: int):
        super().__init__()
        if vocabulary < 1:
            raise ValueError("a text encoder needs narration: none of the training recordings has any")
        width = spec.width
        self.embed = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.zeros(tokens, width))
        self.empty = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.embed.weight, std=0.3)
        nn.init.normal_(self.position, std=0.02)
        nn.init.normal_(self.empty, std=0.02)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, max(1, width // 32), width * 2, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(spec.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Features:
        """tokens [B, L] -> vector [B, D], map [B, D, L] (zero where padded)."""
        real = tokens >= 0  # [B, L]
        x = self.embed(tokens.clamp_min(0)) + self.position[: tokens.shape[1]]
        # a text of padding alone attends to its first place: attention over nothing is not a number
        hidden = ~real
        hidden = torch.cat([hidden[:, :1] & real.any(1, keepdim=True), hidden[:, 1:]], 1)
        with quick(x):
            for block in self.blocks:
                x = block(x, src_key_padding_mask=hidden)
        x = self.norm(x) * real[..., None]
        count = real.sum(1, keepdim=True)
        vector = torch.where(count > 0, x.sum(1) / count.clamp_min(1), self.empty)
        return Features(vector, (x.transpose(1, 2),))


ENCODERS = {"transformer": TextTransformer}
