"""A box holds what the enlarged map shows lit, one for each part."""

import numpy as np
import pytest

from avssl.localize.boxes import MOST, boxes_of
from avssl.localize.masks import upsample


def test_two_parts_two_boxes_the_highest_first():
    scores = np.zeros((4, 8))
    scores[1, 1], scores[2, 5:7] = 0.6, 1.0
    found = boxes_of(scores, 0.5)
    assert [one.peak for one in found] == [1.0, 0.6]
    # linear between centres: 1.0 falls to 0.5 half a cell further on, 0.6 to 0.5 a sixth of a cell
    assert found[0].box == pytest.approx((5.0 / 8, 2.0 / 4, 7.0 / 8, 3.0 / 4))
    assert found[1].box == pytest.approx(((1.5 - 1 / 6) / 8, (1.5 - 1 / 6) / 4, (1.5 + 1 / 6) / 8, (1.5 + 1 / 6) / 4))


def test_dark_maps_have_none_and_full_ones_the_whole_picture():
    assert boxes_of(np.full((3, 3), 0.49), 0.5) == []
    assert boxes_of(np.full((3, 3), 0.5), 0.5)[0].box == (0.0, 0.0, 1.0, 1.0)
    assert len(boxes_of(np.indices((9, 9)).sum(0) % 2, 0.5)) == MOST, "a chequered map is cut off"


@pytest.mark.parametrize("seed", range(5))
def test_all_that_is_shown_lit_is_inside_a_box(seed):
    scores = np.random.default_rng(seed).random((5, 7))
    threshold = 0.85
    lit = upsample(scores, (5 * 21, 7 * 21)) >= threshold
    y, x = np.nonzero(lit)
    inside = np.zeros(len(x), bool)
    for (x0, y0, x1, y1), _ in boxes_of(scores, threshold):
        within = (x0 <= (x + 1) / 147) & (x / 147 <= x1) & (y0 <= (y + 1) / 105) & (y / 105 <= y1)
        inside |= within
        assert within.any()
    assert inside.all()
