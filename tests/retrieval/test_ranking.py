"""Ranking metrics against enumeration of every order of the tied, and against numbers worked out by hand."""

import itertools
import math

import numpy as np
import pytest

from retrieval import metrics, ranking


def orders(scores, keep):
    """Every ranking of one query's candidates that its scores allow, equally likely."""
    blocks = [
        [int(g) for g in np.flatnonzero((scores == value) & keep)] for value in sorted(set(scores[keep]), reverse=True)
    ]
    for choice in itertools.product(*(list(itertools.permutations(block)) for block in blocks)):
        yield [g for block in choice for g in block]


def brute(scores, keep, relevant, grades, k):
    """Expectations over orders of hit, rank, 1/rank, fraction found, average precision and nDCG, one query."""
    figures = []
    for order in orders(scores, keep):
        ranks = [r for r, g in enumerate(order, 1) if relevant[g]]
        gains = [2.0 ** grades[g] - 1 for g in order]
        dcg = sum(gain / math.log2(r + 1) for r, gain in enumerate(gains[:k], 1))
        ideal = sum(gain / math.log2(r + 1) for r, gain in enumerate(sorted(gains, reverse=True)[:k], 1))
        found = sum(r <= k for r in ranks)
        precision = [i / r for i, r in enumerate(ranks, 1)]
        figures.append(
            (
                float(bool(ranks) and ranks[0] <= k),
                ranks[0] if ranks else len(order) + 1,
                1 / ranks[0] if ranks else 0,
                found / len(ranks) if ranks else math.nan,
                np.mean(precision) if ranks else math.nan,
                dcg / ideal if ideal else math.nan,
            )
        )
    return np.array(figures)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("excluding", [False, True])
def test_every_metric_equals_enumeration(seed, excluding):
    random = np.random.default_rng(seed)
    queries, gallery, k = 7, int(random.integers(1, 7)), int(random.integers(1, 8))
    scores = random.integers(0, 3, (queries, gallery)).astype(float)
    grades = random.integers(0, 3, (queries, gallery)) * (random.random((queries, gallery)) < 0.6)
    exclude = random.random((queries, gallery)) < 0.3 if excluding else np.zeros((queries, gallery), bool)
    exclude[exclude.all(axis=1), 0] = False
    per_query = [
        brute(s, ~e, (g > 0) & ~e, np.where(e, 0, g), k) for s, e, g in zip(scores, exclude, grades, strict=True)
    ]
    hit, rank, reciprocal, fraction, precision, ndcg = np.array([q.mean(axis=0) for q in per_query]).T
    given = {"exclude": exclude if excluding else None}

    placed = metrics.place(scores, grades, **given)
    np.testing.assert_allclose(placed.rank(), rank, rtol=1e-12)
    lowest, highest = ([f(q[:, 1]) for q in per_query] for f in (np.min, np.max))
    np.testing.assert_array_equal(placed.rank("optimistic"), lowest)
    np.testing.assert_array_equal(placed.rank("pessimistic"), highest)
    for rank_of, ties in ((lowest, "optimistic"), (highest, "pessimistic")):
        assert placed.recall_at(k, ties) == np.mean(
            [r <= k and q[0, 2] > 0 for r, q in zip(rank_of, per_query, strict=True)]
        )
        assert placed.mrr(ties) == pytest.approx(
            np.mean([(q[0, 2] > 0) / r for r, q in zip(rank_of, per_query, strict=True)])
        )
    np.testing.assert_allclose(placed.recall_at(k), hit.mean(), rtol=1e-12)
    assert metrics.recall_at(scores, grades, k, **given) == placed.recall_at(k)
    np.testing.assert_allclose(placed.mean_rank(), rank.mean(), rtol=1e-12)
    np.testing.assert_allclose(placed.median_rank(), np.median(rank), rtol=1e-12)
    np.testing.assert_allclose(placed.mrr(), reciprocal.mean(), rtol=1e-12)
    for measured, wanted in (
        (metrics.recall_fraction_at(scores, grades, k, **given), fraction),
        (metrics.mean_average_precision(scores, grades, **given), precision),
        (metrics.ndcg_at(scores, grades, k, **given), ndcg),
    ):
        assert measured.n == np.isfinite(wanted).sum()
        assert measured.left_out == np.isnan(wanted).sum()
        if measured.n:
            assert measured.mean == pytest.approx(np.nanmean(wanted), rel=1e-12)


def test_chunks_change_nothing(monkeypatch):
    random = np.random.default_rng(5)
    scores, grades = random.integers(0, 9, (40, 11)) / 8, random.integers(0, 3, (40, 11))
    whole = metrics.summarize(scores, grades, exclude=np.arange(40) % 11)
    monkeypatch.setattr(ranking, "CHUNK", 25)
    assert metrics.summarize(scores, grades, exclude=np.arange(40) % 11) == whole


def test_constant_scores_are_chance():
    n = 8
    constant, own = np.ones((n, n)), np.arange(n)
    for k in range(1, n + 1):
        assert metrics.recall_at(constant, own, k) == k / n
        assert metrics.recall_at(constant, own, k, "optimistic") == 1.0
        assert metrics.recall_at(constant, own, k, "pessimistic") == float(k == n)
    assert metrics.place(constant, own).median_rank() == (n + 1) / 2
    assert metrics.place(constant, own).mrr() == pytest.approx(sum(1 / r for r in range(1, n + 1)) / n)


def test_hand_case():
    # Graded 3, 2, 3, 0, 1, 2 in this order: the textbook's DCG with gains 7, 3, 7, 0, 1, 3.
    grades = np.array([[3, 2, 3, 0, 1, 2]])
    dcg = 7 + 3 / math.log2(3) + 7 / 2 + 0 + 1 / math.log2(6) + 3 / math.log2(7)
    ideal = 7 + 7 / math.log2(3) + 3 / 2 + 3 / math.log2(5) + 1 / math.log2(6)
    scores = np.array([[6, 5, 4, 3, 2, 1]])
    assert metrics.ndcg_at(scores, grades, 6).mean == pytest.approx(dcg / ideal, rel=1e-12)
    linear = metrics.ndcg_at(scores, grades, 2, gain="linear").mean
    assert linear == pytest.approx((3 + 2 / math.log2(3)) / (3 + 3 / math.log2(3)), rel=1e-12)
    # Relevant at ranks 1, 3 and 6.
    assert metrics.mean_average_precision(scores, [[1, 0, 1, 0, 0, 1]]).mean == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)
    assert metrics.place([[0.1, 0.9, 0.9, 0.3]], [3]).rank().tolist() == [3.0]


def test_random_orders_reach_the_analytic_chance():
    random = np.random.default_rng(0)
    relevance = random.random((30, 40)) < 0.15
    own = np.arange(30)
    relevance[own, own] = True
    drawn = [metrics.summarize(random.random((30, 40)), relevance, positive=own) for _ in range(300)]
    expected = metrics.chance(relevance, positive=own)
    for name in ("r1", "r5", "r10", "ndcg10", "medr"):
        values = np.array([figures[name] for figures in drawn])
        assert abs(values.mean() - expected[name]) < 5 * values.std() / math.sqrt(len(values)), name
    assert expected["r1"] == pytest.approx(1 / 40)
    assert expected["n"] == 30


def test_order_of_the_gallery_and_duplicates_in_it_do_not_matter():
    random = np.random.default_rng(1)
    scores, own = random.integers(0, 5, (20, 20)).astype(float), np.arange(20)
    order = random.permutation(20)
    assert metrics.summarize(scores[:, order], np.eye(20)[:, order], positive=np.argsort(order)) == metrics.summarize(
        scores, np.eye(20), positive=own
    )
    # A second copy of item 0 that ranks below another query's positive leaves that query's rank alone.
    doubled = np.concatenate([scores, scores[:, :1]], axis=1)
    ranks, with_copy = metrics.place(scores, own).rank(), metrics.place(doubled, own).rank()
    below = scores[:, 0] < scores[own, own]
    assert below.any()
    np.testing.assert_array_equal(ranks[below], with_copy[below])


def test_missing_is_a_miss_and_stays_in_the_denominator():
    scores, own = np.eye(4), np.arange(4)
    missing = np.array([False, True, False, False])
    assert metrics.recall_at(scores, own, 4, missing=missing) == 0.75
    assert metrics.recall_at(scores, np.array([0, -1, 2, 3]), 10) == 0.75
    assert metrics.place(scores, own, missing=missing).mrr() == 0.75
    assert metrics.place(scores, own, missing=missing).rank().tolist() == [1, 5, 1, 1]
    figures = metrics.summarize(scores, np.eye(4), positive=own, missing=missing)
    assert figures == {"r1": 0.75, "r5": 0.75, "r10": 0.75, "medr": 1.0, "ndcg10": 0.75, "n": 4}
    assert metrics.mean_average_precision(scores, np.eye(4), missing=missing).mean == 0.75
    assert metrics.recall_fraction_at(scores, np.eye(4), 1, missing=missing).mean == 0.75


def test_own_item_and_own_recording_are_left_out():
    recordings = ["a", "a", "b", "b"]
    scores = np.full((4, 4), 0.5)
    np.fill_diagonal(scores, 1.0)
    same_kind = np.ones((4, 4))
    assert metrics.summarize(scores, same_kind, exclude=np.arange(4))["r1"] == 1.0
    mask = metrics.same_recording(recordings, recordings)
    assert mask.tolist() == [[True, True, False, False]] * 2 + [[False, False, True, True]] * 2
    own_kind_only = np.eye(4)
    left = metrics.ndcg_at(scores, own_kind_only, 10, mask)
    assert (left.n, left.left_out) == (0, 4)
    assert math.isnan(left.mean)
    assert metrics.recall_at(scores, own_kind_only, 10, exclude=mask) == 0.0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: metrics.recall_at([[1.0, np.nan]], [0], 1), "NaN in query 0"),
        (lambda: metrics.ndcg_at([[1.0, np.nan]], [[1, 0]], 1), "NaN in query 0"),
        (lambda: metrics.mean_average_precision([[1.0], [np.nan]], [[1], [1]]), "NaN in query 1"),
        (lambda: metrics.hubness([[np.nan]], 1), "NaN in query 0"),
        (lambda: metrics.modality_gap([[np.nan]], [[1.0]]), "NaN"),
        (lambda: metrics.recall_at([[1.0]], [0], 0), "k must be"),
        (lambda: metrics.recall_at([[1.0]], [1], 1), "between -1"),
        (lambda: metrics.recall_at([[1.0]], [0.0], 1), "whole number"),
        (lambda: metrics.recall_at([[1.0]], [0], 1, "lucky"), "expected, optimistic or pessimistic"),
        (lambda: metrics.recall_at([[1.0, 2.0]], [1], 1, exclude=[1]), "query 0: its positive is excluded"),
        (lambda: metrics.recall_at([[1.0, 2.0]], [[1, 0, 0]], 1), "relevance has shape"),
        (lambda: metrics.recall_at([[1.0, 2.0]], [[1, -1]], 1), "not negative"),
        (lambda: metrics.recall_at(np.empty((0, 3)), np.empty(0, int), 1), "not empty"),
        (lambda: metrics.recall_at([[1.0, 2.0]], [0], 1, exclude=[[0, 1]]), "exclude must be boolean"),
        (lambda: metrics.recall_at([[1.0, 2.0]], [0], 1, missing=[True, False]), "missing must have"),
        (lambda: metrics.modality_gap([[1.0]], [[1.0, 2.0]]), "one width"),
    ],
)
def test_wrong_input_is_told(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_infinite_scores_keep_their_order():
    scores = np.array([[-np.inf, 1.0, np.inf, -np.inf]])
    assert metrics.place(scores, [0]).rank().tolist() == [3.5]
    exclude = np.array([[False, False, True, True]])
    assert metrics.ndcg_at(scores, [[1, 0, 1, 1]], 4, exclude).mean == pytest.approx(1 / math.log2(3))
    assert metrics.mean_average_precision(scores, [[1, 0, 1, 1]], exclude=exclude).mean == 0.5


def test_hubness_counts_first_places():
    # Item 0 is in everybody's first place: occurrences 4, 0, 0, 0.
    scores = np.zeros((4, 4))
    scores[:, 0] = 1.0
    counts = np.array([4.0, 0, 0, 0])
    skew = ((counts - 1) ** 3).mean() / counts.std() ** 3
    assert metrics.hubness(scores, 1) == pytest.approx(skew)
    assert metrics.hubness(np.eye(4), 1) == 0.0
    assert metrics.hubness(np.ones((3, 5)), 2) == 0.0


def test_modality_gap_is_the_distance_of_means():
    assert metrics.modality_gap([[1.0, 0.0], [1.0, 2.0]], [[4.0, 5.0]]) == 5.0
