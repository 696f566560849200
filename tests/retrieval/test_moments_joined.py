"""Moments that touch only once others were joined, or but for rounding."""

import itertools

import pytest

from retrieval.moments import Hit, as_one, peaks


def hit(identity, start, end, score):
    return Hit(identity, "r", "r.mp4", start, end, start, score, "video", "", {})


def test_what_joins_two_moments_makes_them_one_whatever_the_order():
    spans = [(0, 1), (3, 4), (0.5, 3.5), (4.0, 5), (7, 8)]
    for scores in itertools.permutations((0.9, 0.8, 0.7, 0.6, 0.5)):
        hits = [hit(number, *span, score) for number, (span, score) in enumerate(zip(spans, scores, strict=True))]
        joined = max(hits[:4], key=lambda one: one.score)
        found = as_one([hits[:2], hits[2:]], 10, True)
        told = {(one.id, one.start, one.end, one.score) for one in found}
        assert told == {(joined.id, 0, 5, joined.score), (4, 7, 8, hits[4].score)}
        assert found[0].score == 0.9
        assert len(as_one([hits], 10, False)) == 5


def test_a_window_that_two_queries_found_is_there_once():
    found = as_one([[hit(3, 0, 1, 0.5), hit(4, 5, 6, 0.4)], [hit(3, 0, 2, 0.7)]], 10, False)
    assert [(one.id, one.start, one.end, one.score) for one in found] == [(3, 0, 2, 0.7), (4, 5, 6, 0.4)]


@pytest.mark.parametrize("first", [number / 10 for number in range(0, 40, 3)])
def test_a_gap_of_exactly_so_many_seconds_joins(first):
    for windows in itertools.permutations([(first, first + 0.5), (first + 1.0, first + 1.5)]):
        spans = [("r", "v", *window, score) for window, score in zip(windows, (1.0, 0.9), strict=True)]
        assert peaks(spans, 0.5, {}, 9)[0] == [(0, first, first + 1.5)]
        assert len(peaks(spans, 0.499, {}, 9)[0]) == 2


def test_what_scores_lower_than_one_moment_too_many_joins_nothing():
    told = [("a", 2, 0.9), ("b", 2, 0.8), ("a", 4, 0.7), ("a", 8, 0.6), ("a", 0, 0.5), ("b", 30, 0.3)]
    spans = [(recording, "video", start, start + 2, score) for recording, start, score in told]
    assert peaks(spans, 0.5, {}, 2) == ([(0, 2, 6), (1, 2, 4)], True), "a third would begin at 8 s"
    assert peaks(spans, 0.5, {}, 4) == ([(0, 0, 6), (1, 2, 4), (3, 8, 10), (5, 30, 32)], False)
