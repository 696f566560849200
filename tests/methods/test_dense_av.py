"""DenseAV: its loss against loops, cosines of places, what is a negative, and what the stored vectors are."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl import ops

WORDS = ("method.width=8",)


def made(*words):
    """A tiny DenseAV, and unit vectors that stand for its encoders' outputs."""
    run = tiny.run("dense_av", *WORDS, *words)
    method, draw = run.method(), Generator().manual_seed(0)
    seen = ops.unit(torch.randn(8, 2, 8, 2, 3, generator=draw), 2)
    heard = ops.unit(torch.randn(10, 2, 8, generator=draw))
    stand_in(method, seen, heard)
    return method, run.batch(), seen, heard


def stand_in(method, seen, heard):
    method.seen = lambda video: seen
    method.heard = lambda audio, steps: heard[: len(audio)]


def literal(seen, heard, recording, method):
    """The paper's volume, aggregate and both directions, one number at a time; then the logistic term."""
    cfg = method.cfg
    clips, sounds = len(seen), len(heard)

    def similarity(i, j):
        total = 0.0
        for t in range(len(seen[i])):
            places = torch.tensor(seen[i][t]).flatten(1).T.tolist()
            cosines = [sum(p * q for p, q in zip(place, heard[j][t], strict=True)) for place in places]
            total += math.log(sum(math.exp(cfg.sharpness * x) for x in cosines) / len(cosines)) / cfg.sharpness
        return total / len(seen[i])

    table = [[similarity(i, j) for j in range(sounds)] for i in range(clips)]

    def negative(i, j):
        return j >= clips or recording[i] != recording[j]

    def against(own, others):
        return math.log(1 + sum(math.exp((x - own) / cfg.temperature) for x in others))

    total = 0.0
    for i in range(clips):
        total += against(table[i][i], [table[i][j] for j in range(sounds) if negative(i, j)])
        total += against(table[i][i], [table[j][i] for j in range(clips) if negative(j, i)])
    contrast = total / (2 * clips)
    right = [math.log(1 + math.exp(5 - 10 * table[i][i])) for i in range(clips)]
    wrong = [
        math.log(1 + math.exp(10 * table[i][j] - 5)) for i in range(clips) for j in range(sounds) if negative(i, j)
    ]
    return contrast, 0.5 * (sum(right) / len(right) + sum(wrong) / len(wrong))


@pytest.mark.parametrize("negatives", [True, False])
@pytest.mark.parametrize("values", [(10.0, 0.07, 0.1), (2.0, 0.3, 0.0)])
def test_the_loss_is_its_formula(negatives, values):
    sharpness, temperature, weight = values
    method, batch, seen, heard = made(
        f"method.negatives={negatives}", f"method.sharpness={sharpness}", f"method.temperature={temperature}",
        f"method.calibration={weight}",
    )  # fmt: skip
    step = method(batch)
    sounds = heard if negatives else heard[:8]
    contrast, calibration = literal(seen.tolist(), sounds.tolist(), batch["recording"].tolist(), method)
    assert step.metrics["contrast"].item() == pytest.approx(contrast, rel=1e-4)
    assert step.metrics["calibration"].item() == pytest.approx(calibration, rel=1e-4)
    assert step.loss.item() == pytest.approx(contrast + weight * calibration, rel=1e-4)


def test_the_contrast_of_collapsed_vectors_has_a_closed_form():
    """All cosines are 1: log of the candidates, 6 rows with 8 sounds and 2 extra, 2 rows with one sound fewer."""
    method, batch, _, _ = made()
    one = ops.unit(torch.ones(8))
    stand_in(method, one[None, None, :, None, None].expand(8, 2, 8, 2, 3), one.expand(10, 2, 8))
    expected = 0.5 * ((6 * math.log(10) + 2 * math.log(9)) / 8 + (6 * math.log(8) + 2 * math.log(7)) / 8)
    collapsed = method(batch)
    assert collapsed.metrics["contrast"].item() == pytest.approx(expected, rel=1e-4)
    apart = torch.eye(8)
    silent = torch.cat([apart, -torch.ones(2, 8) / 8**0.5])
    stand_in(method, apart[:, None, :, None, None].expand(8, 2, 8, 2, 3), silent[:, None].expand(10, 2, 8))
    assert method(batch).loss < collapsed.loss - 1


def test_each_place_is_pushed_from_other_sounds_silence_and_noise_but_not_from_the_own_recording():
    """Sounds are one-hot, so that each component of a place's gradient belongs to one sound."""
    method, batch, _, _ = made("method.width=10")
    seen = torch.zeros(8, 2, 10, 2, 3).requires_grad_()
    stand_in(method, seen, torch.eye(10)[:, None].expand(10, 2, 10))
    method(batch).loss.backward()
    by_sound = seen.grad.sum((1, 3, 4))  # [clip, sound]
    for i in range(8):
        for j in range(10):
            if i == j:
                assert by_sound[i, j] < 0
            elif j < 8 and tiny.RECORDING[i] == tiny.RECORDING[j]:
                assert by_sound[i, j] == 0
            else:
                assert by_sound[i, j] > 0


def test_the_order_of_the_batch_does_not_matter():
    """The noises are those of the first items, so they stay where they are."""
    method, batch, seen, heard = made()
    loss = method(batch).loss
    order = torch.randperm(8, generator=Generator().manual_seed(1))
    stand_in(method, seen[order], torch.cat([heard[:8][order], heard[8:]]))
    torch.testing.assert_close(method({key: value[order] for key, value in batch.items()}).loss, loss)


def fresh():
    run = tiny.run("dense_av", *WORDS)
    return run, run.method().eval()


@torch.no_grad()
def test_localize_gives_cosines_of_the_sound_and_every_place():
    run, method = fresh()
    video, audio = run.x("video"), run.x("audio")
    found = method.localize(video, audio, "audio")
    assert found.shape == (8, 4, 4, 4)
    assert found.abs().max() <= 1 + 1e-5
    maps = method.encoders["video"](video).maps[-1]
    steps = maps.shape[2]
    sound = torch.nn.functional.adaptive_avg_pool1d(method.audio_head(method.encoders["audio"](audio).maps[-1]), steps)
    for b, frame, y, x in ((0, 0, 0, 0), (3, 1, 2, 3), (7, 3, 3, 1)):
        step = frame * steps // 4
        place, heard = method.video_head(maps[b, :, step, y, x]).tolist(), sound[b, :, step].tolist()
        inner = sum(p * q for p, q in zip(place, heard, strict=True))
        assert found[b, frame, y, x].item() == pytest.approx(inner / math.hypot(*place) / math.hypot(*heard), abs=1e-5)


def test_it_localizes_and_embeds_nothing_else():
    run, method = fresh()
    with pytest.raises(ValueError, match="dense_av localizes audio, not text"):
        method.localize(run.x("video"), run.x("text"), "text")
    with pytest.raises(ValueError, match="cannot embed text in space main"):
        method.embed("text", run.x("text"))


@torch.no_grad()
def test_the_stored_vector_is_the_mean_of_what_training_compares():
    run, method = fresh()
    video, audio = run.x("video"), run.x("audio")
    seen = method.seen(video)
    torch.testing.assert_close(seen.norm(dim=2), torch.ones_like(seen[:, :, 0]))
    mean = sum(seen[:, t, :, y, x] for t in range(seen.shape[1]) for y in range(4) for x in range(4))
    torch.testing.assert_close(method.embed("video", video), mean / mean.norm(dim=1, keepdim=True))
    mean = method.heard(audio, seen.shape[1]).sum(1)
    torch.testing.assert_close(method.embed("audio", audio), mean / mean.norm(dim=1, keepdim=True))
    assert method.spaces["main"].width == method.embed("audio", audio).shape[1] == 8
