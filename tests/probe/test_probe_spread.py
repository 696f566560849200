"""Intervals against scipy and against resampling written out; trivial predictors by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from avssl.probe import spread


@pytest.mark.parametrize("count", [1, 7, 80, 1000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.93, 1.0])
def test_wilsons_interval_is_scipys(count, share):
    right = round(share * count)
    told = binomtest(right, count).proportion_ci(method="wilson")
    assert spread.wilson(right, count) == pytest.approx((right / count, told.low, told.high), abs=1e-9)


def test_no_answers_or_too_many_right_ones_are_refused():
    for right, count in ((0, 0), (3, 2), (-1, 5)):
        with pytest.raises(ValueError, match="answers"):
            spread.wilson(right, count)


@pytest.mark.parametrize(("first", "second"), [(0.6, 0.5), (0.3, 0.3), (1.0, 0.2)])
def test_a_gain_is_the_difference_with_the_spread_of_paired_resampling(first, second):
    draw = np.random.default_rng(5)
    one, two = draw.random(300) < first, draw.random(300) < second
    told = spread.gain(one, two)
    assert told.value == pytest.approx(one.mean() - two.mean())
    drawn = [draw.integers(0, 300, 300) for _ in range(2000)]
    low, high = np.percentile([one[k].mean() - two[k].mean() for k in drawn], [2.5, 97.5])
    assert told[1:] == pytest.approx((low, high), abs=0.012)
    assert spread.gain(one, two) == told, "the same numbers give the same interval"


def test_what_both_know_does_not_widen_the_gain():
    same = np.arange(200) % 2 == 0
    assert spread.gain(same, same) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="example by example"):
        spread.gain(same, same[:3])


def test_the_commonest_class_of_what_was_fitted_is_said_always():
    assert spread.majority(np.array([2, 2, 0]), np.array([2, 0, 0, 0])) == 0.25
    assert spread.per_class(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 2])) == 0.5
