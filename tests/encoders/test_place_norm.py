"""PlaceNorm: what a place knows stays inside its receptive field; GroupNorm tells it of the whole picture."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, nn

from avssl.config import EncoderConfig
from avssl.encoders.image import PlaceNorm, SmallImage
from avssl.encoders.video import SmallVideo


@pytest.mark.parametrize("size", [(1, 1, 1, 1), (2, 5, 3, 4)])
def test_each_place_is_normalized_over_its_channels(size):
    norm, x = PlaceNorm(size[1]), torch.randn(size, generator=Generator().manual_seed(0))
    torch.manual_seed(0)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    found = norm(x)
    for b in range(size[0]):
        for row in range(size[2]):
            for column in range(size[3]):
                cell = x[b, :, row, column].tolist()
                mean = sum(cell) / len(cell)
                spread = math.sqrt(sum((value - mean) ** 2 for value in cell) / len(cell) + 1e-3)
                expected = [
                    (value - mean) / spread * scale + shift
                    for value, scale, shift in zip(cell, norm.weight.tolist(), norm.bias.tolist(), strict=True)
                ]
                assert found[b, :, row, column].tolist() == pytest.approx(expected, abs=1e-5)


def moved(encoder, first, second):
    """[h, w], how much each cell's features differ."""
    difference = (encoder(second).maps[-1] - encoder(first).maps[-1]).abs()
    return difference.movedim((-2, -1), (0, 1)).flatten(2).amax(2)


@pytest.mark.parametrize("kind", ["image", "video"])
@pytest.mark.parametrize("stride", [4, 8])
@torch.no_grad()
def test_only_with_norm_place_a_far_corner_changes_nothing(kind, stride):
    shape = (1, 3, 96, 96) if kind == "image" else (1, 4, 3, 96, 96)
    first = torch.randint(256, shape, generator=Generator().manual_seed(0), dtype=torch.uint8)
    second = first.clone()
    second[..., :8, :8] = 255 - second[..., :8, :8]
    # a cell sees 2 + 1 * 2 + 1 * 4 + 1 * (4 or 8) pixels to each side of its center: 16 at most
    reach = (8 + 16) // stride + 1
    for norm in ("place", "group"):
        torch.manual_seed(0)
        encoder = {"image": SmallImage, "video": SmallVideo}[kind](
            EncoderConfig(width=32, stride=stride, norm=norm, time_stride=2)
        ).eval()
        change = moved(encoder, first, second)
        assert change[0, 0] > 1e-2, "the corner itself sees it"
        far = torch.cat([change[reach:].flatten(), change[:reach, reach:].flatten()])
        if norm == "place":
            assert far.max() < 1e-5
        else:
            assert (far > 1e-5).float().mean() > 0.9
