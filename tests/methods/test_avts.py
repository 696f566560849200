"""AVTS: the margin loss against slow versions, and a curriculum that takes its negatives from where it says."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from contract import timed, tiny
from torch import Generator

from avssl import ops
from avssl.methods.audiovisual.avts import EASY, HARD, OVERLAPPING

WAVE = ("inputs.audio=wave", "encoders.audio.width=32", "inputs.hz=8000")


def literal(seen, own, other, kind, recording, margin):
    """Half the mean of d^2 over pairs and of max(0, m - d)^2 over negatives, one at a time."""

    def distance(a, b):
        return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))

    count, near, far = len(seen), [], []
    for i in range(count):
        near.append(distance(seen[i], own[i]) ** 2)
        j = (i + 1) % count
        if kind[i] != EASY:
            far.append(max(0.0, margin - distance(seen[i], other[i])) ** 2)
        elif recording[i] != recording[j]:
            far.append(max(0.0, margin - distance(seen[i], own[j])) ** 2)
    return 0.5 * (sum(near) / count + (sum(far) / len(far) if far else 0))


def step_of(seen, own, other, kind, recording, margin=0.99):
    """One step of AVTS whose vectors these are."""
    method = tiny.run("avts", f"method.margin={margin}").method()
    vectors = {"video": seen, "audio": torch.cat([own, other])}
    method.embed = lambda modality, _: vectors[modality]
    batch = {"video": None, "audio": own, "other": other, "kind": torch.as_tensor(kind), "recording": recording}
    return method(batch)


def vectors(count, width, seed):
    return ops.unit(torch.randn(3, count, width, generator=Generator().manual_seed(seed)))


@pytest.mark.parametrize("batch", [2, 3, 8])
@pytest.mark.parametrize("width", [2, 5])
@pytest.mark.parametrize("margin", [0.99, 1.7])
@pytest.mark.parametrize("shared", [False, True])
def test_the_loss_is_the_papers(batch, width, margin, shared):
    x, kind, recording = vectors(batch, width, batch), [k % 3 for k in range(batch)], torch.arange(batch)
    if shared:
        recording[1] = recording[0]
    expected = literal(*x.tolist(), kind, recording.tolist(), margin)
    assert step_of(*x, kind, recording, margin).loss.item() == pytest.approx(expected, abs=1e-5)


def test_the_loss_is_the_reference_librarys():
    """Computed once with torch's PairwiseDistance:

    x = normalize((torch.arange(36, dtype=torch.float64) * 1.3).sin().reshape(3, 4, 3), dim=-1)
    d = torch.nn.PairwiseDistance(eps=0)
    pairs, apart = d(x[0], x[1]), d(x[0], x[2])
    (0.5 * (pairs.pow(2).mean() + (1.2 - apart).clamp(min=0).pow(2).mean())).item()
    """
    x = torch.nn.functional.normalize((torch.arange(36, dtype=torch.float64) * 1.3).sin().reshape(3, 4, 3), dim=-1)
    loss = step_of(*x, [HARD] * 4, torch.arange(4), 1.2).loss
    assert loss.item() == pytest.approx(2.478986514298437, abs=1e-6)


def test_equal_vectors_have_a_gradient_and_far_negatives_none():
    x = torch.ones(3, 4, 4) / 2
    seen = x[0].clone().requires_grad_()
    step_of(seen, x[1], x[2], [HARD] * 4, torch.arange(4)).loss.backward()
    assert seen.grad.isfinite().all()
    other = (-x[2]).clone().requires_grad_()
    step_of(x[0], x[1], other, [HARD] * 4, torch.arange(4)).loss.backward()
    assert other.grad.abs().sum() == 0


def made(progress, count=160, *words):
    """(kind, distance of the other sound from the pictures in pictures) of many examples; pairs are checked."""
    run = tiny.run("avts", *WAVE, "method.hard=0.5", *words)
    transform, sample = run.kind.transform(run.cfg.method, run.inputs), timed.numbered(run.needs)
    per, found = run.cfg.inputs.hz / run.cfg.inputs.fps, []
    for seed in range(count):
        row = transform(sample, Generator().manual_seed(seed), progress)
        picture = timed.picture_number(row["video"])
        own, other = (round(timed.sound_number(row[key]) / per) for key in ("audio", "other"))
        assert own == picture
        found.append((int(row["kind"]), abs(other - picture)))
    return found


def test_negatives_grow_harder():
    first, middle, last = (made(progress) for progress in (0.3, 0.6, 0.9))
    assert {kind for kind, _ in first} == {EASY}
    assert {kind for kind, _ in middle} == {EASY, HARD}
    kinds = Counter(kind for kind, _ in last)
    assert set(kinds) == {EASY, HARD, OVERLAPPING}
    assert 50 < kinds[EASY] < 110
    # windows of 4 pictures and a gap of 4: hard ones lie apart, overlapping ones do not, and are never the pair
    assert all(distance >= 8 for kind, distance in middle + last if kind == HARD)
    assert all(1 <= distance <= 3 for kind, distance in last if kind == OVERLAPPING)


def test_overlapping_negatives_can_be_left_out():
    assert {kind for kind, _ in made(1.0, 60, "method.overlapping_from=1")} == {EASY, HARD}


def test_an_order_that_does_not_grow_harder_is_refused():
    with pytest.raises(ValueError, match="negatives grow harder in this order"):
        tiny.run("avts", "method.hard_from=0.7", "method.overlapping_from=0.2").method()
