"""Figures over seeds: how far apart two means must be before anything is said of them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from seeds import by_label, difference


def test_a_difference_is_held_against_the_standard_error_of_both_means():
    """By hand: variances 0.01 and 0.01 of three each, error sqrt(0.02 / 3), 4 degrees of freedom, factor 2.7764."""
    found = difference((0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
    assert found.margin == pytest.approx(0.3)
    assert found.noise == pytest.approx(2.7764 * (0.02 / 3) ** 0.5, rel=1e-4)
    assert found.told
    assert not difference((0.31, 0.41, 0.51), (0.1, 0.2, 0.3)).told, "but by more than both deviations together"
    assert not difference((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)).told, "behind is not ahead"
    # unequal: 0.0875 / 12 + 0.005 / 2, half the interval of scipy.stats.ttest_ind(..., equal_var=False)
    assert difference((0.1, 0.2, 0.3, 0.5), (0.4, 0.5)).noise == pytest.approx(0.2747535, rel=1e-5)
    assert difference((0.5,), (0.1, 0.2)) is None
    assert difference((0.5, 0.5), (0.4, 0.4)) == (pytest.approx(0.1), 0.0, 0.0)


def test_what_was_asked_is_noise_that_seeds_do_not_show():
    """By hand: 1.96 sqrt((0.95 x 0.05 + 0.98 x 0.02) / 100); seeds that agree tell nothing of other recordings."""
    found = difference((0.98, 0.98), (0.95, 0.95), 100)
    assert found.asked == pytest.approx(1.96 * ((0.0475 + 0.0196) / 100) ** 0.5)
    assert found.told
    assert not found.sure
    assert difference((0.98, 0.98), (0.95, 0.95), 10_000).sure
    both = difference((0.4, 0.5, 0.6), (0.1, 0.2, 0.3), 60)  # 0.2267 and 1.96 sqrt((0.25 + 0.16) / 60) = 0.1620
    assert both.sure, "beyond the root of both squares, 0.2786"
    assert not difference((0.38, 0.48, 0.58), (0.12, 0.22, 0.32), 60).sure
    assert not difference((0.95, 0.95), (0.98, 0.98), 10_000).sure, "behind is not ahead"


def test_seeds_of_one_label_learnt_alike():
    """Steps and data that differ are told, so that no mean is over different runs."""
    rows = [
        {"name": "a", "steps": 9, "seed": 0, "data": "0123456789"},
        {"name": "b", "steps": 9, "seed": 0, "data": "x"},
    ]
    assert list(by_label(rows)) == ["a", "b"]
    other = {"name": "a", "steps": 9, "seed": 1, "data": "9876543210"}
    assert list(by_label([*rows, other])) == ["a (data 01234567)", "b", "a (data 98765432)"]
    assert list(by_label([rows[0], {**other, "learn": ["easy", "hard"]}])) == ["a", "a (easy + hard)"]
    assert list(by_label([rows[0], {**rows[0], "steps": 1000}])) == ["a (9 steps)", "a (1,000 steps)"]
    plain = {**rows[0], "words": ["data.batch=2"]}
    changed = {**plain, "words": ["data.batch=2", "data.together=2", "method.rivals.gap_seconds=1"]}
    assert list(by_label([plain, changed])) == ["a", "a (data.together=2; rivals.gap_seconds=1)"]
    assert list(by_label([plain, {**changed, "learn": ["easy", "hard"]}])) == ["a", "a (easy + hard)"]
