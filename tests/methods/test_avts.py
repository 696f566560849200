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
from avssl.sample import Sample

WAVE = ("inputs.audio=wave", "encoders.audio.width=32", "inputs.hz=8000")


def literal(seen, own, other, kind, recording, margin, heard):
    """Half the mean of d^2 over pairs and of max(0, m - d)^2 over negatives, one at a time, of clips that are heard."""

    def distance(a, b):
        return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))

    count, near, far = len(seen), [], []
    for i in range(count):
        if not heard[i]:
            continue
        near.append(distance(seen[i], own[i]) ** 2)
        j = (i + 1) % count
        if kind[i] != EASY:
            far.append(max(0.0, margin - distance(seen[i], other[i])) ** 2)
        elif recording[i] != recording[j]:
            far.append(max(0.0, margin - distance(seen[i], own[j])) ** 2)
    return 0.5 * (sum(near) / max(1, len(near)) + (sum(far) / len(far) if far else 0))


def step_of(seen, own, other, kind, recording, margin=0.99, heard=None):
    """One step of AVTS whose vectors these are."""
    method = tiny.run("avts", f"method.margin={margin}").method()
    vectors = {"video": seen, "audio": torch.cat([own, other])}
    method.embed = lambda modality, _: vectors[modality]
    batch = {"video": None, "audio": own, "other": other, "kind": torch.as_tensor(kind), "recording": recording}
    return method({**batch, "heard": torch.ones(len(seen), dtype=torch.bool) if heard is None else heard})


def vectors(count, width, seed):
    return ops.unit(torch.randn(3, count, width, generator=Generator().manual_seed(seed)))


@pytest.mark.parametrize("batch", [2, 3, 8])
@pytest.mark.parametrize("width", [2, 5])
@pytest.mark.parametrize("margin", [0.99, 1.7])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("silent", [0, 1, 2])
def test_the_loss_is_the_papers(batch, width, margin, shared, silent):
    x, kind, recording = vectors(batch, width, batch), [k % 3 for k in range(batch)], torch.arange(batch)
    if shared:
        recording[1] = recording[0]
    heard = torch.arange(batch) >= silent
    expected = literal(*x.tolist(), kind, recording.tolist(), margin, heard)
    assert step_of(*x, kind, recording, margin, heard).loss.item() == pytest.approx(expected, abs=1e-5)


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


@pytest.mark.parametrize(("begins", "share"), [(0.0, 1.0), (1.0, 0.5), (9.0, 0.0)])
def test_a_clip_in_which_nothing_is_heard_teaches_nothing(begins, share):
    """A sound that sets in after some seconds, in a window of 1.75 s out of which clips of half a second are cut."""
    run = tiny.run("avts", *WAVE)
    wave = torch.rand(round(run.needs.audio_seconds * run.needs.hz), generator=Generator().manual_seed(0)) - 0.5
    wave[: round(begins * run.needs.hz)] = 0
    video = torch.zeros(1, run.needs.frames, 3, 32, 32, dtype=torch.uint8)
    transform = run.kind.transform(run.cfg.method, run.inputs)
    rows = [transform(Sample("a", 0, (0.0,), {"video": video, "audio": wave[None]}), Generator().manual_seed(k), 0.9)
            for k in range(40)]  # fmt: skip
    assert all(bool(row["heard"]) == (row["audio"].abs().max() > 1e-3) for row in rows)
    told = [bool(row["heard"]) for row in rows]
    assert sum(told) / len(told) == pytest.approx(share, abs=0.35 if 0 < share < 1 else 0)


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
