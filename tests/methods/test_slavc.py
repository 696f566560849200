"""SLAVC: both directions against loops and a reference number, the slow side, and the score."""

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


def pair(x, y, dim):
    """Both projections, together unit."""
    return torch.cat([x, y], dim) / 2**0.5


def loss(places, sounds, slow_places, slow_sounds, recording, temperature):
    """The method's loss where the quick and the slow sides' vectors are known."""
    method = tiny.run("slavc", f"method.temperature={temperature}").method()
    method.joint = lambda batch: (places, sounds, recording)
    method.sounds = lambda batch, heard: slow_sounds
    method.seen = lambda picture, seeds, slow: slow_places
    return method({"picture": None}).loss


def literal(places, sounds, recording, temperature, count, direction):
    """-log of the sum over places of (softmax over samples) x (softmax over places), renormalized over samples."""
    width = sounds.shape[1] // 2
    flat = (places * 2**0.5).flatten(2)
    scale = 2**0.5

    def cosine(i, j, place, half):
        a, b = flat[i, half * width :][:width, place].tolist(), sounds[j, half * width :][:width].tolist()
        return scale * sum(p * q for p, q in zip(a, b, strict=True)) / temperature

    def competes(i, j):
        return i == j or i >= count or j >= count or recording[i] != recording[j]

    def likelihood(i, j):
        total = 0.0
        for place in range(flat.shape[2]):
            where = math.exp(cosine(i, j, place, 1))
            where /= sum(math.exp(cosine(i, j, other, 1)) for other in range(flat.shape[2]))
            if direction == "sounds":
                rivals = [cosine(i, k, place, 0) for k in range(len(sounds)) if competes(i, k)]
            else:
                rivals = [cosine(k, j, place, 0) for k in range(count) if competes(k, j)]
            total += where * math.exp(cosine(i, j, place, 0)) / sum(math.exp(x) for x in rivals)
        return total

    result = 0.0
    for i in range(count):
        if direction == "sounds":
            all_ = sum(likelihood(i, k) for k in range(len(sounds)) if competes(i, k))
        else:
            all_ = sum(likelihood(k, i) for k in range(count) if competes(k, i))
        result -= math.log(likelihood(i, i) / all_)
    return result / count


@pytest.mark.parametrize(("batch", "extra", "width"), [(2, 0, 3), (4, 2, 2)])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_loss_is_its_formula(batch, extra, width, temperature):
    places, slow_places = (
        pair(*(unit_vectors(batch, width, 2, 2, dim=1, seed=s + k) for k in (0, 1)), 1) for s in (0, 2)
    )
    sounds, slow_sounds = (pair(*(unit_vectors(batch + extra, width, seed=s + k) for k in (0, 1)), 1) for s in (4, 6))
    recording = torch.arange(batch).clamp(max=2)
    across = literal(places, slow_sounds, recording.tolist(), temperature, batch, "sounds")
    down = literal(slow_places, sounds[:batch], recording.tolist(), temperature, batch, "pictures")
    found = loss(places, sounds, slow_places, slow_sounds, recording, temperature)
    assert found.item() == pytest.approx(0.5 * (across + down), rel=1e-3)


def test_the_loss_is_the_reference_librarys():
    """Computed once in float64 with numpy and scipy on the vectors of waves(), c1 their cosines [3, 3, 4], c2 those of
    places with their channels turned around:

    def way(axis): return np.log((softmax(c1 / 0.2, axis) * softmax(c2 / 0.2, 2)).sum(2))
    -(np.diag(log_softmax(way(1), 1)) + np.diag(log_softmax(way(0), 0))).mean() / 2
    """
    places, sounds = waves()
    both, heard = pair(places, places.flip(1), 1), pair(sounds, sounds, 1)
    assert loss(both, heard, both, heard, torch.arange(3), 0.2).item() == pytest.approx(1.8811484839027557, rel=1e-4)


def test_collapse_costs_the_logarithm_of_the_batch():
    one = torch.ones(4, 2, 2, 2) / 2
    heard = torch.ones(4, 2) / 2**0.5
    assert loss(one, heard, one, heard, torch.arange(4), 0.1).item() == pytest.approx(math.log(4), rel=1e-4)


def test_the_slow_side_follows_and_never_learns():
    run = tiny.run("slavc", "method.momentum=0.75")
    method = run.method()
    assert not any(p.requires_grad for p in method.slow.parameters())
    old = {key: value.clone() for key, value in method.slow["look"].copy.state_dict().items()}
    with torch.no_grad():
        method.look.weight.add_(1.0)
    method.after_step(0.5)
    torch.testing.assert_close(method.slow["look"].copy.weight, old["weight"] + 0.25)
    assert torch.equal(method.slow["look"].copy.bias, old["bias"])


def test_the_score_is_the_mean_of_both_cosines():
    run = tiny.run("slavc")
    method = run.method().eval()
    video, sound = run.x("video", 2), run.x("audio", 2)
    with torch.no_grad():
        scores = method.localize(video, sound, "audio")
        maps = method.look(method.encoders["image"](video[:, 1]).maps[-1]).chunk(2, 1)
        heard = method.listen(method.encoders["audio"](sound).maps[-1].amax(2)).chunk(2, 1)
        cosines = [torch.cosine_similarity(m, h[:, :, None, None], dim=1) for m, h in zip(maps, heard, strict=True)]
    torch.testing.assert_close(scores[:, 1], sum(cosines) / 2, atol=1e-5, rtol=1e-4)
