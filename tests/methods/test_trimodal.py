"""The flagship's loss: every term against loops, what is a negative, and what collapse costs."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from small_flagship import WORDS, dot
from torch import Generator

from avssl import ops, views
from avssl.nn.dense import window_unit
from avssl.nn.moments import Heard, Seen

TERMS = ("dense", "moments", "meaning", "calibration", "narration")


def stand_in(method, seen, heard, said):
    method.seen = lambda video: seen
    method.heard = lambda audio, steps: Heard(*(part[: len(audio)] for part in heard))
    method.said = lambda tokens: said


def made(*words):
    """A tiny flagship, and unit vectors that stand for its encoders' outputs."""
    run = tiny.run("trimodal", *WORDS, *words)
    method, draw = run.method(), Generator().manual_seed(0)

    def vectors(*shape):
        return torch.randn(shape, generator=draw)

    seen = Seen(
        window_unit(vectors(8, 2, 4, 2, 3), False), window_unit(vectors(8, 2, 4), False), ops.unit(vectors(8, 12))
    )
    heard = Heard(window_unit(vectors(10, 2, 4), False), ops.unit(vectors(10, 12)))
    said = ops.unit(vectors(24, 12))
    stand_in(method, seen, heard, said)
    return method, run.batch(), seen, heard, said


def both_ways(table, recording, temperature):
    """InfoNCE of clips against sounds; columns after the last clip are no clip's sound."""
    clips, total = len(table), 0.0

    def negative(i, j):
        return j >= clips or recording[i] != recording[j]

    def against(own, others):
        return math.log(1 + sum(math.exp((x - own) / temperature) for x in others))

    for i in range(clips):
        total += against(table[i][i], [x for j, x in enumerate(table[i]) if negative(i, j)])
        total += against(table[i][i], [table[j][i] for j in range(clips) if negative(j, i)])
    return total / (2 * clips)


def bag_loss(table, tokens, recording, temperature):
    """MIL-NCE both ways; table[i][j][k] is vector i against phrase k of item j."""
    items, phrases, total, rows = len(table), len(table[0][0]), 0.0, 0

    def counts(i, j, k):
        return max(tokens[j][k]) >= 0 and (i == j or (recording[i] != recording[j] and tokens[j][k] not in tokens[i]))

    def score(i, j, k):
        return math.exp(table[i][j][k] / temperature)

    places = [(j, k) for j in range(items) for k in range(phrases)]
    for i in range(items):
        own = sum(score(i, i, k) for k in range(phrases) if counts(i, i, k))
        if own:
            rows += 1
            total += math.log(sum(score(i, j, k) for j, k in places if counts(i, j, k)) / own)
            total += math.log(sum(score(j, i, k) for j, k in places if counts(j, i, k)) / own)
    return total / (2 * rows)


def literal(seen, heard, said, batch, cfg):
    """Every term of the loss, from lists of plain numbers."""
    recording = batch["recording"].tolist()
    clips, sounds = range(len(seen.meaning)), range(len(heard.meaning))
    course = seen.moments.flatten(1).tolist(), heard.moments.flatten(1).tolist()
    meaning = seen.meaning.tolist(), heard.meaning.tolist()
    places = seen.places.flatten(3).permute(0, 3, 1, 2).flatten(2).tolist()  # [clip][place][moments x channels]

    def dense(i, j):
        cosines = [dot(place, course[1][j]) for place in places[i]]
        return math.log(sum(math.exp(cfg.sharpness * x) for x in cosines) / len(cosines)) / cfg.sharpness

    table = [[dense(i, j) for j in sounds] for i in clips]
    terms = {"dense": both_ways(table, recording, cfg.temperature)}
    for name, (first, second) in (("moments", course), ("meaning", meaning)):
        terms[name] = both_ways([[dot(first[i], second[j]) for j in sounds] for i in clips], recording, cfg.temperature)
    right = [math.log(1 + math.exp(5 - 10 * table[i][i])) for i in clips]
    wrong = [
        math.log(1 + math.exp(10 * table[i][j] - 5))
        for i in clips
        for j in sounds
        if j not in clips or recording[i] != recording[j]
    ]
    terms["calibration"] = 0.5 * (sum(right) / len(right) + sum(wrong) / len(wrong))
    bags = said.unflatten(0, (8, 3)).tolist()
    for name, vectors in (("seen", meaning[0]), ("heard", meaning[1])):
        table = [[[dot(vectors[i], phrase) for phrase in bags[j]] for j in clips] for i in clips]
        terms[f"narration_{name}"] = bag_loss(table, batch["tokens"].tolist(), recording, cfg.temperature)
    return terms


@pytest.mark.parametrize("values", [(10.0, 0.1), (2.0, 0.5)])
def test_every_term_of_the_loss_is_its_formula(values):
    sharpness, temperature = values
    weights = {name: number for number, name in enumerate(TERMS, 2)}
    method, batch, *vectors = made(
        f"method.sharpness={sharpness}", f"method.temperature={temperature}",
        *(f"method.{name}={weight}" for name, weight in weights.items()),
    )  # fmt: skip
    step = method(batch)
    terms = literal(*vectors, batch, method.cfg)
    for name, expected in terms.items():
        assert step.metrics[name].item() == pytest.approx(expected, rel=1e-4, abs=1e-5), name
    narration = 0.5 * (terms.pop("narration_seen") + terms.pop("narration_heard"))
    expected = sum(weights[name] * value for name, value in {**terms, "narration": narration}.items())
    assert step.loss.item() == pytest.approx(expected, rel=1e-4)


def test_a_sound_within_itself_is_nt_xent_of_both_hearings():
    """Each of 16 hearings finds its other one among 15, those of the same recording left out; only sounds count."""
    method, batch, seen, heard, said = made("method.within=3")
    draw = Generator().manual_seed(5)
    again = ops.unit(torch.randn(8, 12, generator=draw))
    heard = Heard(torch.cat([heard.moments, heard.moments[:8]]), torch.cat([heard.meaning, again]))
    stand_in(method, seen, heard, said)
    step = method(batch)
    x, owner = [*heard.meaning[:8].tolist(), *again.tolist()], batch["recording"].tolist() * 2
    total = 0.0
    for i in range(16):
        other = (i + 8) % 16
        near = [j for j in range(16) if j == other or owner[j] != owner[i]]
        scores = {j: math.exp(dot(x[i], x[j]) / method.cfg.temperature) for j in near}
        total -= math.log(scores[other] / sum(scores.values()))
    assert step.metrics["within"].item() == pytest.approx(total / 16, rel=1e-4)
    plain, own, *_ = made()
    assert "again" not in own
    assert "within" not in plain(own).metrics
    torch.testing.assert_close(step.loss, plain(own).loss + 3 * step.metrics["within"])


def test_the_second_hearing_is_of_the_same_window_and_changed():
    """A tone stays about at its pitch, and no two hearings are alike."""
    run = tiny.run("trimodal", *WORDS, "method.within=1")
    batch, other = run.batch(), tiny.run("trimodal", *WORDS).batch()
    assert torch.equal(batch["audio"], other["audio"]), "what the first hearing is does not depend on the second"
    assert batch["again"].shape == batch["audio"].shape
    assert not torch.isclose(batch["again"], batch["audio"]).all(2).all(1).any()
    wave = tiny.run("trimodal", *WORDS, "method.within=1", "method.hidden=0.3", "inputs.audio=wave")
    given = wave.kind.transform(wave.cfg.method, wave.inputs)(tiny.sample(wave.needs, 0), Generator(), 0.0)
    assert given["again"].shape == given["audio"].shape == (8000,), "towers that take waves hear it again too"
    assert not torch.equal(given["again"], given["audio"])
    gone = (batch["again"] == views.SILENCE).float().mean((1, 2)) - (batch["audio"] == views.SILENCE).float().mean(
        (1, 2)
    )
    assert (gone > 0).any(), "something is hidden"


def test_collapse_has_a_closed_form_and_costs_more_than_separation():
    """All cosines are 1: 6 items have 7 negatives, the two of one recording 6; silence and noise are two more."""
    method, batch, *_ = made()

    def alike(seen, heard, said):
        course = [window_unit(x[:, None].repeat(1, 2, 1)[..., :4] * 1e4, False) for x in (seen, heard)]
        places = course[0][..., None, None].expand(-1, -1, -1, 2, 3)
        stand_in(method, Seen(places, course[0], ops.unit(seen)), Heard(course[1], ops.unit(heard)), ops.unit(said))
        return method(batch)

    collapsed = alike(torch.ones(8, 12), torch.ones(10, 12), torch.ones(24, 12))
    expected = 0.5 * ((6 * math.log(10) + 2 * math.log(9)) / 8 + (6 * math.log(8) + 2 * math.log(7)) / 8)
    for name in ("dense", "moments", "meaning"):
        assert collapsed.metrics[name].item() == pytest.approx(expected, rel=1e-3), name
    assert collapsed.metrics["narration_seen"].item() == pytest.approx((6 * math.log(8) + 2 * math.log(7)) / 8)
    own = torch.eye(12)[:8]
    apart = alike(own, torch.cat([own, torch.eye(12)[8:10]]), own.repeat_interleave(3, 0))
    for name in ("meaning", "narration_seen", "narration_heard"):
        assert apart.metrics[name] < collapsed.metrics[name] - 1
    assert apart.loss < collapsed.loss - 1


def test_segments_of_one_recording_are_no_negatives_and_silence_noise_and_others_are():
    """Sounds and phrases are one-hot, so that each component of a clip's gradient belongs to one of them."""
    method, batch, *_ = made("method.width=40", "method.moment_width=10")
    seen = Seen(
        torch.zeros(8, 2, 10, 2, 3).requires_grad_(),
        torch.zeros(8, 2, 10).requires_grad_(),
        torch.zeros(8, 40).requires_grad_(),
    )
    heard = Heard(torch.eye(10)[:, None].expand(10, 2, 10) / 2**0.5, torch.eye(40)[:10])
    stand_in(method, seen, heard, torch.eye(40)[10:34])
    method(batch).loss.backward()
    by_sound = {
        "dense": seen.places.grad.sum((1, 3, 4)),
        "moments": seen.moments.grad.sum(1),
        "meaning": seen.meaning.grad[:, :10],
    }
    by_phrase = seen.meaning.grad[:, 10:34].unflatten(1, (8, 3))
    assert (by_phrase[:, :, 2] == 0).all(), "the made-up items have an empty last phrase"
    for i in range(8):
        for j in range(10):
            same = j < 8 and tiny.RECORDING[i] == tiny.RECORDING[j]
            sign = -1 if i == j else 0 if same else 1
            for name, grad in by_sound.items():
                assert grad[i, j].sign() == sign, (name, i, j)
            if j < 8:
                assert (by_phrase[i, j, :2].sign() == sign).all(), (i, j)


def test_the_order_of_the_batch_does_not_matter():
    """The noises are those of the first items, so they stay where they are."""
    method, batch, seen, heard, said = made()
    loss = method(batch).loss
    order = torch.randperm(8, generator=Generator().manual_seed(1))
    stand_in(
        method,
        Seen(*(part[order] for part in seen)),
        Heard(*(torch.cat([part[:8][order], part[8:]]) for part in heard)),
        said.unflatten(0, (8, 3))[order].flatten(0, 1),
    )
    torch.testing.assert_close(method({key: value[order] for key, value in batch.items()}).loss, loss)


def test_a_batch_without_tokens_has_every_other_term():
    method, batch, *_ = made("method.narration=3")
    step = method(batch)
    narration = step.metrics["narration_seen"] + step.metrics["narration_heard"]
    batch.pop("tokens")
    torch.testing.assert_close(method(batch).loss, step.loss - 1.5 * narration)
