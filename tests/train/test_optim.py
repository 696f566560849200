"""Optimizers and the schedule, against literal formulas; their memory round trip."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from avssl.config import EncoderConfig, OptimConfig
from avssl.train import optim


def test_lars_against_the_formula() -> None:
    """Three steps written out for a matrix that adapts and a bias that does not (You, Gitman, Ginsburg, 2017)."""
    torch.manual_seed(0)
    w, b = nn.Parameter(torch.randn(3, 4, dtype=torch.float64)), nn.Parameter(torch.randn(4, dtype=torch.float64))
    cfg = OptimConfig(name="lars", lr=0.5, momentum=0.9, weight_decay=0.1)
    (optimizer,) = optim.build(cfg, {"main": [w, b]}).values()
    x, z = w.detach().clone(), b.detach().clone()
    vx, vz = torch.zeros_like(x), torch.zeros_like(z)
    for step in range(3):
        lr = 0.5 / (step + 1)
        gw, gb = torch.randn_like(x), torch.randn_like(z)
        w.grad, b.grad = gw.clone(), gb.clone()
        optim.set_lr(optimizer, lr)
        optimizer.step()
        rate = 0.001 * math.sqrt((x**2).sum()) / (math.sqrt((gw**2).sum()) + 0.1 * math.sqrt((x**2).sum()))
        vx = 0.9 * vx + lr * rate * (gw + 0.1 * x)
        vz = 0.9 * vz + lr * gb
        x, z = x - vx, z - vz
    assert torch.allclose(w, x, atol=1e-12)
    assert torch.allclose(b, z, atol=1e-12)


def test_lars_at_zero_weights_takes_the_plain_step() -> None:
    w = nn.Parameter(torch.zeros(2, 2))
    (optimizer,) = optim.build(OptimConfig(name="lars", lr=0.5, momentum=0.0), {"main": [w]}).values()
    w.grad = torch.ones(2, 2)
    optimizer.step()
    assert torch.equal(w, torch.full((2, 2), -0.5))


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_only_matrices_are_decayed(name: str) -> None:
    layers = nn.Sequential(nn.Linear(3, 3), nn.GroupNorm(1, 3))
    cfg = OptimConfig(name=name, weight_decay=0.3)  # type: ignore[arg-type]
    (optimizer,) = optim.build(cfg, {"main": list(layers.parameters())}).values()
    decayed = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {key: decayed[id(p)] for key, p in layers.named_parameters()} == {
        "0.weight": 0.3, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_a_tower_moves_at_its_share_of_the_rate(name: str) -> None:
    """A first step goes as far as the learning rate; a tower at a quarter goes a quarter of it, its biases too."""
    torch.manual_seed(0)
    towers = nn.ModuleDict({"first": nn.Linear(3, 3), "second": nn.Linear(3, 3)})
    towers["second"].load_state_dict(towers["first"].state_dict())
    before = {key: value.clone() for key, value in towers["first"].state_dict().items()}
    named = {"first": ("video", EncoderConfig()), "second": ("text", EncoderConfig(rate=0.25))}
    cfg = OptimConfig(name=name)  # type: ignore[arg-type]
    parameters = list(towers.parameters())
    (optimizer,) = optim.build(cfg, {"main": parameters}, optim.rates_of(named, towers)).values()
    optim.set_lr(optimizer, 0.01)
    x = torch.randn(4, 3)
    sum(tower(x).square().mean() for tower in towers.values()).backward()
    optimizer.step()
    for key, value in before.items():
        whole, quarter = (towers[tower].state_dict()[key] - value for tower in ("first", "second"))
        assert whole.abs().max() > 1e-6
        assert torch.allclose(quarter, 0.25 * whole, rtol=1e-2, atol=1e-7), key


def test_schedule() -> None:
    lr = [optim.schedule(step, 100, 0.1) for step in range(100)]
    assert lr[:10] == pytest.approx([(k + 1) / 11 for k in range(10)])
    assert lr[10] == 1.0
    assert lr[55] == pytest.approx(0.5)
    assert lr[10:] == sorted(lr[10:], reverse=True)
    assert 0 < lr[-1] < 0.001
    assert optim.schedule(0, 1, 0.0) == 1.0


def test_a_turn_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no turn critic; this method has main"):
        optim.build(OptimConfig(turn_lr={"critic": 2.0}), {"main": [nn.Parameter(torch.ones(1))]})


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_memory_round_trip_keeps_the_layout(name: str) -> None:
    """With channels last, moments that came from a file are applied to the weights they belong to."""

    def made() -> tuple[nn.Module, dict[str, torch.optim.Optimizer]]:
        torch.manual_seed(0)
        layer = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(1, 4)).to(memory_format=torch.channels_last)
        return layer, optim.build(OptimConfig(name=name, lr=0.1), {"main": list(layer.parameters())})  # type: ignore[arg-type]

    def step(layer: nn.Module, optimizers: dict[str, torch.optim.Optimizer], seed: int) -> None:
        torch.manual_seed(seed)
        layer.zero_grad()
        layer(torch.randn(2, 3, 8, 8)).square().mean().backward()
        optimizers["main"].step()

    one, its = made()
    other, others = made()
    step(one, its, 1)
    stored = optim.flatten(one, its)
    assert all("/" in key for key in stored)
    other.load_state_dict(one.state_dict())
    optim.restore(other, others, stored)
    step(one, its, 2)
    step(other, others, 2)
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key
