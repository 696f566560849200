"""The trivial predictors, and the ceiling of each rule."""

import numpy as np
import pytest

from avssl.localize import score
from avssl.localize.score import binarize, boxes_to_mask, ciou

SIZE = (224, 224)


def test_centre_disc_has_the_area_asked_for():
    for size, area in [((50, 50), 0.3), ((40, 80), 0.5), ((7, 7), 0.5)]:
        disc = score.centre_disc(size, area)
        assert binarize(disc, "universal", threshold=0.5).mean() == pytest.approx(area, abs=8 / disc.size)
        assert np.array_equal(disc, disc[::-1, ::-1])
        assert disc.max() <= 1.0
        assert disc.min() > 0.0
        assert binarize(disc).mean() == pytest.approx(0.5, abs=8 / disc.size)
    assert score.centre_disc((1, 1)).tolist() == [[1.0]]
    with pytest.raises(ValueError, match="area"):
        score.centre_disc((4, 4), 0.0)


def test_whole_image_and_average_box():
    assert binarize(score.whole_image((3, 5))).all()
    boxes = [[[0.0, 0.0, 0.5, 1.0]], [[0.25, 0.0, 0.75, 1.0]]]
    assert score.average_box(boxes, (1, 4)).tolist() == [[0.5, 1.0, 0.5, 0.0]]
    with pytest.raises(ValueError, match="at least one item"):
        score.average_box([], (1, 4))


def test_random_map_is_its_generators():
    first, again = (score.random_map(np.random.default_rng(1), SIZE) for _ in range(2))
    assert np.array_equal(first, again)
    assert first.shape == SIZE
    assert not np.array_equal(first, score.random_map(np.random.default_rng(2), SIZE))


def test_oracle_reaches_the_ceiling_of_each_rule():
    small = boxes_to_mask([[0.0, 0.0, 0.5, 0.5]], (4, 4))
    assert ciou(binarize(score.oracle(small)), small) == 4 / 8  # half must be marked, a quarter is right
    assert ciou(binarize(score.oracle(small), "adaptive", small), small) == 1.0
    large = boxes_to_mask([[0.0, 0.0, 1.0, 0.75]], (4, 4))
    assert ciou(binarize(score.oracle(large)), large) == 8 / 12
    for rule, threshold in [("fixed", None), ("universal", 0.5)]:
        assert ciou(binarize(score.oracle(small, rule), rule, threshold=threshold), small) == 1.0
    graded = np.array([[0.5, 1.0, 0.0, 0.0]])
    assert binarize(score.oracle(graded), "adaptive", graded).tolist() == [[True, True, False, False]]
