"""Sliding a sound along a picture: against the correlation one offset at a time, and known delays found again."""

from __future__ import annotations

import numpy as np
import pytest

from avssl.sync.curve import Course, Sums, peak, slide


def course(values, step, missing=()):
    valid = np.ones(len(values), bool)
    valid[list(missing)] = False
    return Course(np.asarray(values, np.float64), step, valid)


def literal(picture, sound, ratio, lag, missing):
    """Correlation of the picture with the means of ``ratio`` sound steps from k ratio + lag on, pair by pair."""
    pairs = []
    for k in range(len(picture)):
        span = list(range(k * ratio + lag, (k + 1) * ratio + lag))
        if span[0] < 0 or span[-1] >= len(sound) or set(span) & set(missing):
            continue
        pairs.append((picture[k], np.mean([sound[s] for s in span], 0)))
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    a, b = a - a.mean(0), b - b.mean(0)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("ratio", [1, 2, 4])
@pytest.mark.parametrize("missing", [(), (0, 1, 17)])
def test_the_curve_is_the_correlation_at_each_offset(width, ratio, missing):
    random = np.random.default_rng(width)
    picture, sound = random.standard_normal((20, width)), random.standard_normal((20 * ratio, width))
    lags = np.arange(-8, 9)
    sums = slide(course(picture, 0.04 * ratio), course(sound, 0.04, missing), lags * 0.04)
    expected = [literal(picture, sound, ratio, int(lag), missing) for lag in lags]
    np.testing.assert_allclose(sums.curve(), expected, atol=1e-9)


@pytest.mark.parametrize("delay", [-0.37, -0.04, 0.0, 0.111, 0.3])
def test_a_known_delay_is_found_between_the_steps(delay):
    """What is seen is a smooth course at time t, what is heard the same course ``delay`` later."""
    fine = np.random.default_rng(0).standard_normal((400, 4))
    fine = np.stack([np.convolve(each, np.hanning(15), "same") for each in fine.T], 1)
    times = np.arange(400) * 0.02

    def mean_over(begin, step):
        inside = np.linspace(begin, begin + step, 9)
        return [np.mean([np.interp(inside, times, fine[:, e])], 1)[0] for e in range(4)]

    picture = course([mean_over(2 + 0.08 * k, 0.08) for k in range(40)], 0.08)
    sound = course([mean_over(2 + 0.04 * k - delay, 0.04) for k in range(80)], 0.04)
    offsets = np.arange(-25, 26) * 0.04
    found, confidence = peak(offsets, slide(picture, sound, offsets).curve())
    assert found == pytest.approx(delay, abs=0.01)
    assert confidence > 0.8


def test_stretches_add_up_to_one_long_correlation_and_what_does_not_change_says_nothing():
    random = np.random.default_rng(1)
    offsets = np.arange(-5, 6) * 0.1
    pairs = [(random.standard_normal((20, 2)), random.standard_normal((20, 2))) for _ in range(2)]
    each = [slide(course(a, 0.1), course(b, 0.1), offsets) for a, b in pairs]
    both = each[0] + each[1]
    expected = sum(one.products for one in each) / np.sqrt(sum(s.seen for s in each) * sum(s.heard for s in each))
    np.testing.assert_allclose(both.curve(), expected)
    flat = slide(course(np.full((20, 2), 7.3), 0.1), course(pairs[0][1], 0.1), offsets)
    np.testing.assert_array_equal(flat.curve(), np.zeros(11))
    np.testing.assert_allclose((flat + each[0]).curve(), each[0].curve())


def test_an_offset_at_which_too_little_meets_has_no_score():
    random = np.random.default_rng(2)
    picture, sound = course(random.standard_normal((6, 1)), 0.1), course(random.standard_normal((6, 1)), 0.1)
    curve = slide(picture, sound, np.arange(-5, 6) * 0.1).curve()
    assert (curve != 0).tolist() == [abs(lag) <= 2 for lag in range(-5, 6)]


@pytest.mark.parametrize("top", [-0.13, 0.0, 0.07])
def test_the_peak_of_a_parabola_is_found_exactly(top):
    offsets = np.arange(-5, 6) * 0.1
    curve = 0.9 - (offsets - top) ** 2
    found, confidence = peak(offsets, curve)
    assert found == pytest.approx(top, abs=1e-9)
    assert confidence == pytest.approx(curve.max() - np.median(curve))


def test_a_peak_at_the_end_of_the_range_and_a_level_curve_stay_where_they_are():
    offsets = np.arange(-2, 3) * 0.5
    assert peak(offsets, np.array([0.1, 0.2, 0.3, 0.4, 0.9])) == (1.0, pytest.approx(0.6))
    assert peak(offsets, np.zeros(5))[1] == 0.0
    assert Sums(*np.zeros((3, 5))).curve().tolist() == [0.0] * 5
