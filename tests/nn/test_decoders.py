"""Decoders: sizes, the layer across places against a literal one, PSNR against a formula."""

from __future__ import annotations

import math

import pytest
import torch

from avssl.config import EncoderConfig
from avssl.encoders.image import ResNet18Image, SmallImage
from avssl.nn.decoders import Across, Decoder, psnr, shape_of


@pytest.mark.parametrize("size", [(32, 32), (36, 50), (17, 24)])
@pytest.mark.parametrize("stride", [4, 8, 16])
def test_decodes_to_the_size_wanted(size, stride):
    encoder = SmallImage(EncoderConfig(width=32, stride=stride)).train()
    shape = shape_of(encoder, *size)
    assert encoder.training
    assert shape == tuple(encoder(torch.zeros(1, 3, *size)).maps[-1].shape[1:])
    made = Decoder(shape, 5, size, 16)(torch.randn(2, *shape))
    assert made.shape == (2, 5, *size)


def test_trying_an_encoder_leaves_its_statistics():
    encoder = ResNet18Image(EncoderConfig(width=512, norm="batch")).train()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    assert shape_of(encoder, 32, 32) == (512, 2, 2)
    assert all(torch.equal(before[key], value) for key, value in encoder.state_dict().items())


def test_each_plane_is_spread_over_all_places_and_planes_are_mixed_after():
    layer = Across((2, 2, 3))
    x = torch.randn(2, 2, 2, 3)
    made, flat, mixing = layer(x).detach(), x.flatten(2), layer.mix.weight.detach()[..., 0, 0]
    weight = layer.weight.detach()
    for b in range(2):
        spread = [
            [max(0.0, sum(float(flat[b, d, p] * weight[d, p, q]) for p in range(6))) for q in range(6)]
            for d in range(2)
        ]
        for d in range(2):
            for q in range(6):
                wanted = layer.mix.bias[d].item() + sum(float(mixing[d, e]) * spread[e][q] for e in (0, 1))
                assert made.flatten(2)[b, d, q].item() == pytest.approx(max(0.0, wanted), abs=1e-5)


def test_psnr_in_decibels():
    """For these two pictures kornia 0.9's kornia.metrics.psnr(made[:1], wanted[:1], 1.) is 20 and 40."""
    wanted = torch.rand(2, 3, 4, 4) * 0.5
    offset = torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    assert psnr(wanted + offset, wanted).item() == pytest.approx(30, abs=1e-3)
    assert psnr(wanted[:1] + 0.2, wanted[:1]).item() == pytest.approx(-20 * math.log10(0.2), abs=1e-3)
    assert psnr(wanted, wanted).item() == pytest.approx(100)
