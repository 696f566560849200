"""AVID: InfoNCE against the banks, from two sources; what the banks remember, and who is never a negative."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl import ops


def made(*words):
    """A tiny AVID, and vectors that stand for its encoders' outputs."""
    run = tiny.run("avid", "method.width=8", "method.negatives=5", *words)
    method = run.method()
    batch = run.batch()
    vectors = {kind: ops.unit(torch.randn(8, 8, generator=Generator().manual_seed(n))) for n, kind in enumerate(batch)}
    method.embed = lambda modality, x: vectors[modality]
    return method, batch, vectors


def literal(vectors, banks, recordings, batch, temperature):
    """Cross-entropy of the own remembered vector among it and the drawn ones, one item at a time."""
    total = 0.0
    for kind, other in (("video", "audio"), ("audio", "video")):
        for i, x in enumerate(vectors[kind].tolist()):

            def similar(row, x=x, other=other):
                return sum(p * q for p, q in zip(x, banks[other][row], strict=True)) / temperature

            index, recording = int(batch["index"][i]), int(batch["recording"][i])
            rows = [draw % len(banks[other]) for draw in batch["draw"][i].tolist()]
            rows = [row for row in rows if row != index and recordings[row] != recording]
            top = math.exp(similar(index))
            total += -math.log(top / (top + sum(math.exp(similar(row)) for row in rows)))
    return total / (2 * len(batch["index"]))


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("seen", [False, True])
def test_the_loss_is_the_papers_with_info_nce(temperature, seen):
    method, batch, vectors = made(f"method.temperature={temperature}")
    if seen:
        method(batch)
        method.after_step(0.0)
    banks = {"video": method.video_bank.vectors.tolist(), "audio": method.audio_bank.vectors.tolist()}
    expected = literal(vectors, banks, method.audio_bank.recording.tolist(), batch, temperature)
    assert method(batch).loss.item() == pytest.approx(expected, rel=1e-4)


def test_the_loss_is_the_reference_librarys():
    """Computed once with lightly, whose bank form has one direction; the mean of both:

    rows = (torch.arange(72, dtype=torch.float64) * 1.1).sin().reshape(4, 6, 3)
    video, audio, bank_v, bank_a = torch.nn.functional.normalize(rows, dim=-1)
    loss = NTXentLoss(temperature=0.2, memory_bank_size=(4, 3)); loss.memory_bank.bank = bank_a[2:].clone()
    loss(video[:2], bank_a[:2]), and the same with audio and bank_v
    """
    rows = (torch.arange(72, dtype=torch.float64) * 1.1).sin().reshape(4, 6, 3)
    video, audio, bank_v, bank_a = torch.nn.functional.normalize(rows, dim=-1)
    method, _, _ = made("method.temperature=0.2")
    method.embed = lambda modality, x: x
    method.video_bank.vectors, method.audio_bank.vectors = bank_v, bank_a
    draw = torch.tensor([[2, 3, 4, 5]] * 2)
    batch = {
        "index": torch.arange(2),
        "recording": torch.arange(2),
        "video": video[:2],
        "audio": audio[:2],
        "draw": draw,
    }
    assert method(batch).loss.item() == pytest.approx((10.265505963002873 + 0.33392373064045144) / 2, abs=1e-6)


def test_banks_remember_by_momentum_and_only_after_the_step():
    method, batch, vectors = made()
    before = method.audio_bank.vectors.clone()
    method(batch)
    assert torch.equal(method.audio_bank.vectors, before), "forward changes no memory: resume would see it twice"
    method.after_step(0.0)
    expected = ops.unit(0.5 * before + 0.5 * vectors["audio"])
    torch.testing.assert_close(method.audio_bank.vectors, expected)
    assert method.audio_bank.recording.tolist() == list(tiny.RECORDING)
    after = method.audio_bank.vectors.clone()
    method.after_step(0.0)
    assert torch.equal(method.audio_bank.vectors, after), "what was seen is remembered once"


def test_evaluation_is_not_remembered():
    method, batch, _ = made()
    before = method.video_bank.vectors.clone()
    method.eval()(batch)
    method.after_step(0.0)
    assert torch.equal(method.video_bank.vectors, before)


def test_held_out_items_have_no_rows_and_look_for_what_the_other_side_makes_of_them():
    method, batch, vectors = made("method.temperature=0.05")
    vectors["audio"] = vectors["video"]
    assert method(batch).metrics["accuracy"] < 1, "nobody has been seen yet, so rows are random"
    found = method.eval()(batch)
    assert found.metrics["accuracy"] == 1
    method.video_bank.vectors = method.video_bank.vectors.roll(1, 0)
    method.audio_bank.vectors = method.audio_bank.vectors.roll(1, 0)
    assert method(batch).metrics["accuracy"] == 1


def test_gradients_push_negatives_away_and_pull_to_the_own_target():
    method, batch, vectors = made("method.temperature=0.5")
    method(batch)
    method.after_step(0.0)
    video = vectors["video"].clone().requires_grad_()
    method.embed = lambda modality, x: video if modality == "video" else vectors["audio"]
    method(batch).loss.backward()
    bank = method.audio_bank
    rows, valid = bank.negatives(batch["draw"], batch["index"], batch["recording"])
    for i in range(8):
        step = -video.grad[i]
        against = bank.vectors[rows[i][valid[i]]]
        logits = torch.cat([bank.vectors[i][None], against]) @ vectors["video"][i] / 0.5
        share = logits.softmax(0)
        # the step is the target minus the softmax's mean of all candidates
        expected = bank.vectors[i] - (share[:, None] * torch.cat([bank.vectors[i][None], against])).sum(0)
        torch.testing.assert_close(step, expected / 0.5 / 16, atol=1e-5, rtol=1e-3)
        assert share[1:].min() > 0


def test_collapse_costs_more_than_separation():
    method, batch, _ = made("method.negatives=64")
    losses = {}
    for name, x in (("apart", torch.eye(8)), ("same", torch.ones(8, 8) / 8**0.5)):
        method.embed = lambda modality, _, x=x: x
        method.video_bank.vectors, method.audio_bank.vectors = x.clone(), x.clone()
        losses[name] = method(batch).loss.item()
    assert losses["apart"] < losses["same"] - 1


def test_the_order_of_the_batch_does_not_matter():
    run = tiny.run("avid")
    method, batch = run.method(), run.batch()
    order = torch.randperm(8, generator=Generator().manual_seed(1))
    torch.testing.assert_close(method(batch).loss, method({key: value[order] for key, value in batch.items()}).loss)


def test_negatives_are_drawn_per_sample():
    run = tiny.run("avid")
    draw = run.batch()["draw"]
    assert not torch.equal(draw[0], draw[1])
    assert torch.equal(run.batch(size=3)["draw"], draw[:3]), "the rest of the batch changes nothing"
    counts = torch.bincount((draw % 8).flatten(), minlength=8).float() / draw.numel()
    assert counts.min() > 0.09, "all items are drawn alike"


def test_picture_and_sound_are_of_one_window():
    needs = tiny.run("avid").needs
    assert needs.clips == 1
    assert needs.frames > 1
    assert needs.audio_seconds > 0


def test_pooling_takes_each_feature_where_it_is_strongest_or_its_mean():
    for pooling in ("max", "mean"):
        run = tiny.run("avid", f"method.pooling={pooling}")
        method, x = run.method().eval(), run.x("video", 2)
        with torch.no_grad():
            maps = method.encoders["video"](x).maps[-1].flatten(2)
            vector = maps.max(2).values if pooling == "max" else maps.sum(2) / maps.shape[2]
            expected = ops.unit(method.heads["video"](vector))
            torch.testing.assert_close(method.embed("video", x), expected, atol=1e-5, rtol=1e-4)
