"""Colour bins: the published set, soft encoding, rarity and decoding against literal versions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator

from avssl.nn.colors import annealed, centers, rarity, soft_bins

PUBLISHED = {-90: (50, 90), -80: (20, 90), -70: (0, 90), -60: (-20, 90), -50: (-30, 100), -40: (-40, 100),
             -30: (-50, 100), -20: (-50, 100), -10: (-60, 100), 0: (-70, 100), 10: (-80, 90), 20: (-80, 90),
             30: (-90, 90), 40: (-100, 90), 50: (-100, 80), 60: (-110, 80), 70: (-110, 80), 80: (-110, 70),
             90: (-110, 70), 100: (-90, 0)}  # fmt: skip
"""a -> least and greatest b of the authors' list of bins"""


def test_the_bins_are_the_published_ones():
    wanted = [(a, b) for a, (low, high) in PUBLISHED.items() for b in range(low, high + 1, 10)]
    assert len(wanted) == 313
    assert centers().tolist() == [list(map(float, pair)) for pair in wanted]


@pytest.mark.parametrize(("neighbors", "deviation"), [(1, 5.0), (5, 5.0), (10, 5.0), (10, 2.0)])
def test_soft_bins_are_gaussian_shares_of_the_nearest(neighbors, deviation):
    ab = torch.rand(6, 2, generator=Generator().manual_seed(0)) * 120 - 60
    found = soft_bins(ab, neighbors, deviation)
    for (a, b), row in zip(ab.tolist(), found.tolist(), strict=True):
        apart = [(math.hypot(a - x, b - y), k) for k, (x, y) in enumerate(centers().tolist())]
        nearest = sorted(apart)[:neighbors]
        total = sum(math.exp(-(d**2) / (2 * deviation**2)) for d, _ in nearest)
        wanted = [0.0] * 313
        for d, k in nearest:
            wanted[k] = math.exp(-(d**2) / (2 * deviation**2)) / total
        assert row == pytest.approx(wanted, abs=1e-5)


def test_a_color_far_outside_belongs_to_its_nearest_bin():
    shares = soft_bins(torch.tensor([[500.0, 500.0], [20.0, 30.0]]), 10, 5.0)
    assert shares.sum(1).tolist() == pytest.approx([1, 1])
    assert centers()[shares[1].argmax()].tolist() == [20, 30]


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1.0])
def test_rarity_is_the_papers_and_its_mean_is_one(uniform):
    prior = torch.tensor([0.7, 0.2, 0.1, 0.0])
    raw = [1 / ((1 - uniform) * p + uniform / 3) if p else 0.0 for p in prior.tolist()]
    mean = sum(w * p for w, p in zip(raw, prior.tolist(), strict=True))
    found = rarity(prior, uniform)
    assert found.tolist() == pytest.approx([w / mean for w in raw], rel=1e-5)
    assert (found * prior).sum().item() == pytest.approx(1)
    if uniform == 1:
        assert found.tolist() == pytest.approx([1, 1, 1, 0])


def test_the_annealed_mean_lies_between_mean_and_mode():
    logits = torch.zeros(1, 313, 1, 1)
    low, high = 0, 200
    logits[0, low], logits[0, high] = 20.0, 21.0
    pair = centers()[[low, high]]
    for temperature in (0.38, 1.0):
        share = 1 / (1 + math.exp(1 / temperature))
        wanted = share * pair[0] + (1 - share) * pair[1]
        torch.testing.assert_close(annealed(logits, temperature)[0, :, 0, 0], wanted, atol=1e-2, rtol=0)
    torch.testing.assert_close(annealed(logits, 0.01)[0, :, 0, 0], pair[1])
