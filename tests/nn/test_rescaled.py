"""Data-dependent initialization: both rules against slow literal versions, and what they must leave alone."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn

from avssl import encoders
from avssl.config import EncoderConfig, EncodersConfig
from avssl.encoders import Features
from avssl.nn import rescaled


class Chain(nn.Module):
    """A homogeneous network: convolutions and ReLU, one linear layer on the mean."""

    def __init__(self, planes):
        super().__init__()
        widths = [3, *planes]
        self.convolutions = nn.ModuleList(nn.Conv2d(*pair, 3) for pair in itertools.pairwise(widths))
        self.top = nn.Linear(planes[-1], 6)

    def forward(self, x):
        for layer in self.convolutions:
            x = F.relu(layer(x))
        return Features(self.top(x.mean((2, 3))))


def chain(planes=(8, 12)):
    torch.manual_seed(0)
    net = Chain(planes)
    with torch.no_grad():
        for layer in net.convolutions:
            layer.weight.mul_(3.0)
    return net


def sample(count=20, side=12):
    return torch.rand(count, 3, side, side, generator=Generator().manual_seed(1))


def spoken(net, x):
    """What each layer says before its ReLU, first to last."""
    said = []
    for layer in net.convolutions:
        said.append(F.conv2d(x, layer.weight, layer.bias))
        x = said[-1].clamp_min(0)
    said.append(x.mean((2, 3)) @ net.top.weight.T + net.top.bias)
    return said


@pytest.mark.parametrize("planes", [(4,), (8, 12), (16, 8, 8)])
def test_every_channel_has_mean_0_and_deviation_1_on_the_sample(planes):
    net, x = chain(planes), sample()
    wild = max(abs(rows.mean().item()) for rows in spoken(net, x))
    assert wild > 0.1
    rescaled.within(net, (x,))
    for out in spoken(net, x):
        for channel in out.detach().double().transpose(0, 1).flatten(1).tolist():
            mean = sum(channel) / len(channel)
            assert mean == pytest.approx(0, abs=1e-5)
            assert math.sqrt(sum((v - mean) ** 2 for v in channel) / len(channel)) == pytest.approx(1, abs=1e-4)


def test_the_weights_are_those_of_the_rule_applied_layer_by_layer():
    """Weights over the channel's deviation, bias minus the mean over it; then the next layer, on what that gives."""
    net, x = chain(), sample()
    slow = copy.deepcopy(net)
    with torch.no_grad():
        for index, layer in enumerate([*slow.convolutions, slow.top]):
            out = spoken(slow, x)[index]
            for channel in range(out.shape[1]):
                mean, deviation = out[:, channel].mean(), out[:, channel].std(correction=0)
                layer.weight[channel] /= deviation
                layer.bias[channel] = (layer.bias[channel] - mean) / deviation
    rescaled.within(net, (x,))
    for key, value in slow.state_dict().items():
        torch.testing.assert_close(net.state_dict()[key], value, atol=1e-4, rtol=1e-3, msg=key)


def literal_rates(net, x, seed):
    """Gradient over weight of each layer, one picture after the other."""
    layers = [*net.convolutions, net.top]
    noise = torch.cat([torch.randn(len(part), 6, generator=g) for g in [Generator().manual_seed(seed)]
                       for part in x.split(rescaled.ROWS)])  # fmt: skip
    sums = [torch.zeros_like(layer.weight) for layer in layers]
    for row, wanted in zip(x, noise, strict=True):
        found = torch.autograd.grad((net(row[None]).vector * wanted).sum(), [layer.weight for layer in layers])
        for total, one in zip(sums, found, strict=True):
            total += one
    return [
        math.sqrt(total.square().mean()) / math.sqrt(layer.weight.detach().square().mean())
        for total, layer in zip(sums, layers, strict=True)
    ]


def test_layers_learn_at_one_rate_and_say_what_they_said():
    net, x = chain((8, 24, 6)), sample()
    layers = rescaled.within(net, (x,))
    assert layers == [*net.convolutions, net.top]
    before, said = literal_rates(net, x, 3), net(x).vector
    assert max(before) / min(before) > 1.2
    assert rescaled.between(net, (x,), layers, 3) < 0.01
    after = literal_rates(net, x, 3)
    assert max(after) / min(after) < 1.01
    again = net(x).vector
    torch.testing.assert_close(again, said, atol=1e-3, rtol=1e-3)
    assert torch.equal(again.argmax(1), said.argmax(1))
    assert all(abs(out.mean().item()) < 1e-4 for out in spoken(net, x))


def tower(modality, **more):
    torch.manual_seed(0)
    specs = EncodersConfig(**{modality: EncoderConfig(width=32, **more)})
    return encoders.build(specs, [modality], mels=16, tokens=6, vocabulary=64)[modality]


@pytest.mark.parametrize("norm", ["group", "batch", "place"])
def test_behind_a_norm_its_own_scale_and_shift_do_it(norm):
    net = tower("image", norm=norm)
    x = torch.randint(0, 256, (24, 3, 32, 32), dtype=torch.uint8, generator=Generator().manual_seed(2))
    buffers = {name: value.clone() for name, value in net.named_buffers()}
    layers = rescaled.within(net, (x,))
    assert all(torch.equal(value, buffers[name]) for name, value in net.named_buffers()), "running means are left alone"
    heard = []
    for block in net.trunk:
        block[-2].register_forward_hook(lambda module, given, out: heard.append(out.detach().clone()))
    net(x)
    assert len(heard) == 4
    for out in heard:
        rows = out.transpose(0, 1).flatten(1)
        torch.testing.assert_close(rows.mean(1), torch.zeros(len(rows)), atol=1e-4, rtol=0)
        torch.testing.assert_close(rows.std(1), torch.ones(len(rows)), atol=1e-2, rtol=0)
    assert rescaled.between(net, (x,), layers, 0) < 0.01


def test_networks_that_are_not_homogeneous_come_nearer():
    net = tower("image", name="vit", layers=2)
    x = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8, generator=Generator().manual_seed(2))
    layers = rescaled.within(net, (x,))
    rates = rescaled.rates(net, (x,), layers, 0)
    assert rescaled.between(net, (x,), layers, 0) < 0.5 * (rates.max() / rates.min() - 1)


def test_what_is_frozen_silent_or_unheard_stays():
    net, x = chain((8, 12)), sample()
    net.convolutions[0].requires_grad_(False)
    with torch.no_grad():
        net.convolutions[1].weight[3] = 0
        net.convolutions[1].bias[3] = 0
    net.never = nn.Linear(4, 4)
    before = copy.deepcopy(net.state_dict())
    layers = rescaled.within(net, (x,))
    assert layers == [net.convolutions[1], net.top]
    rescaled.between(net, (x,), layers, 0)
    after = net.state_dict()
    kept = [key for key in before if key.startswith(("never", "convolutions.0"))]
    assert all(torch.equal(before[key], after[key]) for key in kept)
    assert after["convolutions.1.weight"][3].abs().sum() == 0
    assert all(value.isfinite().all() for value in after.values())
    assert not torch.equal(before["top.weight"], after["top.weight"])


def test_a_layer_of_zeros_beside_others_is_no_hindrance():
    net = tower("video")
    x = torch.randint(0, 256, (12, 4, 3, 32, 32), dtype=torch.uint8, generator=Generator().manual_seed(2))
    layers = rescaled.within(net, (x,))
    assert rescaled.between(net, (x,), layers, 0) < 0.01
    assert not net.mix.weight.any()
