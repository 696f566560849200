"""Attention: the loss against loops and a reference number, its limits, and where it looks."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl import ops


def unit_vectors(*shape, seed=0, dim=-1):
    return ops.unit(torch.randn(*shape, generator=Generator().manual_seed(seed)), dim)


def loss(found, sounds, recording):
    """The method's loss where what is found [B, D] and the sounds [B + X, D] are known."""
    method = tiny.run("attention_localizer").method()
    method.sounds = lambda batch: sounds
    method.seen = lambda picture, seeds: found
    method.found = lambda places, own: places
    return method({"picture": None, "recording": recording}).loss


def literal(found, sounds, recording):
    """Softmax of the two distances, squared error against (0, 1), one pair at a time."""
    count, each = len(found), []
    for i in range(count):
        after = (i + 1) % count
        for j in [*([after] if recording[after] != recording[i] else []), *range(count, len(sounds))]:
            own, other = (math.exp(math.dist(found[i].tolist(), sounds[k].tolist())) for k in (i, j))
            each.append((own / (own + other)) ** 2 + (1 - other / (own + other)) ** 2)
    return sum(each) / len(each)


@pytest.mark.parametrize(("batch", "extra", "width"), [(2, 0, 3), (3, 2, 5), (5, 1, 4)])
@pytest.mark.parametrize("shared", [False, True])
def test_the_loss_is_its_formula(batch, extra, width, shared):
    found, sounds = unit_vectors(batch, width), unit_vectors(batch + extra, width, seed=1)
    recording = torch.arange(batch)
    if shared and batch > 2:
        recording[1] = recording[0]
    expected = literal(found, sounds, recording.tolist())
    assert loss(found, sounds, recording).item() == pytest.approx(expected, rel=1e-4)


def test_the_loss_is_the_reference_librarys():
    """Computed once in float64 with numpy and scipy:

    f = np.array([[0.0, 1.0], [1.0, 0.0]]); s = np.array([[0.0, 0.0], [1.5, 0.0]])
    d = [[np.linalg.norm(f[i] - s[i]), np.linalg.norm(f[i] - s[1 - i])] for i in range(2)]
    np.mean([softmax(x)[0] ** 2 + (1 - softmax(x)[1]) ** 2 for x in d])
    """
    found, sounds = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[0.0, 0.0], [1.5, 0.0]])
    assert loss(found, sounds, torch.arange(2)).item() == pytest.approx(0.23828517884214906, rel=1e-5)


def test_what_is_nearer_its_own_sound_costs_less_and_equal_distances_cost_a_half():
    apart, recording = torch.eye(3), torch.arange(3)
    right = loss(apart, apart, recording)
    assert right.item() == pytest.approx(2 / (1 + math.exp(2**0.5)) ** 2, rel=1e-4)
    same = torch.ones(3, 3) / 3**0.5
    assert loss(same, same, recording).item() == pytest.approx(0.5, abs=1e-5)
    assert loss(apart, apart.roll(1, 0), recording) > 0.5 > right


def test_equal_vectors_have_a_gradient():
    vectors = (torch.ones(3, 3) / 3**0.5).requires_grad_()
    loss(vectors, vectors, torch.arange(3)).backward()
    assert vectors.grad.isfinite().all()


@torch.no_grad()
def test_what_is_found_is_the_mean_of_places_weighted_by_attention():
    method = tiny.run("attention_localizer", "method.width=4", "method.sharpness=3").method()
    places, sounds = unit_vectors(2, 4, 2, 3, dim=1), unit_vectors(2, 4, seed=1)
    asked = method.asked(sounds)
    for i in range(2):
        flat = places[i].flatten(1).T
        weights = [math.exp(3 * float(place @ asked[i])) for place in flat]
        mean = sum(w * place for w, place in zip(weights, flat, strict=True)) / sum(weights)
        expected = ops.unit(method.tell(mean))
        torch.testing.assert_close(method.found(places, sounds)[i], expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_sharp_attention_finds_the_one_place_that_is_asked_for():
    method = tiny.run("attention_localizer", "method.width=4", "method.sharpness=1000").method()
    places, sounds = unit_vectors(1, 4, 3, 3, dim=1), unit_vectors(1, 4, seed=1)
    places[0, :, 1, 2] = method.asked(sounds)[0]
    expected = ops.unit(method.tell(places[0, :, 1, 2]))
    torch.testing.assert_close(method.found(places, sounds)[0], expected, atol=1e-4, rtol=1e-3)
