"""One sound against places: each brick against loops or a reference, and its limits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator

from avssl.nn.sounding import adjacency_gap, dropped, foreground, place_scores, soft_region, tri_map, warped


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def test_place_scores_are_inner_products_in_full_precision():
    places, sounds = drawn(2, 3, 2, 2), drawn(4, 3, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        found = place_scores(places, sounds)
    assert found.shape == (2, 4, 4)
    assert found.dtype == torch.float32
    for v in range(2):
        for a in range(4):
            for y in range(2):
                for x in range(2):
                    inner = sum(p * q for p, q in zip(places[v, :, y, x].tolist(), sounds[a].tolist(), strict=True))
                    assert found[v, a, 2 * y + x].item() == pytest.approx(inner, abs=1e-5)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(("threshold", "softness"), [(0.65, 0.3), (-0.2, 0.1)])
def test_a_soft_region_is_its_formula(inside, threshold, softness):
    scores = drawn(3, 5)
    found = soft_region(scores, threshold, softness, inside)
    for row, value in zip(scores.tolist(), found.tolist(), strict=True):
        lit = [1 / (1 + math.exp(-(s - threshold) / softness)) for s in row]
        weights = lit if inside else [1 - w for w in lit]
        assert value == pytest.approx(sum(w * s for w, s in zip(weights, row, strict=True)) / sum(weights), rel=1e-3)


def test_a_soft_region_far_from_its_threshold_is_still_a_mean():
    """All weights would round to zero: exp(-55) each."""
    assert soft_region(torch.full((1, 4), -1.0), 0.65, 0.03).item() == pytest.approx(-1.0)
    assert soft_region(torch.full((1, 4), 1.0), 0.0, 0.001, inside=False).item() == pytest.approx(1.0)


def test_a_tri_map_lists_the_own_region_other_sounds_and_the_background():
    scores = drawn(3, 4, 5).tanh()
    same = torch.eye(3, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    logits = tri_map(scores, same, (0.5, 0.1), 0.1, 0.2)
    assert logits.shape == (3, 6)
    torch.testing.assert_close(logits[2, 0], soft_region(scores[2, 2], 0.5, 0.1) / 0.2)
    torch.testing.assert_close(logits[2, 1], soft_region(scores[2, 0], 0.5, 0.1) / 0.2)
    torch.testing.assert_close(logits[2, 4], soft_region(scores[2, 3], 0.5, 0.1) / 0.2)
    torch.testing.assert_close(logits[2, 5], soft_region(scores[2, 2], 0.1, 0.1, inside=False) / 0.2)
    shares = logits.softmax(1)
    assert shares[2, 3] == 0, "its own sound is no negative"
    assert shares[0, 2] == shares[1, 1] == 0, "nor that of its recording"
    assert (shares[2, [0, 1, 2, 4, 5]] > 0).all()


def test_the_adjacency_gap_is_a_mean_difference_of_shares():
    """By hand: rows (1/2, 1/2) and (3/4, 1/4) against (1/4, 3/4) twice: 1/4, 1/4, 1/2, 1/2."""
    first = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    second = torch.tensor([[0.0, math.log(3)], [1.0, 1.0 + math.log(3)]])
    assert adjacency_gap(first, second).item() == pytest.approx(0.375)
    assert adjacency_gap(first, first + 5).item() == pytest.approx(0, abs=1e-7)


def test_the_foreground_is_what_lies_high_on_its_own_map():
    places = torch.arange(8.0).view(1, 2, 4)
    own = torch.tensor([[-1.0, 0.0, 0.5, 1.0]])  # of the range: 0, 0.5, 0.75, 1
    expected = torch.tensor([[(2.0 + 3.0) / 4, (6.0 + 7.0) / 4]])
    torch.testing.assert_close(foreground(places, own, 0.6), expected)
    assert foreground(places, torch.full((1, 4), 0.3), 0.6).abs().sum() == 0, "a flat map has no foreground"


def test_dropout_keeps_the_mean_and_follows_each_rows_seed():
    x, seeds = torch.ones(3, 4, 50, 50), torch.tensor([5, 6, 5])
    found = dropped(x, seeds, 0.9)
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found[1:2], dropped(x[1:2], seeds[1:2], 0.9)), "whatever its neighbors"
    assert found.unique().tolist() == pytest.approx([0.0, 10.0])
    assert found.mean().item() == pytest.approx(1.0, abs=0.05)


def test_warps_do_nothing_mirror_turn_and_shrink():
    x = torch.arange(16.0).view(1, 1, 4, 4)

    def by(*rows):
        return warped(x, torch.tensor([rows]))

    torch.testing.assert_close(by((1, 0, 0), (0, 1, 0)), x)
    torch.testing.assert_close(by((-1, 0, 0), (0, 1, 0)), x.flip(3))
    torch.testing.assert_close(by((0, -1, 0), (1, 0, 0)), x.rot90(1, (2, 3)), atol=1e-4, rtol=1e-4)
    small = by((2, 0, 0), (0, 2, 0))
    assert small[0, 0, 0].abs().sum() == 0, "outside is zero"
    torch.testing.assert_close(small[0, 0, 1:3, 1:3], torch.tensor([[2.5, 4.5], [10.5, 12.5]]))
