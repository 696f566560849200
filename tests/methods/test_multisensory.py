"""Aligned or shifted: the loss against slow versions, where both sounds come from, and a hum that is left out."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from contract import following, timed, tiny
from torch import Generator

from avssl.sample import Sample

FAST = ("inputs.fps=8", "inputs.audio_seconds=0.5")
WAVE = (*FAST, "inputs.audio=wave", "encoders.audio.width=32", "inputs.hz=8000")


def literal(true, false, counts):
    """Binary cross-entropy of the true and the false logit of every clip that counts."""
    right = [-math.log(1 / (1 + math.exp(-x))) for x, c in zip(true, counts, strict=True) if c]
    wrong = [-math.log(1 - 1 / (1 + math.exp(-x))) for x, c in zip(false, counts, strict=True) if c]
    return (sum(right) + sum(wrong)) / (2 * len(right)) if right else 0


def step_of(true, false, counts):
    """One step of the method whose logits these are."""
    run = tiny.run("multisensory")
    method, batch = run.method(), run.batch(size=len(true))
    given = iter([true, false])
    method.map = lambda seen, heard: next(given)[:, None, None, None].expand(-1, 2, 3, 3)
    return method({**batch, "counts": torch.as_tensor(counts)})


@pytest.mark.parametrize("batch", [2, 5, 8])
@pytest.mark.parametrize("same", [0, 1, 2])
def test_the_loss_is_the_binary_cross_entropy(batch, same):
    logits = torch.randn(2, batch, generator=Generator().manual_seed(batch))
    counts = [k >= same for k in range(batch)]
    expected = literal(*logits.tolist(), counts)
    assert step_of(*logits, counts).loss.item() == pytest.approx(expected, abs=1e-5)


def test_the_loss_is_the_reference_librarys():
    """Computed once: x = torch.arange(8, dtype=torch.float64).mul(1.7).sin() * 2
    torch.nn.BCEWithLogitsLoss()(x, torch.tensor([1.0] * 4 + [0.0] * 4, dtype=torch.float64)).item()
    """
    x = torch.arange(8, dtype=torch.float64).mul(1.7).sin() * 2
    assert step_of(x[:4], x[4:], [True] * 4).loss.item() == pytest.approx(0.9202539464133874, abs=1e-6)


def made(count, *words):
    """Where the pictures, their sound and the shifted one begin in many examples, in pictures; the method's run."""
    run = tiny.run("multisensory", *WAVE, *words)
    transform, sample = run.kind.transform(run.cfg.method, run.inputs), timed.numbered(run.needs)
    per = run.cfg.inputs.hz / run.cfg.inputs.fps
    rows = []
    for seed in range(count):
        row = transform(sample, Generator().manual_seed(seed), 0.0)
        sounds = [timed.sound_number(row[key]) / per for key in ("audio", "shifted")]
        rows.append((timed.picture_number(row["video"]), *(round(x) for x in sounds)))
    return rows, run


def test_the_sound_is_the_pictures_own_and_the_other_is_far_enough():
    rows, run = made(200, "method.least_seconds=0.5", "method.most_seconds=1.5")
    assert run.needs.frames == 4 + 12
    assert all(picture == sound for picture, sound, _ in rows)
    distances = Counter(other - sound for _, sound, other in rows)
    assert {abs(d) for d in distances} == set(range(4, 13)), "half a second to one and a half, at 8 pictures per second"
    late = sum(count for d, count in distances.items() if d < 0)
    assert 60 < late < 140, "late and early are as likely"


def test_where_a_sound_begins_does_not_tell_which_it_is():
    """The two sounds' places in the longer window are distributed alike: no shortcut by an edge."""
    rows, _ = made(600, "method.least_seconds=0.5", "method.most_seconds=1.0")
    own, other = (Counter(row[k] for row in rows) for k in (1, 2))
    assert set(own) == set(other)
    for place in own:
        assert abs(own[place] - other[place]) < 60, (place, own[place], other[place])


@pytest.mark.parametrize(("sound", "counted"), [("hum", False), ("rain", False), ("silence", False), ("beats", True)])
def test_what_sounds_alike_at_every_time_is_left_out(sound, counted):
    run = tiny.run("multisensory", *FAST, "inputs.frames=16", "inputs.audio_seconds=2")
    needs = run.needs
    time = torch.arange(round(needs.audio_seconds * needs.hz), dtype=torch.float64) / needs.hz
    hiss = torch.randn(len(time), generator=Generator().manual_seed(0), dtype=torch.float64)
    wave = {
        "hum": 0.3 * torch.sin(2 * math.pi * 440 * time),
        "rain": 0.1 * hiss,
        "silence": 0 * time,
        "beats": 0.1 * hiss * (time % 0.7 < 0.3),
    }[sound]
    video = torch.zeros(1, needs.frames, 3, 32, 32, dtype=torch.uint8)
    sample = Sample("a", 0, (0.0,), {"video": video, "audio": wave.float()[None]})
    transform = run.kind.transform(run.cfg.method, run.inputs)
    rows = [transform(sample, Generator().manual_seed(seed), 0.0) for seed in range(20)]
    share = sum(bool(row["counts"]) for row in rows) / len(rows)
    assert share > 0.8 if counted else share == 0


def test_the_logit_is_the_mean_of_the_map_that_localizes():
    run = tiny.run("multisensory")
    method, batch = run.method().eval(), run.batch()
    with torch.no_grad():
        seen = method.encoders["video"](batch["video"]).maps[-1]
        whole = method.map(seen, method.encoders["audio"](batch["audio"]).maps[-1])
        shown = method.localize(batch["video"], batch["audio"], "audio")
    stride = run.cfg.encoders.video.time_stride
    torch.testing.assert_close(shown[:, ::stride], whole)
    torch.testing.assert_close(shown[:, 1::stride], whole)
    with pytest.raises(ValueError, match="localizes audio, not text"):
        method.localize(batch["video"], batch["audio"], "text")


def test_shifts_the_wrong_way_round_are_refused():
    run = tiny.run("multisensory", "method.least_seconds=2", "method.most_seconds=1")
    with pytest.raises(ValueError, match="most_seconds=1 is below least_seconds=2"):
        run.kind.transform(run.cfg.method, run.inputs)


def test_learns_from_what_both_have_in_common_and_from_nothing_else():
    """A light that flickers and a noise as loud as it is bright; chance where the noise has a flicker of its own."""
    run = tiny.run(
        "multisensory", "method.width=16", "method.least_seconds=0.25", "method.most_seconds=1", "inputs.frames=12",
        "inputs.audio_seconds=1.5", "inputs.hz=4000", "inputs.height=16", "inputs.width=16",
        "inputs.fps=8", "encoders.video.time_stride=1", "encoders.video.norm=group", "encoders.audio.norm=group",
    )  # fmt: skip
    unseen, unrelated = following.accuracies(run, steps=40, size=24, lr=3e-3)
    assert unseen > 0.85
    assert unrelated < 0.65
