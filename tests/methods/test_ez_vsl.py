"""EZ-VSL: the loss against loops and a reference number, limits, who is a negative, and what moves."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl import ops


def unit_vectors(*shape, seed=0, dim=-1):
    return ops.unit(torch.randn(*shape, generator=Generator().manual_seed(seed)), dim)


def loss(places, sounds, recording, temperature=0.03):
    """The method's loss where places [B, D, h, w] and sounds [B + X, D] are known."""
    method = tiny.run("ez_vsl", f"method.temperature={temperature}").method()
    method.joint = lambda batch: (places, sounds, recording)
    return method({}).loss


def literal(places, sounds, recording, temperature):
    """Maxima by search; sums one exponential at a time; both directions."""
    count, rows, columns = len(places), places.shape[2], places.shape[3]

    def best(i, j):
        found = -2.0
        for y in range(rows):
            for x in range(columns):
                place = places[i, :, y, x].tolist()
                found = max(found, sum(p * q for p, q in zip(place, sounds[j].tolist(), strict=True)))
        return found / temperature

    def rival(i, j):
        return i == j or j >= count or recording[i] != recording[j]

    total = 0.0
    for i in range(count):
        across = sum(math.exp(best(i, j)) for j in range(len(sounds)) if rival(i, j))
        down = sum(math.exp(best(j, i)) for j in range(count) if rival(j, i))
        total -= 2 * best(i, i) - math.log(across) - math.log(down)
    return total / (2 * count)


@pytest.mark.parametrize(("batch", "extra", "width"), [(2, 0, 3), (3, 2, 5), (5, 1, 4)])
@pytest.mark.parametrize("temperature", [0.03, 0.5])
def test_the_loss_is_its_formula(batch, extra, width, temperature):
    places, sounds = unit_vectors(batch, width, 2, 3, dim=1), unit_vectors(batch + extra, width, seed=1)
    recording = torch.arange(batch).clamp(max=2)
    expected = literal(places, sounds, recording.tolist(), temperature)
    assert loss(places, sounds, recording, temperature).item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_loss_is_the_reference_librarys():
    """Computed once in float64 with numpy and scipy:

    p = np.sin(np.arange(36) * 1.3).reshape(3, 3, 2, 2); p /= np.linalg.norm(p, axis=1, keepdims=True)
    s = np.cos(np.arange(9) * 0.7).reshape(3, 3); s /= np.linalg.norm(s, axis=1, keepdims=True)
    z = np.einsum("idyx,jd->ijyx", p, s).max((2, 3)) / 0.1
    -(np.diag(log_softmax(z, 1)) + np.diag(log_softmax(z, 0))).mean() / 2
    """
    places = ops.unit((torch.arange(36) * 1.3).sin().reshape(3, 3, 2, 2), 1)
    sounds = ops.unit((torch.arange(9) * 0.7).cos().reshape(3, 3))
    assert loss(places, sounds, torch.arange(3), 0.1).item() == pytest.approx(1.2184509958664433, rel=1e-4)


def test_collapse_costs_the_logarithm_of_the_batch_and_separation_nothing():
    one = torch.ones(4, 4) / 2
    assert loss(one[:, :, None, None].expand(4, 4, 2, 2), one, torch.arange(4)).item() == pytest.approx(math.log(4))
    apart = torch.eye(4)
    assert loss(apart[:, :, None, None].expand(4, 4, 2, 2), apart, torch.arange(4)).item() < 1e-6


def test_only_the_best_place_learns():
    places = unit_vectors(3, 4, 2, 2, dim=1).requires_grad_()
    sounds = unit_vectors(3, 4, seed=1)
    loss(places, sounds[:1].expand(3, 4), torch.arange(3)).backward()
    moved = places.grad.abs().sum(1).flatten(1) > 0
    best = torch.einsum("bdyx,d->byx", places.detach(), sounds[0]).flatten(1).argmax(1)
    assert torch.equal(moved.nonzero()[:, 1], best)


def test_turning_the_batch_around_changes_nothing():
    run = tiny.run("ez_vsl")
    method, batch = run.method(), run.batch()
    turned = {key: value.roll(3, 0) for key, value in batch.items()}
    torch.testing.assert_close(method(batch).loss, method(turned).loss, atol=1e-5, rtol=1e-4)
