"""TAN: both views' contrast against loops, when sentences move or go, spans of time, what cannot be aligned."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl.methods.base import TellsAlignable
from avssl.nn.two_views import Agreed, agreed, covered, seconds_code, step_contrast

WORDS = ("method.sentences=3", "method.width=32", "method.layers=1")


def literal(dual, joint, target, tokens, recording):
    """Sentence by sentence, step by step."""
    n, k, t = len(target), len(target[0]), len(target[0][0])

    def said(b, i):
        return max(tokens[b][i]) >= 0

    def counts(b, i, c, s):
        if not said(b, i):
            return False
        if b != c:
            return recording[b] != recording[c] and tokens[b][i] not in tokens[c]
        again = any(target[b][j][s] for j in range(k) if tokens[b][j] == tokens[b][i])
        return target[b][i][s] or not again

    def part(top, all_):
        return -math.log(sum(map(math.exp, top)) / sum(map(math.exp, all_)))

    sentences, inside, steps = [], [], []
    for b in range(n):
        for i in range(k):
            if said(b, i) and any(target[b][i]):
                top = [dual[b][i][b][s] for s in range(t) if target[b][i][s]]
                sentences.append(
                    part(top, [dual[b][i][c][s] for c in range(n) for s in range(t) if counts(b, i, c, s)])
                )
                top = [joint[b][i][s] for s in range(t) if target[b][i][s]]
                inside.append(part(top, [joint[b][i][s] for s in range(t) if counts(b, i, b, s)]))
    for c in range(n):
        for s in range(t):
            top = [dual[c][i][c][s] for i in range(k) if said(c, i) and target[c][i][s]]
            if top:
                steps.append(part(top, [dual[b][i][c][s] for b in range(n) for i in range(k) if counts(b, i, c, s)]))

    def mean(x):
        return sum(x) / len(x) if x else 0.0

    return 0.5 * (mean(sentences) + mean(steps)), mean(inside)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("vocabulary", [2, 50])
def test_both_views_contrast_is_its_formula(count, steps, vocabulary):
    draw = Generator().manual_seed(count * 10 + steps)
    dual = torch.randn(count, 3, count, steps, generator=draw) * 2
    joint = torch.randn(count, 3, steps, generator=draw) * 2
    tokens = torch.randint(vocabulary, (count, 3, 2), generator=draw)
    tokens[torch.rand(count, 3, generator=draw) < 0.25] = -1
    target = (torch.rand(count, 3, steps, generator=draw) < 0.4) & (tokens >= 0).any(2, keepdim=True)
    recording = torch.arange(count) // 2 * 2
    found = step_contrast(dual, joint, target, tokens, recording)
    expected = literal(*(x.tolist() for x in (dual, joint, target, tokens, recording)))
    assert [x.item() for x in found] == pytest.approx(expected, abs=1e-4)


def test_a_span_covers_the_steps_it_overlaps():
    times = torch.tensor([[[0.5, 1.2], [-3.0, -1.0], [3.9, 9.0], [-1e4, -1e4], [-5.0, 20.0]]])
    expected = [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]]
    assert covered(times, 4, 4.0)[0].int().tolist() == expected


def peaks(places, heights, steps=12):
    scores = torch.zeros(1, len(places), steps)
    for k, (place, height) in enumerate(zip(places, heights, strict=True)):
        scores[0, k, place] = height
    return scores


def test_two_views_agree_where_both_are_sure_and_near():
    first = peaks([2, 2, 2, 6], [0.9, 0.9, 0.1, 0.05])
    second = peaks([3, 9, 2, 7], [0.8, 0.8, 0.85, 0.02])
    lengths = torch.full((1, 4), 4.0)
    found = agreed(first, second, lengths, torch.ones(1, 4, dtype=torch.bool), 0.5, 0.5)
    assert found.sure.tolist() == [[True, False, False, False]], "too far apart; only one view sure; neither"
    assert found.lost.tolist() == [[False, False, False, True]]
    assert found.steps[0, 0].nonzero().flatten().tolist() == [1, 2, 3, 4], "around 2.5, four steps long"


@pytest.mark.parametrize(
    ("apart", "length", "least", "sure"),
    [(3, 4.0, 0.5, False), (3, 4.0, 0.1, True), (1, 3.0, 0.5, True), (2, 4.0, 0.5, False)],
)
def test_spans_agree_by_the_share_that_both_hold(apart, length, least, sure):
    """Of spans ``length`` long and so far apart both hold ``length - apart`` of ``length + apart`` steps."""
    first, second = peaks([2], [0.9]), peaks([2 + apart], [0.9])
    found = agreed(first, second, torch.full((1, 1), length), torch.ones(1, 1, dtype=torch.bool), 1.0, least)
    assert found.sure.tolist() == [[sure]]


def test_sentences_stay_until_the_views_are_asked_and_then_move():
    run = tiny.run("tan", *WORDS)
    method, batch = run.method(), run.batch()
    seen = []
    real = step_contrast.__globals__["mil_nce"]

    def watch(logits, positive, valid):
        seen.append(positive.clone())
        return real(logits, positive, valid)

    step_contrast.__globals__["mil_nce"] = watch
    try:
        for progress in (0.1, 0.9):
            method.after_step(progress)
            assert bool(method.settled) == (progress == 0.9)
            method(batch)
    finally:
        step_contrast.__globals__["mil_nce"] = real
    steps = seen[2].shape[1]
    told = covered(batch["times"], steps, 0.5).flatten(0, 1)
    assert torch.equal(seen[2], told), "at first the times of the narration are believed"
    assert not torch.equal(seen[5], told), "then some move or go"


@pytest.mark.parametrize("asked", [False, True])
def test_what_the_views_say_moves_drops_and_leaves_sentences(monkeypatch, asked):
    """Of the first item one sentence is sure, one lost, one left open; of the others all are left open."""
    from avssl.methods.narration import tan

    run = tiny.run("tan", *WORDS)
    method, batch = run.method(), run.batch()
    batch["tokens"][:, 2] = batch["tokens"][:, 1].flip(1)  # three sentences, all inside the window
    batch["times"] = torch.tensor([0.0, 0.2]).expand(8, 3, 2)
    sure, lost = torch.zeros(8, 3, dtype=torch.bool), torch.zeros(8, 3, dtype=torch.bool)
    sure[0, 0] = lost[0, 1] = True
    places = torch.zeros(8, 3, 2, dtype=torch.bool)
    places[..., 1] = True  # whoever is sure moves from the first step to the second
    seen = []
    real = tan.step_contrast
    monkeypatch.setattr(tan, "agreed", lambda *_: Agreed(places, sure, lost))
    monkeypatch.setattr(tan, "step_contrast", lambda *given: seen.append(given[2]) or real(*given))
    method.settled.fill_(asked)
    found = method(batch).metrics["alignable"]
    first = [[False, True], [False, False], [True, False]] if asked else [[True, False]] * 3
    assert seen[0].tolist() == [first, *[[[True, False]] * 3] * 7]
    with torch.no_grad():
        logit = method.alignability(batch["video"], batch["tokens"]).double()
    yes, no = -logit.sigmoid().log(), -(1 - logit.sigmoid()).log()
    expected = (yes[0, 0] + no[0, 1]) / 2 if asked else yes.mean()
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)


def test_what_is_outside_the_window_cannot_be_aligned():
    run = tiny.run("tan", *WORDS)
    method, batch = run.method(), run.batch()
    batch["times"] = batch["times"] + 100
    torch.nn.init.zeros_(method.alignable.weight)
    method(batch).loss.backward()
    assert method.alignable.bias.grad > 0, "a step down the gradient says no"
    assert method(batch).metrics["dual"] == 0
    method.zero_grad()
    method(run.batch()).loss.backward()
    assert method.alignable.bias.grad < 0


def test_what_can_be_aligned_is_told_outside_training_too():
    """The answers that align asks for are those that training corrects; words that are no sentence change none."""
    run = tiny.run("tan", *WORDS)
    method, batch = run.method().eval(), run.batch()
    assert isinstance(method, TellsAlignable)
    with torch.no_grad():
        logit = method.alignability(batch["video"], batch["tokens"])  # [B, K]
        told = (batch["tokens"] >= 0).any(2)
        inside = covered(batch["times"], 2, 0.5).any(2) & told
        each = torch.nn.functional.binary_cross_entropy_with_logits(logit, inside.float(), reduction="none")
        assert method(batch).metrics["alignable"].item() == pytest.approx(each[told].mean().item(), abs=1e-5)
        fewer = method.alignability(batch["video"], batch["tokens"][:, :2])
    assert not told[:, 2].any()
    torch.testing.assert_close(fewer, logit[:, :2])


def test_the_clip_knows_when_its_steps_are():
    code = seconds_code(8, 4.0, 32, torch.device("cpu"))
    assert code.shape == (8, 32)
    assert torch.pdist(code).min() > 0.1
    torch.testing.assert_close(seconds_code(16, 8.0, 32, torch.device("cpu"))[:8], code)


def test_a_preview_says_when_phrases_are_said():
    from avssl import views

    said = views.Narrated(tiny.run("tan").inputs, 0.5).words
    assert said({"times": torch.tensor([[0.5, 1.25], [views.NOWHERE, views.NOWHERE]])}) == {"times": "0.5 to 1.2 s"}
    assert said({"times": torch.full((2, 2), views.NOWHERE)}) == {"times": "nothing is said"}
    assert said({}) == {}
