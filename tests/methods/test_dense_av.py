"""DenseAV: its loss against loops, cosines of places, what is a negative, and what the stored vectors are."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl import ops
from avssl.methods.base import HasHeads
from avssl.nn import listening

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


PAPER = {"nonnegative": 0.01, "silence": 0.01, "splice": 0.01, "smooth": 0.01, "specialize": 0.05, "steady": 0.1}


def literal_heads(seen, heard, heads):
    """Every clip with every sound, every head, moment and place, one number at a time: [V][A][K][T][P]."""
    size = len(seen[0][0]) // heads
    table = []
    for clip in seen:
        row = []
        for sound in heard:
            by_head = []
            for k in range(heads):
                part = slice(k * size, (k + 1) * size)
                moments = []
                for t in range(len(clip)):
                    places = torch.tensor(clip[t]).flatten(1).T.tolist()
                    moments.append([sum(p * q for p, q in zip(place[part], sound[t][part], strict=True))
                                    for place in places])  # fmt: skip
                by_head.append(moments)
            row.append(by_head)
        table.append(row)
    return table


def mean(values):
    values = list(values)
    return sum(values) / len(values)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_each_regularizer_is_its_formula(heads):
    words = [f"method.{name}={weight}" for name, weight in PAPER.items() if name != "splice"]
    method, batch, seen, heard = made(f"method.heads={heads}", *words)
    method.temperature.log_scale.data -= 0.7  # as if training had made it less sharp
    step = method(batch)
    table = literal_heads(seen.tolist(), heard.tolist(), heads)
    whole = [x for row in table for sound in row[:8] for head in sound for moment in head for x in moment]
    assert step.metrics["nonnegative"].item() == pytest.approx(mean(min(x, 0) ** 2 for x in whole), rel=1e-4)
    quiet = [x for row in table for head in row[-1] for moment in head for x in moment]
    assert step.metrics["silence"].item() == pytest.approx(mean(map(abs, quiet)), rel=1e-4)
    own = [table[i][i] for i in range(8)]
    changes = [(head[t + 1][p] - head[t][p]) ** 2 for clip in own for head in clip
               for t in range(len(head) - 1) for p in range(len(head[0]))]  # fmt: skip
    assert step.metrics["smooth"].item() == pytest.approx(mean(changes), rel=1e-4)
    pairs = [(a, b) for a in range(heads) for b in range(a + 1, heads)]
    both = [mean(abs(clip[a][t][p] * clip[b][t][p]) for clip in own for t in range(2) for p in range(6))
            for a, b in pairs]  # fmt: skip
    assert step.metrics["specialize"].item() == pytest.approx(mean(both) if pairs else 0.0, rel=1e-4)
    assert step.metrics["steady"].item() == pytest.approx(0.7**2, rel=1e-4)
    total = step.metrics["contrast"] + 0.1 * step.metrics["calibration"]
    total += sum(weight * step.metrics[name] for name, weight in PAPER.items() if name != "splice")
    assert step.loss.item() == pytest.approx(total.item(), rel=1e-5)


def test_heads_that_are_one_give_the_contrast_of_one():
    """The greatest of equal heads is each of them: with both halves alike, two heads are one of half the width."""
    one, batch, seen, heard = made()
    two, _, _, _ = made("method.heads=2", "method.width=16")
    stand_in(two, torch.cat([seen, seen], 2), torch.cat([heard, heard], 2))
    torch.testing.assert_close(two(batch).metrics["contrast"], one(batch).metrics["contrast"])


def test_regularizers_equal_their_reference():
    """Computed once with numpy, p = np.sin(np.arange(24.0)).reshape(1, 2, 3, 2, 2):

    (np.minimum(p, 0) ** 2).mean(); (np.diff(p, axis=2) ** 2).mean(); abs(p[:, 0] * p[:, 1]).mean()
    w = np.array([0, 1, 0.5]); ((p ** 2).mean((1, 3, 4)) * w).sum() / w.sum()
    """
    paired = torch.arange(24.0).sin().view(1, 2, 3, 2, 2)
    assert listening.below_zero(paired).item() == pytest.approx(0.22673047086540432, rel=1e-5)
    assert listening.restless(paired).item() == pytest.approx(1.5443676211242585, rel=1e-5)
    assert listening.alike(paired).item() == pytest.approx(0.4077700360645238, rel=1e-5)
    foreign = torch.tensor([[0.0, 1.0, 0.5]])
    assert listening.heard_off_screen(paired, foreign).item() == pytest.approx(0.4952273800238362, rel=1e-5)


def test_a_spliced_stretch_is_the_next_items_and_its_scores_are_pressed_to_zero():
    sounds = torch.arange(4.0)[:, None, None].expand(4, 10, 2)
    recording = torch.tensor([0, 1, 1, 2])
    stretch = torch.tensor([[0.0, 0.3], [0.5, 0.5], [0.2, 0.1], [0.9, 0.05]])
    found, foreign = listening.spliced(sounds, recording, stretch)
    wanted = [[0, 1, 2], [], [2], [9]]  # the second item's next one is of its own recording
    assert [row.nonzero().flatten().tolist() for row in foreign] == wanted
    for item in range(4):
        for step in range(10):
            assert found[item, step, 0] == ((item + 1) % 4 if step in wanted[item] else item)
    run = tiny.run("dense_av", *WORDS, "method.splice=1", "encoders.video.time_stride=2")
    method, batch = run.method().eval(), run.batch()
    assert ((batch["stretch"].sum(1) <= 1) & (batch["stretch"][:, 1] >= 0.1) & (batch["stretch"][:, 1] <= 0.5)).all()
    heard = []
    own = method.heard
    method.heard = lambda audio, steps: heard.append(audio) or own(audio, steps)
    step = method(batch)
    whole, foreign = listening.spliced(batch["audio"], batch["recording"], batch["stretch"])
    assert torch.equal(heard[0][:8], whole)
    assert not torch.equal(whole, batch["audio"])
    paired = torch.stack([listening.head_maps(method.seen(batch["video"]), own(whole, 2), 1)[i] for i in range(8)])
    share = foreign.float().unflatten(1, (2, -1)).mean(2)  # of the two steps
    expected = (paired.square().mean((2, 3, 4)) * share).sum() / share.sum()
    torch.testing.assert_close(step.metrics["splice"], expected.detach(), rtol=1e-4, atol=1e-6)


def test_a_sound_that_is_not_resolved_in_time_is_one_vector():
    run = tiny.run("dense_av", *WORDS, "method.moments=false")
    method = run.method().eval()
    with torch.no_grad():
        heard = method.heard(run.x("audio"), 3)
        whole = tiny.run("dense_av", *WORDS).method().eval()
        each = whole.timed(whole.audio_head(whole.encoders["audio"](run.x("audio")).maps[-1]), run.x("audio"), 3)
    assert torch.equal(heard[:, 0], heard[:, 2])
    torch.testing.assert_close(heard[:, 0], ops.unit(each.mean(2)))


@torch.no_grad()
def test_a_place_scores_what_its_best_head_scores():
    run = tiny.run("dense_av", *WORDS, "method.heads=2", "encoders.video.time_stride=2")
    method = run.method().eval()
    assert isinstance(method, HasHeads)
    video, audio = run.x("video", 3), run.x("audio", 3)
    found = method.heads(video, audio, "audio")
    assert found.shape == (3, 2, 4, 4, 4)
    assert torch.equal(found.amax(1), method.localize(video, audio, "audio"))
    assert not torch.equal(found[:, 0], found[:, 1])
    seen, heard = method.seen(video), method.heard(audio, 2)
    for head, part in enumerate((slice(0, 4), slice(4, 8))):
        expected = torch.cosine_similarity(seen[:, 0, part], heard[:, 0, part, None, None], dim=1)
        torch.testing.assert_close(found[:, head, 0], expected)
    with pytest.raises(ValueError, match="2 heads has no one vector per place"):
        method.places(video)
    with pytest.raises(ValueError, match="localizes audio, not text"):
        method.heads(video, run.x("text", 3), "text")
    with pytest.raises(ValueError, match=r"method\.width=8 is no multiple of method\.heads=3"):
        tiny.run("dense_av", *WORDS, "method.heads=3").method()


def test_every_option_together_trains():
    words = [f"method.{name}={weight}" for name, weight in PAPER.items()]
    run = tiny.run("dense_av", *WORDS, "method.heads=2", "method.negatives=false", *words)
    method = run.method()
    losses = tiny.steps(method, [run.batch()] * 8, tiny.optimizers(method))
    assert losses[-1] < losses[0]
