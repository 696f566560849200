"""What is said in many recordings and fits none: ranks by hand, two groups against their formula, kin by words."""

from __future__ import annotations

import math

import numpy as np
import pytest

from avssl.data.narration import Phrase
from avssl.embedding.alignment import Placed
from avssl.embedding.chatter import FEWEST, KIN, alike, below, chatter, foreign, rank, told

NAN = math.nan
NOBODY = np.full((400, KIN), -1)


def two_groups(seed, count=400, share=0.25, near=10.0, of=41):
    """Ranks among ``of`` - 1 others, and who is foreign."""
    draw = np.random.default_rng(seed)
    away = draw.random(count) < share
    places = np.where(away, draw.random(count), draw.beta(near, 1, count))
    return (np.floor(places * of) + 0.5) / of, away


def test_what_is_below_is_counted_with_halves_for_ties():
    found = below(np.array([3.0, 1.0, NAN, 3.0, 5.0]))
    assert found == pytest.approx([(1 + 0.5) / 3, 0, NAN, (1 + 0.5) / 3, 1], nan_ok=True)
    assert below(np.array([2.0])) == pytest.approx([0.0])


def test_a_rank_is_by_the_view_that_says_most_and_taken_of_all_alike():
    """By picture: 2 of 3 below; by sound: none. The others' best standings are 1, 2/3, 1/3 and 2/3 in either view."""
    picture, sound = np.array([3.0, 4.0, 1.0, 2.0]), np.array([0.0, 1.0, 3.0, 2.0])
    # standings: own max(2/3, 0), others max(1, 1/3), max(0, 1), max(1/3, 2/3): one ties, two are above
    assert rank([picture, sound], 2) == pytest.approx((0.5 + 0.5) / 4)
    assert rank([picture], 2) == pytest.approx((2 + 0.5) / 4)
    assert math.isnan(rank([picture, np.array([0.0, NAN, 3.0, 2.0])], 3)), "only two others have both views"
    assert math.isnan(rank([], 0))


def test_ranks_of_foreign_sentences_lie_anywhere():
    draw = np.random.default_rng(0)
    found = [rank(list(draw.normal(size=(2, 41))), 8) for _ in range(2000)]
    assert np.histogram(found, 5, (0, 1))[0] / 2000 == pytest.approx([0.2] * 5, abs=0.03)
    assert 0 < min(found) < max(found) < 1


@pytest.mark.parametrize("share", [0.1, 0.25, 0.6])
def test_the_probability_is_the_literal_one_and_holds_what_it_says(share):
    probabilities, truth = [], []
    for seed in range(10):
        ranks, away = two_groups(seed, share=share)
        found, shares = foreign(ranks, NOBODY)
        assert (shares == 0).all(), "nobody has kin"
        assert found.mean() == pytest.approx(away.mean(), abs=0.07)
        near = (1 - found).sum() / sum(-(1 - p) * math.log(r) for p, r in zip(found, ranks, strict=True))
        mean = found.mean()
        literal = [mean / (mean + (1 - mean) * near * r ** (near - 1)) for r in ranks]
        assert found == pytest.approx(literal, abs=1e-3)
        probabilities.append(found)
        truth.append(away)
    told_apart, right = np.concatenate(probabilities), np.concatenate(truth)
    assert right[told_apart >= 0.9].mean() > 0.93
    assert right[told_apart >= 0.9].sum() > 0.3 * right.sum()
    for inside in (told_apart < 0.5, told_apart >= 0.5):
        assert right[inside].mean() == pytest.approx(told_apart[inside].mean(), abs=0.06)


def test_nothing_is_told_of_ranks_that_lie_anywhere_or_are_few():
    nothing = [foreign(two_groups(seed, share=1.0)[0], NOBODY) for seed in range(20)]
    assert nothing.count(None) >= 19
    ranks, _ = two_groups(0)
    assert foreign(ranks[: FEWEST - 1], NOBODY[: FEWEST - 1]) is None
    ranks[3] = NAN
    for found in foreign(ranks, NOBODY):
        assert math.isnan(found[3])
        assert np.isnan(found).sum() == 1
    assert foreign(np.full(400, NAN), NOBODY) is None


def test_of_equal_ranks_that_one_goes_whose_kin_are_foreign():
    """The first half is chatter that is said alike, the second half is about its recordings."""
    draw = np.random.default_rng(0)
    ranks = np.concatenate([draw.random(200), draw.beta(10, 1, 200)]).clip(0.01, 0.99)
    halves = np.repeat([0, 200], 200)
    kin = halves[:, None] + draw.integers(0, 200, (400, KIN))
    ranks[0] = ranks[200] = 0.8
    alone, with_kin = foreign(ranks, NOBODY)[0], foreign(ranks, kin)[0]
    assert alone[0] == alone[200]
    assert with_kin[0] > alone[0] > with_kin[200]
    gone = with_kin >= 0.9
    assert gone[:200].mean() > 1.2 * (alone >= 0.9)[:200].mean()
    assert gone[200:].sum() <= 3
    named = chatter(ranks, kin)
    assert (named[:200] == with_kin[:200]).all()
    assert (named[200:] == 0).all(), "whose kin belong"


def test_kin_share_words_and_are_of_other_recordings():
    texts = ["thanks for watching", "the dog barks", "Thanks, for watching!", "a dog barks", "...", "the dog barks", ""]
    found = alike(texts, ["a", "a", "b", "c", "c", "a", "d"])
    near = [[k for k in row if k >= 0] for row in found.tolist()]
    assert near == [[2], [3], [0], [1, 5], [], [3], []]
    assert (alike(["...", ""], ["a", "b"]) == -1).all()


def test_each_sentence_gets_its_own():
    """Of ninety sentences the first forty are one greeting, which fits as luck has it."""
    draw = np.random.default_rng(0)
    ranks = np.concatenate([(np.arange(40) + 0.5) / 40, draw.beta(10, 1, 50)])
    texts = ["thanks for watching"] * 40 + [f"word{number}" for number in range(50)]
    said = [Placed(Phrase(0, 1, text), None, 0.5, rank=one) for text, one in zip(texts, ranks, strict=True)]
    placed = {**{f"greeting{k}": said[k : k + 1] for k in range(40)}, "none": [], "rest": said[40:]}
    found = told(placed)
    assert {key: len(rows) for key, rows in found.items()} == {key: len(rows) for key, rows in placed.items()}
    every = [one for rows in found.values() for one in rows]
    assert [one.before.text for one in every] == texts
    given = np.array([one.chatter for one in every])
    assert (given[40:] == 0).all()
    assert given[:20].min() > 0.9
    (few,) = told({"a": said[:5]}).values()
    assert all(math.isnan(one.chatter) for one in few)
    assert told({}) == {}
