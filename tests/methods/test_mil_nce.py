"""MIL-NCE: the bag's loss against literal sums, closed forms and InfoNCE; who is a negative and who is not."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl.nn.contrast import mil_nce

WORDS = ("method.phrases=3", "method.width=16")


def literal(scores, tokens, recording, released):
    """The paper's sum over sets, one phrase at a time, with the exceptions this project makes."""
    count, phrases = len(scores), len(scores[0][0])
    losses = []

    def said(j, k):
        return any(token >= 0 for token in tokens[j][k])

    def holds(i, text):
        return any(said(i, k) and tokens[i][k] == text for k in range(phrases))

    for i in range(count):
        bag = [math.exp(scores[i][i][k]) for k in range(phrases) if said(i, k)]
        if not bag:
            continue
        below = sum(bag) * (2 if released else 1)
        for j in range(count):
            if j == i or recording[j] == recording[i]:
                continue
            for k in range(phrases):
                if said(j, k) and not holds(i, tokens[j][k]):
                    below += math.exp(scores[i][j][k])
                if said(i, k) and not holds(j, tokens[i][k]):
                    below += math.exp(scores[j][i][k])
        losses.append(-math.log(sum(bag) / below))
    return sum(losses) / len(losses) if losses else 0.0


def method(*words):
    return tiny.run("mil_nce", *WORDS, *words).method()


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("phrases", [1, 3])
@pytest.mark.parametrize("vocabulary", [2, 50])
@pytest.mark.parametrize("released", [False, True])
def test_the_loss_is_the_papers(count, phrases, vocabulary, released):
    """A vocabulary of two makes equal phrases everywhere; some phrases are empty, two items share a recording."""
    draw = Generator().manual_seed(count * 100 + phrases * 10 + vocabulary)
    scores = torch.randn(count, count, phrases, generator=draw) * 3
    tokens = torch.randint(vocabulary, (count, phrases, 2), generator=draw)
    tokens[torch.rand(count, phrases, generator=draw) < 0.2] = -1
    recording = torch.arange(count)
    if count > 2:
        recording[1] = recording[2]
    loss = method(f"method.released={released}").bag_loss(scores, tokens, recording)
    assert loss.item() == pytest.approx(
        literal(scores.tolist(), tokens.tolist(), recording.tolist(), released), abs=1e-5
    )


def distinct(count, phrases):
    return torch.arange(count * phrases).view(count, phrases, 1)


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("phrases", [1, 4])
def test_equal_scores_have_closed_forms(count, phrases):
    """K positives among K + 2 K (B - 1) candidates, or 2 K + 2 K (B - 1) as released."""
    scores, recording = torch.zeros(count, count, phrases), torch.arange(count)
    ours = method().bag_loss(scores, distinct(count, phrases), recording)
    theirs = method("method.released=true").bag_loss(scores, distinct(count, phrases), recording)
    assert ours.item() == pytest.approx(math.log(2 * count - 1), abs=1e-6)
    assert theirs.item() == pytest.approx(math.log(2 * count), abs=1e-6)


def test_the_floor_is_zero_and_log_two_as_released():
    scores = torch.full((4, 4, 2), -40.0)
    scores[torch.arange(4), torch.arange(4)] = 40.0
    recording = torch.arange(4)
    assert method().bag_loss(scores, distinct(4, 2), recording).item() == pytest.approx(0, abs=1e-6)
    floor = method("method.released=true").bag_loss(scores, distinct(4, 2), recording).item()
    assert floor == pytest.approx(math.log(2), abs=1e-5)


@pytest.mark.parametrize("count", [2, 6])
def test_one_phrase_in_one_direction_is_info_nce(count):
    logits = torch.randn(count, count, generator=Generator().manual_seed(count)).double()
    own = torch.eye(count, dtype=torch.bool)
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(count))
    torch.testing.assert_close(mil_nce(logits, own, torch.ones_like(own)), expected)


def test_the_best_phrase_of_a_bag_is_enough():
    scores = torch.zeros(2, 2, 3)
    scores[0, 0, 1] = 20.0
    scores[1, 1, 2] = 20.0
    assert method().bag_loss(scores, distinct(2, 3), torch.arange(2)) < 1e-4


def test_negatives_are_pushed_down_and_the_bag_up():
    scores = torch.zeros(3, 3, 2, requires_grad=True)
    method().bag_loss(scores, distinct(3, 2), torch.arange(3)).backward()
    own = torch.eye(3, dtype=torch.bool)
    assert (scores.grad[own] < 0).all()
    assert (scores.grad[~own] > 0).all()


def test_equal_texts_empty_texts_and_own_recordings_are_no_negatives():
    tokens = distinct(4, 2).clone()
    tokens[1, 0] = tokens[0, 1]  # item 1 says what item 0 says
    tokens[2, 1] = -1  # item 2 says one thing only
    recording = torch.tensor([0, 1, 2, 2])
    scores = torch.zeros(4, 4, 2, requires_grad=True)
    method().bag_loss(scores, tokens, recording).backward()
    grad = scores.grad
    assert grad[0, 1, 0] == 0, "clip 0 and the equal phrase of item 1"
    assert grad[0, 1, 1] > 0, "its other phrase is a negative"
    assert (grad[:, 2, 1] == 0).all(), "an empty phrase is nothing, for its own clip too"
    assert (grad[2, 3] == 0).all(), "segments of one recording"
    assert (grad[3, 2] == 0).all()


def test_without_any_narration_there_is_nothing_to_learn_and_nothing_breaks():
    scores = torch.zeros(3, 3, 2, requires_grad=True)
    loss = method().bag_loss(scores, torch.full((3, 2, 4), -1), torch.arange(3))
    loss.backward()
    assert loss == 0
    assert (scores.grad == 0).all()


def test_collapse_costs_more_than_separation():
    run = tiny.run("mil_nce", *WORDS)
    one, batch = run.method(), run.batch()
    apart = torch.eye(8, 16)

    def loss(video, text):
        one.embed = lambda modality, x: video if modality == "video" else text
        return one(batch).loss.item()

    same = torch.ones(8, 16) / 4
    assert loss(apart, apart.repeat_interleave(3, 0)) < loss(same, same.repeat_interleave(3, 0)) - 1


def test_the_order_of_the_batch_does_not_matter():
    run = tiny.run("mil_nce", *WORDS)
    one, batch = run.method(), run.batch()
    order = torch.randperm(8, generator=Generator().manual_seed(1))
    torch.testing.assert_close(one(batch).loss, one({key: value[order] for key, value in batch.items()}).loss)


def test_clips_are_cut_around_a_phrase():
    run = tiny.run("mil_nce", *WORDS)
    assert run.needs.window == "narration"
    assert run.needs.narrations == 3
    batch = run.batch()
    assert batch["tokens"].shape == (8, 3, 6)
    assert (batch["tokens"][:, 2] == -1).all(), "the made-up items have an empty last phrase"
