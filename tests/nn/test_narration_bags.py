"""Bags of phrases: MIL-NCE both ways against loops and reference numbers, and which phrases are no negatives."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator

from avssl import ops
from avssl.nn.contrast import info_nce
from avssl.nn.narration import bag_contrast, equal_texts


def problem(count, phrases, vocabulary):
    """Some phrases are empty, some equal where the vocabulary is small, two items share a recording."""
    draw = Generator().manual_seed(count * 100 + phrases * 10 + vocabulary)
    vectors = ops.unit(torch.randn(count, 5, generator=draw))
    bags = ops.unit(torch.randn(count, phrases, 5, generator=draw))
    tokens = torch.randint(vocabulary, (count, phrases, 2), generator=draw)
    tokens[torch.rand(count, phrases, generator=draw) < 0.25] = -1
    recording = torch.arange(count)
    if count > 2:
        recording[1] = recording[2]
    return vectors, bags, tokens, recording


def literal(vectors, bags, tokens, recording, scale):
    """Both directions, one phrase at a time."""
    count, phrases = len(vectors), len(bags[0])

    def said(j, k):
        return any(token >= 0 for token in tokens[j][k])

    def score(i, j, k):
        return math.exp(scale * sum(p * q for p, q in zip(vectors[i], bags[j][k], strict=True)))

    def counts(i, j, k):
        if not said(j, k):
            return False
        return i == j or (recording[i] != recording[j] and tokens[j][k] not in tokens[i])

    find, found, hits = [], [], []
    for i in range(count):
        own = sum(score(i, i, k) for k in range(phrases) if said(i, k))
        if not own:
            continue
        candidates = {(j, k): score(i, j, k) for j in range(count) for k in range(phrases) if counts(i, j, k)}
        find.append(-math.log(own / sum(candidates.values())))
        hits.append(max(candidates, key=candidates.get)[0] == i)
        found.append(
            -math.log(own / sum(score(j, i, k) for j in range(count) for k in range(phrases) if counts(j, i, k)))
        )
    if not find:
        return 0.0, 0.0
    return 0.5 * (sum(find) + sum(found)) / len(find), sum(hits) / len(hits)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("phrases", [1, 3])
@pytest.mark.parametrize("vocabulary", [2, 50])
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_bag_contrast_is_its_formula(count, phrases, vocabulary, scale):
    parts = problem(count, phrases, vocabulary)
    loss, accuracy = bag_contrast(*parts, torch.tensor([scale]))
    expected, hits = literal(*(part.tolist() for part in parts), scale)
    assert loss.item() == pytest.approx(expected, abs=1e-4)
    assert accuracy.item() == pytest.approx(hits, abs=1e-6)


def distinct(count, phrases):
    return torch.arange(count * phrases).view(count, phrases, 1)


def test_bag_contrast_equals_its_reference():
    """Computed once with scipy, for scores c (vector, item, phrase):

    c = 2 * np.sin(np.arange(27.0)).reshape(3, 3, 3); own = logsumexp(c[range(3), range(3)], 1)
    the mean of logsumexp(c.reshape(3, 9), 1) - own and logsumexp(c.transpose(1, 0, 2).reshape(3, 9), 1) - own
    """
    scores = 2 * torch.arange(27, dtype=torch.float64).sin().view(3, 3, 3)
    bags = scores.permute(1, 2, 0)  # against the vectors of an identity these are the scores
    loss, _ = bag_contrast(torch.eye(3).double(), bags, distinct(3, 3), torch.arange(3), torch.ones(1))
    assert loss.item() == pytest.approx(0.8508874271307747, abs=1e-9)


@pytest.mark.parametrize("count", [1, 2, 6])
def test_with_one_phrase_it_is_info_nce(count):
    draw = Generator().manual_seed(count)
    vectors, bags = (ops.unit(torch.randn(count, 4, generator=draw)) for _ in range(2))
    recording = torch.arange(count) // 2
    loss, _ = bag_contrast(vectors, bags[:, None], distinct(count, 1), recording, torch.tensor([5.0]))
    expected = info_nce(vectors @ bags.T * 5, invalid=recording[:, None] == recording)
    torch.testing.assert_close(loss, expected)


def gradients(tokens, recording):
    """Of the loss by each score [vector, item, phrase], all scores equal."""
    count, phrases = tokens.shape[:2]
    scores = torch.zeros(count, count, phrases, requires_grad=True)
    loss, _ = bag_contrast(torch.eye(count), scores.permute(1, 2, 0), tokens, recording, torch.ones(1))
    loss.backward()
    return scores.grad


def test_negatives_are_pushed_down_and_the_bag_up():
    grad = gradients(distinct(3, 2), torch.arange(3))
    own = torch.eye(3, dtype=torch.bool)
    assert (grad[own] < 0).all()
    assert (grad[~own] > 0).all()


def test_equal_texts_empty_texts_and_own_recordings_are_no_negatives():
    tokens = distinct(4, 2).clone()
    tokens[1, 0] = tokens[0, 1]  # item 1 says what item 0 says
    tokens[2, 1] = -1  # item 2 says one thing only
    grad = gradients(tokens, torch.tensor([0, 1, 2, 2]))
    assert grad[0, 1, 0] == 0, "clip 0 and the equal phrase of item 1"
    assert grad[1, 0, 1] == 0, "and the other way round"
    assert grad[0, 1, 1] > 0, "its other phrase is a negative"
    assert (grad[:, 2, 1] == 0).all(), "an empty phrase is nothing, for its own clip too"
    assert (grad[2, 3] == 0).all(), "segments of one recording"
    assert (grad[3, 2] == 0).all()


def test_equal_texts_are_told_phrase_by_phrase():
    tokens = torch.tensor([[[1, 2], [3, -1]], [[3, -1], [4, 4]], [[1, -1], [2, 1]]])
    same = equal_texts(tokens)
    expected = torch.zeros(3, 3, 2, dtype=torch.bool)
    expected[range(3), range(3)] = True
    expected[0, 1, 0] = expected[1, 0, 1] = True
    assert torch.equal(same, expected)


def test_empty_phrases_do_not_matter_whatever_their_vectors_are():
    vectors, bags, tokens, recording = problem(5, 3, 50)
    assert (tokens < 0).any(), "the case has empty phrases"
    other = torch.where((tokens < 0).all(2)[:, :, None], -3 * bags, bags)
    first, second = (bag_contrast(vectors, each, tokens, recording, torch.ones(1)) for each in (bags, other))
    torch.testing.assert_close(first, second)


def test_without_any_narration_there_is_nothing_to_learn():
    vectors, bags = torch.eye(3).requires_grad_(), torch.ones(3, 2, 3)
    loss, accuracy = bag_contrast(vectors, bags, torch.full((3, 2, 4), -1), torch.arange(3), torch.ones(1))
    loss.backward()
    assert loss == 0
    assert accuracy == 0
    assert (vectors.grad == 0).all()


def test_collapse_costs_more_than_separation():
    tokens, recording, scale = distinct(6, 2), torch.arange(6), torch.tensor([10.0])
    apart, _ = bag_contrast(torch.eye(6), torch.eye(6)[:, None].expand(-1, 2, -1), tokens, recording, scale)
    same = torch.ones(6, 6) / 6**0.5
    collapsed, _ = bag_contrast(same, same[:, None].expand(-1, 2, -1), tokens, recording, scale)
    assert collapsed.item() == pytest.approx(math.log(6), abs=1e-4)
    assert apart < collapsed - 1


def test_the_order_of_the_batch_and_of_the_phrases_does_not_matter():
    vectors, bags, tokens, recording = problem(6, 3, 3)
    order, inside = (torch.randperm(n, generator=Generator().manual_seed(1)) for n in (6, 3))
    shuffled = (vectors[order], bags[order][:, inside], tokens[order][:, inside], recording[order])
    first, second = (bag_contrast(*parts, torch.ones(1)) for parts in ((vectors, bags, tokens, recording), shuffled))
    torch.testing.assert_close(first, second)
