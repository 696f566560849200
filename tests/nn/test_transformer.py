"""Blocks equal torch's own; norms under names are apart; positions tell cells apart."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from avssl.nn.transformer import Block, positions


@pytest.mark.parametrize(("width", "heads"), [(64, 2), (32, 1), (16, 1)])
def test_a_block_is_torchs_encoder_layer(width, heads):
    block = Block(width)
    torchs = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
    theirs = dict(torchs.named_parameters())
    pairs = {
        "ask.weight": "self_attn.in_proj_weight", "ask.bias": "self_attn.in_proj_bias",
        "join.weight": "self_attn.out_proj.weight", "join.bias": "self_attn.out_proj.bias",
        "feed.0.weight": "linear1.weight", "feed.0.bias": "linear1.bias", "feed.2.weight": "linear2.weight",
        "feed.2.bias": "linear2.bias", "before.main.weight": "norm1.weight", "before.main.bias": "norm1.bias",
        "between.main.weight": "norm2.weight", "between.main.bias": "norm2.bias",
    }  # fmt: skip
    assert {key for key, _ in block.named_parameters()} == set(pairs)
    with torch.no_grad():
        for key, parameter in block.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
            theirs[pairs[key]].copy_(parameter)
    x = torch.randn(3, 7, width)
    torch.testing.assert_close(block(x), torchs(x), atol=1e-5, rtol=1e-4)


def test_norms_under_names_are_apart():
    block = Block(16, ("a", "b"))
    x = torch.randn(2, 3, 16)
    assert torch.equal(block(x, "a"), block(x, "b"))
    nn.init.zeros_(block.before["b"].weight)
    assert not torch.equal(block(x, "a"), block(x, "b"))


@pytest.mark.parametrize("grid", [(5,), (3, 4), (50, 1)])
def test_positions_are_sines_and_tell_cells_apart(grid):
    told = positions(grid, 13)
    assert told.shape == (math.prod(grid), 13)
    far = torch.cdist(told, told) + 10 * torch.eye(len(told))
    assert far.min() > 0.01
    share = 13 // len(grid) // 2
    last = told[1]  # the second cell: one step along the last axis that has any
    axis = len(grid) - 1 if grid[-1] > 1 else 0
    start = axis * 2 * share
    for k in range(share):
        assert last[start + k] == pytest.approx(math.sin(10000 ** (-k / share)), abs=1e-5)
        assert last[start + share + k] == pytest.approx(math.cos(10000 ** (-k / share)), abs=1e-5)
