"""Narration correspondence: the two-way loss against two sources, which pairs are false, and what is no negative."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator


def literal(logit, tokens, recording):
    """Binary cross-entropy, one pair at a time: each clip's own sentence, and the first after it that is false."""
    n, right, wrong = len(tokens), [], []

    def said(i):
        return any(token >= 0 for token in tokens[i])

    for i in range(n):
        if said(i):
            right.append(-math.log(1 / (1 + math.exp(-logit(i, i)))))
        for step in range(1, n):
            j = (i + step) % n
            if said(j) and recording[i] != recording[j] and tokens[i] != tokens[j]:
                wrong.append(-math.log(1 - 1 / (1 + math.exp(-logit(i, j)))))
                break
    return 0.5 * sum(sum(part) / len(part) if part else 0.0 for part in (right, wrong))


def given(video, text, *words):
    """The method whose projected vectors are known."""
    method = tiny.run("narration_correspondence", *words).method()
    vectors = {"video": video, "text": text}
    method.projected = lambda modality, x: vectors[modality]
    return method


def problem(count, vocabulary):
    draw = Generator().manual_seed(count * 10 + vocabulary)
    video, text = torch.randn(2, count, 5, generator=draw)
    tokens = torch.randint(vocabulary, (count, 1, 2), generator=draw)
    tokens[torch.rand(count, 1, generator=draw) < 0.25] = -1
    recording = torch.arange(count)
    if count > 2:
        recording[1] = recording[2]
    return video, text, {"video": video, "tokens": tokens, "recording": recording}


@pytest.mark.parametrize("count", [1, 2, 5, 9])
@pytest.mark.parametrize("vocabulary", [2, 50])
def test_the_loss_is_its_formula(count, vocabulary):
    video, text, batch = problem(count, vocabulary)
    a, b = (torch.nn.functional.normalize(x, dim=1).tolist() for x in (video, text))
    expected = literal(lambda i, j: 4 - 4 * math.dist(a[i], b[j]), batch["tokens"][:, 0].tolist(),
                       batch["recording"].tolist())  # fmt: skip
    assert given(video, text)(batch).loss.item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("count", [2, 6])
def test_joined_sees_both_vectors(count):
    video, text, batch = problem(count, 50)
    width = ("method.fusion=joined", "method.width=5")
    method = given(video, text, *width)

    def logit(i, j):
        return method.answer(torch.cat([video[i], text[j]])).item()

    expected = literal(logit, batch["tokens"][:, 0].tolist(), batch["recording"].tolist())
    assert method(batch).loss.item() == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match="no shared space"):
        method.embed("video", video)


def test_the_loss_is_the_reference_librarys():
    """Computed once with torch's PairwiseDistance and sklearn's log_loss:

    x = normalize((torch.arange(24, dtype=torch.float64) * 1.3).sin().reshape(2, 4, 3), dim=-1)
    d = torch.nn.PairwiseDistance(eps=0)
    t, f = -4 * d(x[0], x[1]) + 4, -4 * d(x[0], x[1].roll(-1, 0)) + 4
    log_loss([1] * 4 + [0] * 4, 1 / (1 + np.exp(-torch.cat([t, f]).numpy())))
    """
    x = (torch.arange(24, dtype=torch.float64) * 1.3).sin().reshape(2, 4, 3)
    batch = {"video": x[0], "tokens": torch.arange(4).view(4, 1, 1), "recording": torch.arange(4)}
    assert given(x[0], x[1])(batch).loss.item() == pytest.approx(2.6336751203261075, abs=1e-5)


def test_a_false_sentence_is_of_another_recording_in_other_words():
    method = tiny.run("narration_correspondence").method()
    tokens = torch.tensor([[[1]], [[1]], [[2]], [[-1]], [[3]]])
    other, found = method.mismatched(tokens, torch.tensor([0, 1, 0, 3, 4]))
    assert other.tolist() == [4, 2, 4, 4, 0], "0: 1 says the same, 2 is its own recording, 3 says nothing"
    assert found.tolist() == [1] * 5
    _, found = method.mismatched(torch.ones(3, 1, 1, dtype=torch.int64), torch.arange(3))
    assert found.tolist() == [0] * 3, "equal texts alone"


def test_wrong_pairs_are_pushed_apart_and_right_ones_together():
    video = torch.eye(4, 8).requires_grad_()
    text = (torch.eye(4, 8) + torch.eye(4, 8).roll(1, 0)).requires_grad_()
    batch = {"video": None, "tokens": torch.arange(4).view(4, 1, 1), "recording": torch.arange(4)}
    batch["video"] = video
    given(video, text)(batch).loss.backward()
    toward = -(video.grad * text).sum(1)
    assert (toward > 0).all(), "a step down the gradient brings a clip nearer to its own sentence"
