"""Low-rank adapters: the formula, a number of a reference library, what is trained, what is left alone."""

from __future__ import annotations

import itertools

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from avssl.nn import lora


def net(*sizes: int) -> nn.Module:
    module = nn.Module()
    module.blocks = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
    module.forward = lambda x: nn.Sequential(*module.blocks)(x)
    return module


@pytest.mark.parametrize("rank", [1, 2, 5])
@pytest.mark.parametrize(("into", "out"), [(1, 1), (3, 2), (4, 7)])
def test_the_weight_and_a_scaled_product(rank, into, out):
    module = net(into, out)
    layer = module.blocks[0]
    weight, bias, x = layer.weight.detach().clone(), layer.bias.detach().clone(), torch.randn(3, into)
    before = module(x)
    assert lora.adapt(module, rank) == 1
    assert torch.equal(module(x), before), "B is zero"
    small = layer.parametrizations.weight[0]
    assert small.down.shape == (rank, into)
    assert small.down.abs().max() <= into**-0.5
    with torch.no_grad():
        small.up.normal_()
    slow = torch.zeros(3, out)
    for row in range(3):
        for o in range(out):
            total = bias[o].item()
            for i in range(into):
                product = sum(small.up[o, r].item() * small.down[r, i].item() for r in range(rank))
                total += (weight[o, i].item() + 2.0 * product) * x[row, i].item()
            slow[row, o] = total
    torch.testing.assert_close(module(x).detach(), slow, atol=1e-4, rtol=1e-4)


def test_as_peft_computes_it():
    """peft 0.21.2: LoraConfig(r=2, lora_alpha=4, target_modules=["blocks.0"]) on nn.Linear(3, 2), with these weights
    in the layer, ``lora_A["default"].weight`` and ``lora_B["default"].weight``."""
    module = net(3, 2)
    layer = module.blocks[0]
    with torch.no_grad():
        layer.weight.copy_(torch.arange(6.0).reshape(2, 3) / 10)
        layer.bias.copy_(torch.tensor([0.5, -0.5]))
    lora.adapt(module, 2)
    small = layer.parametrizations.weight[0]
    with torch.no_grad():
        small.down.copy_(torch.arange(6.0).reshape(2, 3) / 7 - 0.3)
        small.up.copy_(torch.tensor([[0.2, -0.1], [0.4, 0.3]]))
    found = module(torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]]))
    expected = torch.tensor([[0.2085714340, -0.2257142663], [0.7614285946, 1.7800000906]])
    torch.testing.assert_close(found.detach(), expected)


def test_only_the_products_are_trained_and_they_learn():
    module = net(6, 8, 4)
    assert lora.adapt(module, 2) == 2
    trained = {key for key, value in module.named_parameters() if value.requires_grad}
    assert {key.rsplit(".", 1)[1] for key in trained} == {"down", "up"}
    assert len(trained) == 4
    before = {key: value.clone() for key, value in module.state_dict().items() if "original" in key}
    x, wanted = torch.randn(16, 6), torch.randn(16, 4)
    optimizer = torch.optim.Adam([value for value in module.parameters() if value.requires_grad], 0.05)
    losses = []
    for _ in range(40):
        loss = (module(x) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] * 0.8
    assert all(torch.equal(module.state_dict()[key], value) for key, value in before.items())


def test_weights_go_through_safetensors():
    module, other = net(3, 3, 3), net(3, 3, 3)
    for one in (module, other):
        lora.adapt(one, 1)
    with torch.no_grad():
        module.blocks[1].parametrizations.weight[0].up.normal_()
    other.load_state_dict(load(save(module.state_dict())))
    x = torch.randn(2, 3)
    assert torch.equal(module(x), other(x))


def test_layers_outside_blocks_and_of_other_kinds_are_left_alone():
    module = net(8, 8)
    module.head = nn.Linear(8, 2)
    module.blocks.append(nn.MultiheadAttention(8, 2))
    assert lora.adapt(module, 1) == 1, "attention hands its output layer's weight to a function of its own kind"
    assert not any(value.requires_grad for value in module.head.parameters())


@pytest.mark.parametrize(("module", "rank", "why"), [(nn.Linear(2, 2), 1, "no linear layer in blocks"),
                                                     (net(2, 2), 0, "lora is 0")])  # fmt: skip
def test_what_cannot_be_adapted_is_told(module, rank, why):
    with pytest.raises(ValueError, match=why):
        lora.adapt(module, rank)
