"""AVOL-Net: the loss against loops and a reference number, its limits, and who is a negative."""

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


def loss(places, sounds, recording):
    """The method's loss where places [B, D, h, w] and sounds [B + X, D] are known."""
    method = tiny.run("avol_net").method()
    method.joint = lambda batch: (places, sounds, recording)
    return method({}).loss


def literal(places, sounds, recording):
    """One pair at a time: the greatest logistic of a place, its cross-entropy, both classes the same weight."""
    count = len(places)

    def logit(i, j):
        flat = places[i].flatten(1).T.tolist()
        return max(10 * sum(p * q for p, q in zip(place, sounds[j].tolist(), strict=True)) - 5 for place in flat)

    right = [-math.log(1 / (1 + math.exp(-logit(i, i)))) for i in range(count)]
    wrong = []
    for i in range(count):
        others = [(i + 1) % count] if recording[i] != recording[(i + 1) % count] else []
        wrong += [-math.log(1 - 1 / (1 + math.exp(-logit(i, j)))) for j in [*others, *range(count, len(sounds))]]
    return 0.5 * sum(right) / count + 0.5 * (sum(wrong) / len(wrong) if wrong else 0.0)


@pytest.mark.parametrize(("batch", "extra", "width"), [(2, 0, 3), (3, 2, 5), (5, 1, 4)])
@pytest.mark.parametrize("shared", [False, True])
def test_the_loss_is_its_formula(batch, extra, width, shared):
    places, sounds = unit_vectors(batch, width, 2, 3, dim=1), unit_vectors(batch + extra, width, seed=1)
    recording = torch.arange(batch)
    if shared:
        recording[1] = recording[0]
    assert loss(places, sounds, recording).item() == pytest.approx(
        literal(places, sounds, recording.tolist()), rel=1e-4
    )


def test_the_loss_is_the_reference_librarys():
    """Computed once in float64 with numpy:

    p = np.sin(np.arange(36) * 1.3).reshape(3, 3, 2, 2); p /= np.linalg.norm(p, axis=1, keepdims=True)
    s = np.cos(np.arange(9) * 0.7).reshape(3, 3); s /= np.linalg.norm(s, axis=1, keepdims=True)
    b = 10 * np.einsum("idyx,jd->ijyx", p, s).max((2, 3)) - 5
    np.mean([np.log1p(np.exp(-b[i, i])) + np.log1p(np.exp(b[i, (i + 1) % 3])) for i in range(3)]) / 2
    """
    assert loss(*waves(), torch.arange(3)).item() == pytest.approx(2.199678350393975, rel=1e-4)


def test_separation_costs_less_than_collapse():
    one, apart = torch.ones(4, 4) / 2, torch.eye(4)

    def everywhere(x):
        return x[:, :, None, None].expand(4, 4, 2, 2)

    recording = torch.arange(4)
    assert loss(everywhere(one), one, recording).item() == pytest.approx(0.5 * (5 + 2 * math.log(1 + math.exp(-5))))
    assert loss(everywhere(apart), apart, recording).item() == pytest.approx(math.log(1 + math.exp(-5)), rel=1e-4)


def test_one_place_that_fits_is_enough():
    """The bag of places is positive by its best one: the others may show anything."""
    places, sounds = -torch.eye(2)[:, :, None, None].repeat(1, 1, 3, 3), torch.eye(2)
    before = loss(places, sounds, torch.arange(2))
    places[0, :, 1, 1], places[1, :, 2, 0] = sounds[0], sounds[1]
    after = loss(places, sounds, torch.arange(2))
    assert after < before - 3
    assert after.item() == pytest.approx(math.log(1 + math.exp(-5)), rel=1e-4)
