"""Figures over seeds: how far apart two means must be before anything is said of them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from seeds import difference


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
    assert difference((0.5, 0.5), (0.4, 0.4)) == (pytest.approx(0.1), 0.0)
