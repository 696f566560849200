"""Luminance in whole numbers is luminance, for bright pixels too."""

from __future__ import annotations

import torch

from avssl.encoders.video import gray


def test_every_gray_is_itself() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 256, 1).expand(1, 3, 256, 1)
    assert torch.allclose(gray(levels).flatten(), torch.arange(256) / 127.5 - 1, atol=1e-6)


def test_whole_numbers_agree_with_floats() -> None:
    x = torch.randint(0, 256, (2, 3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    # the weights are rounded to 1/256 and the sum is cut: at most 1.5 of 255
    assert (gray(x) - gray(x.float() / 255)).abs().max() < 1.5 / 127.5
