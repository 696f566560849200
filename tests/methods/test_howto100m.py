"""HowTo100M: the margins against loops and a reference library, negatives inside a recording, and what is none."""

from __future__ import annotations

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl.nn.heads import Gated


def literal(scores, tokens, recording, margin):
    """Both means of hinges, one pair of pairs at a time."""
    found = {False: [], True: []}
    for i in range(len(scores)):
        for j in range(len(scores)):
            if tokens[i] != tokens[j] and max(tokens[i]) >= 0 and max(tokens[j]) >= 0:
                hinge = max(0, margin + scores[i][j] - scores[i][i]) + max(0, margin + scores[i][j] - scores[j][j])
                found[recording[i] == recording[j]].append(hinge)
    return [sum(part) / len(part) if part else 0.0 for part in found.values()]


def method(*words):
    return tiny.run("howto100m", *words).method()


@pytest.mark.parametrize("count", [1, 2, 6, 9])
@pytest.mark.parametrize("vocabulary", [2, 50])
@pytest.mark.parametrize("margin", [0.1, 0.7])
def test_the_margins_are_the_papers(count, vocabulary, margin):
    draw = Generator().manual_seed(count + vocabulary)
    scores = torch.rand(count, count, generator=draw) * 2 - 1
    tokens = torch.randint(vocabulary, (count, 1, 2), generator=draw)
    tokens[torch.rand(count, 1, generator=draw) < 0.2] = -1
    recording = torch.arange(count) // 2
    other, same = method(f"method.margin={margin}").margins(scores, tokens, recording)
    expected = literal(scores.tolist(), tokens[:, 0].tolist(), recording.tolist(), margin)
    assert [other.item(), same.item()] == pytest.approx(expected, abs=1e-5)


def test_the_margin_is_the_reference_librarys():
    """Computed once with torch's MarginRankingLoss over all 12 pairs of different rows, in both directions:

    s = (torch.arange(16, dtype=torch.float64) * 1.7).sin().view(4, 4); off = ~torch.eye(4, dtype=torch.bool)
    rank = torch.nn.MarginRankingLoss(margin=0.2); p = s.diagonal()
    rows, columns = p[:, None].expand(4, 4)[off], p[None].expand(4, 4)[off]
    (rank(rows, s[off], torch.ones(12)) + rank(columns, s[off], torch.ones(12))).item()
    """
    scores = (torch.arange(16, dtype=torch.float64) * 1.7).sin().view(4, 4)
    other, same = method("method.margin=0.2").margins(scores, torch.arange(4).view(4, 1, 1), torch.arange(4))
    assert other.item() == pytest.approx(0.9605599332188113, abs=1e-6)
    assert same == 0


@pytest.mark.parametrize(("words", "weight"), [((), 0.5), (("method.within=0.2",), 0.2)])
def test_a_recordings_other_sentence_is_a_negative_and_weighs_half_or_as_asked(words, weight):
    """Items look alike in all their clips: what tells recordings apart says nothing of the moment."""
    run = tiny.run("howto100m", *words)
    one, batch = run.method(), run.batch()
    batch["recording"] = torch.arange(8)  # no two items of one recording
    apart = torch.eye(16)
    by_recording = torch.eye(8, 16).repeat_interleave(2, 0)

    def step(video, text):
        one.embed = lambda modality, x: video if modality == "video" else text
        batch["tokens"] = torch.arange(16).view(8, 2, 1, 1)
        return one(batch)

    assert step(apart, apart).loss == 0
    blind = step(by_recording, by_recording)
    assert blind.metrics["other"] == 0
    assert blind.loss.item() == pytest.approx(weight * 2 * 0.1), "both hinges are as wide as the margin"


def test_equal_and_empty_sentences_are_no_negatives():
    scores = torch.zeros(4, 4, requires_grad=True)
    tokens = torch.tensor([[[1]], [[1]], [[2]], [[-1]]])
    other, _ = method().margins(scores, tokens, torch.arange(4))
    other.backward()
    assert scores.grad[0, 1] == 0
    assert scores.grad[0, 2] > 0
    assert (scores.grad[3] == 0).all()
    assert (scores.grad[:, 3] == 0).all()


def test_a_gated_projection_is_its_formula():
    gated, x = Gated(3, 2), torch.randn(4, 3, generator=Generator().manual_seed(0))
    y = x @ gated.project.weight.T + gated.project.bias
    gate = 1 / (1 + torch.exp(-(y @ gated.gate.weight.T + gated.gate.bias)))
    torch.testing.assert_close(gated(x), y * gate)


def test_every_clip_has_its_own_sentence():
    run = tiny.run("howto100m")
    assert run.needs.narrations_each
    assert run.needs.clips == 2
    assert run.batch()["tokens"].shape == (8, 2, 1, 6)
