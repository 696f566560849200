"""GDT: the loss for every choice against its literal formula, the views, and that moments are told apart by sound."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl import ops

CHOICES = ("distinct", "invariant", "none")


def made(shift, reversal, *words):
    """A tiny GDT, and vectors that stand for its encoders' outputs."""
    run = tiny.run("gdt", f"method.shift={shift}", f"method.reversal={reversal}", "method.width=6", *words)
    method, batch = run.method(), run.batch()
    rows = batch["start"].numel()
    draw = Generator().manual_seed(4)
    x = {kind: ops.unit(torch.randn(rows, 6, generator=draw)) for kind in ("video", "audio")}
    method.embed = lambda modality, _: x[modality]
    return method, batch, x


def literal(x, recording, starts, shift, reversal, temperature, gap):
    """One pair at a time: views are (item, moment, direction)."""
    ways = 1 if reversal == "none" else 2
    names = [(b, v // ways, v % ways, starts[b][v]) for b in range(len(starts)) for v in range(len(starts[b]))]
    total, pairs = 0.0, 0
    for one, other in ((x["video"], x["audio"]), (x["audio"], x["video"])):
        for i, (item, moment, way, start) in enumerate(names):
            scores, right = {}, []
            for j, (item2, moment2, way2, start2) in enumerate(names):
                score = sum(p * q for p, q in zip(one[i].tolist(), other[j].tolist(), strict=True)) / temperature
                if item != item2:
                    if recording[item] != recording[item2]:
                        scores[j] = score
                    continue
                differs = reversal == "distinct" and way != way2
                if not differs and shift == "distinct" and moment != moment2:
                    if abs(start - start2) < 0.99 * gap:
                        continue  # next to the same moment: neither
                    differs = True
                scores[j] = score
                if not differs:
                    right.append(j)
            for j in right:
                total -= math.log(math.exp(scores[j]) / sum(math.exp(value) for value in scores.values()))
                pairs += 1
    return total / pairs


@pytest.mark.parametrize("shift", CHOICES)
@pytest.mark.parametrize("reversal", CHOICES)
@pytest.mark.parametrize("gap", [0.5, 1.5, 3.0])
def test_the_loss_is_the_papers(shift, reversal, gap):
    method, batch, x = made(shift, reversal, f"method.shift_seconds={gap}", "method.temperature=0.3")
    expected = literal(x, tiny.RECORDING, batch["start"].tolist(), shift, reversal, 0.3, gap)
    assert method(batch).loss.item() == pytest.approx(expected, rel=1e-4)


def test_what_is_alike_may_fit_both():
    """The mean absolute difference of two softmaxed tables, as in FNAC, for sounds and for pictures."""
    method, batch, x = made("none", "none", "method.temperature=0.3", "method.alike=5")
    step = method(batch)

    def table(one, other):
        shares = []
        for i in range(8):
            powers = [
                math.exp(sum(p * q for p, q in zip(one[i].tolist(), other[j].tolist(), strict=True)) / 0.3)
                if i == j or tiny.RECORDING[i] != tiny.RECORDING[j] else 0.0
                for j in range(8)
            ]  # fmt: skip
            shares += [power / sum(powers) for power in powers]
        return shares

    across = table(x["video"], x["audio"])
    gaps = [sum(abs(p - q) for p, q in zip(table(x[kind], x[kind]), across, strict=True)) / 64 for kind in x]
    assert step.loss.item() == pytest.approx(step.metrics["contrast"].item() + 5 * sum(gaps) / 2, rel=1e-4)
    assert sum(gaps) > 0.01


def test_with_nothing_chosen_it_is_the_reference_librarys_contrast():
    """Computed once with transformers.models.clip.modeling_clip.image_text_contrastive_loss, for

    x = normalize((torch.arange(24, dtype=torch.float64) * 1.3).sin().reshape(2, 4, 3), dim=-1)
    image_text_contrastive_loss(x[0] @ x[1].T / 0.2)
    """
    method, _, _ = made("none", "none", "method.temperature=0.2")
    x = torch.nn.functional.normalize((torch.arange(24, dtype=torch.float64) * 1.3).sin().reshape(2, 4, 3), dim=-1)
    method.embed = lambda modality, _: x[0] if modality == "video" else x[1]
    empty = torch.zeros(4, 1, 1)
    batch = {"video": empty, "audio": empty, "recording": torch.arange(4), "start": torch.zeros(4, 1)}
    assert method(batch).loss.item() == pytest.approx(8.967461908803052, abs=1e-5)


def test_invariance_wants_views_the_same_and_distinctness_apart():
    """The vectors of an item's views are all equal, or differ by direction: each choice prefers its own."""
    rows = 8 * 4
    item, way = torch.arange(rows) // 4, torch.arange(rows) % 2
    same, apart = torch.eye(16)[item], torch.eye(16)[2 * item + way]
    losses = {}
    for choice in ("distinct", "invariant"):
        method, batch, _ = made("invariant", choice)
        for name, x in (("same", same), ("apart", apart)):
            method.embed = lambda modality, _, x=x: x
            losses[choice, name] = method(batch).loss.item()
    assert losses["distinct", "apart"] < losses["distinct", "same"] - 0.3
    assert losses["invariant", "same"] < losses["invariant", "apart"] - 0.3


@pytest.mark.parametrize(("shift", "reversal", "count"), [("distinct", "distinct", 4), ("none", "invariant", 2)])
def test_views_are_every_moment_in_every_direction(shift, reversal, count):
    run = tiny.run("gdt", f"method.shift={shift}", f"method.reversal={reversal}", "method.area=1", "method.strength=0",
                   "method.decibels=0")  # fmt: skip
    item = tiny.sample(run.needs, 2)
    ramp = torch.arange(item.audio.shape[1]) / item.audio.shape[1] * torch.ones(len(item.audio), 1)
    item = replace(item, parts={**item.parts, "audio": ramp * item.audio})  # grows louder
    made = run.kind.transform(run.cfg.method, run.inputs)(item, Generator().manual_seed(0), 0.0)
    assert len(made["video"]) == len(made["audio"]) == count
    assert made["start"].tolist() == ([0.0, 0.0, 1.0, 1.0] if count == 4 else [0.0, 0.0])
    louder = [bool(sound[-10:].mean() > sound[:10].mean()) for sound in made["audio"]]
    assert louder == [True, False] * (count // 2), "forwards, backwards"
    clip = item.video[0]
    for view, backwards in zip(made["video"][:2], (False, True), strict=True):
        wanted = clip.flip(0) if backwards else clip
        ways = (wanted, wanted.flip(-1))
        assert any((view.float() - way.float()).abs().max() < 3 for way in ways)


def test_both_windows_overlap_their_own_sound_and_keep_the_gap():
    needs = tiny.run("gdt", "method.shift_seconds=1.5").needs
    assert needs.clips == 2
    assert needs.clip_gap_seconds == 1.5
    assert needs.audio_seconds > 0
    assert tiny.run("gdt", "method.shift=none").needs.clips == 1


def test_direction_cannot_be_told_from_a_sound_and_picture_without_one():
    """What is the same forwards and backwards: half of an item's views fit, whatever is learnt."""
    run = tiny.run("gdt", "method.shift=none", "method.area=1", "method.strength=0", "method.decibels=0")
    method, batch = run.method(), run.batch()
    still = batch["video"][:, :1, :1].expand_as(batch["video"])
    hum = batch["audio"][:, :1, :1].expand_as(batch["audio"])
    batch = batch | {"video": still, "audio": hum}
    losses = tiny.steps(method, [batch] * 30, tiny.optimizers(method))
    assert losses[-1] < losses[0], "items are told apart"
    assert losses[-1] > math.log(2) - 0.05, "directions are not"
