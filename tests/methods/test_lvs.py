"""LVS: the tri-map's loss against loops and a reference number, its limits, and what each region is pushed to."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl import ops


def unit_vectors(*shape, seed=0, dim=-1):
    return ops.unit(torch.randn(*shape, generator=Generator().manual_seed(seed)), dim)


def waves():
    """The vectors of the reference snippet below: places [3, 3, 2, 2], sounds [3, 3]."""
    places = ops.unit((torch.arange(36) * 1.3).sin().reshape(3, 3, 2, 2), 1)
    return places, ops.unit((torch.arange(9) * 0.7).cos().reshape(3, 3))


def loss(places, sounds, recording, *words):
    """The method's loss where places [B, D, h, w] and sounds [B + X, D] are known."""
    method = tiny.run("lvs", *words).method()
    method.joint = lambda batch: (places, sounds, recording)
    return method({})


def literal(places, sounds, recording, bounds, softness, temperature):
    """Masks place by place, means by loops, one row of candidates at a time."""
    count = len(places)

    def inside(s, bound):
        return 1 / (1 + math.exp(-(s - bound) / softness))

    def cosines(i, j):
        flat = places[i].flatten(1).T.tolist()
        return [sum(p * q for p, q in zip(place, sounds[j].tolist(), strict=True)) for place in flat]

    def region(i, j):
        weights = [inside(s, bounds[0]) for s in cosines(i, j)]
        return sum(w * s for w, s in zip(weights, cosines(i, j), strict=True)) / sum(weights)

    total = 0.0
    for i in range(count):
        weights = [1 - inside(s, bounds[1]) for s in cosines(i, i)]
        hard = sum(w * s for w, s in zip(weights, cosines(i, i), strict=True)) / sum(weights)
        rivals = [region(i, j) for j in range(len(sounds)) if j >= count or recording[i] != recording[j]]
        total += math.log(sum(math.exp((x - region(i, i)) / temperature) for x in [region(i, i), *rivals, hard]))
    return total / count


@pytest.mark.parametrize(("batch", "extra", "width"), [(2, 0, 3), (3, 2, 5), (5, 1, 4)])
@pytest.mark.parametrize("values", [(0.65, 0.4, 0.1, 0.07), (0.1, -0.3, 0.5, 0.3)])
def test_the_loss_is_its_formula(batch, extra, width, values):
    places, sounds = unit_vectors(batch, width, 2, 3, dim=1), unit_vectors(batch + extra, width, seed=1)
    recording = torch.arange(batch).clamp(max=2)
    names = ("sounding", "background", "softness", "temperature")
    words = [f"method.{name}={value}" for name, value in zip(names, values, strict=True)]
    expected = literal(places, sounds, recording.tolist(), values[:2], *values[2:])
    assert loss(places, sounds, recording, *words).loss.item() == pytest.approx(expected, rel=1e-3)


def test_the_loss_is_the_reference_librarys():
    """Computed once in float64 with numpy and scipy, c the cosines [3, 3, 4] of the vectors of waves():

    w = expit((c - 0.2) / 0.1); r = (w * c).sum(2) / w.sum(2)
    v = 1 - expit((c + 0.1) / 0.1); h = [(v[i, i] * c[i, i]).sum() / v[i, i].sum() for i in range(3)]
    rows = [[r[i, i], *[r[i, j] for j in range(3) if j != i], h[i]] for i in range(3)]
    -np.mean([log_softmax(np.array(row) / 0.2)[0] for row in rows])
    """
    words = ("method.sounding=0.2", "method.background=-0.1", "method.softness=0.1", "method.temperature=0.2")
    assert loss(*waves(), torch.arange(3), *words).loss.item() == pytest.approx(0.9168460723315318, rel=1e-4)


def test_far_from_its_bounds_everything_stays_a_number_and_learns():
    places = (-torch.eye(4))[:, :, None, None].repeat(1, 1, 2, 2).requires_grad_()
    step = loss(places, torch.eye(4), torch.arange(4))
    step.loss.backward()
    assert step.loss.isfinite()
    assert places.grad.isfinite().all()
    assert places.grad.abs().sum() > 0


def test_a_place_that_sounds_beside_dark_ones_costs_nothing_and_the_same_everywhere_costs_the_background():
    sounds = torch.eye(4)
    places = -sounds[:, :, None, None].repeat(1, 1, 2, 2)
    places[:, :, 0, 0] = sounds
    assert loss(places, sounds, torch.arange(4)).loss.item() < 1e-4
    same = sounds[:, :, None, None].repeat(1, 1, 2, 2)
    assert loss(same, sounds, torch.arange(4)).loss.item() == pytest.approx(math.log(2), abs=1e-3)


def test_the_sounding_region_rises_and_the_background_falls():
    places = torch.zeros(2, 3, 1, 2)
    places[0, :, 0, 0], places[0, :, 0, 1] = torch.tensor([0.8, 0.6, 0.0]), torch.tensor([0.1, 0.0, 0.995])
    places[1, :, 0] = torch.tensor([[0.0, 0.0], [1.0, 0.9], [0.0, 0.436]])
    places.requires_grad_()
    loss(places, torch.eye(3)[:2], torch.arange(2)).loss.backward()
    towards_own = -places.grad[0, 0, 0]
    assert towards_own[0] > 0 > towards_own[1]
