"""Localization scores on cases worked out by hand: ties, constant and empty maps included."""

import numpy as np
import pytest

from avssl.localize import score

LEFT = np.array([[1.0, 1.0, 0.0, 0.0]])
RIGHT = LEFT[:, ::-1]


def marked(*places, size=4):
    mask = np.zeros((1, size), dtype=bool)
    mask[0, list(places)] = True
    return mask


def test_ciou_by_hand():
    assert score.ciou(marked(0, 1), LEFT) == 1.0
    assert score.ciou(marked(0), LEFT) == 0.5
    assert score.ciou(marked(1, 2), LEFT) == 1 / 3
    assert score.ciou(marked(), LEFT) == 0.0
    # A pixel one annotator marked counts half when found and costs nothing when it is not quite the object.
    assert score.ciou(marked(0, 1, 2), np.array([[1.0, 0.5, 0.0, 0.0]])) == 1.5 / 2.5
    assert score.ciou(marked(0), np.zeros((1, 4))) == 0.0
    assert score.ciou(marked(), np.zeros((1, 4))) == 0.0


def test_ciou_refuses_what_it_cannot_score():
    with pytest.raises(ValueError, match="binarize"):
        score.ciou(LEFT, LEFT)
    with pytest.raises(ValueError, match="must be equal"):
        score.ciou(marked(0, size=3), LEFT)
    with pytest.raises(ValueError, match="0 to 1"):
        score.ciou(marked(0), 2 * LEFT)


def test_success_and_auc_by_hand():
    cious = [0.5, 0.49, 1.0, 0.0]
    assert score.success_at(cious) == 0.5
    assert score.success_at(cious, 0.49) == 0.75
    assert score.auc([1.0]) == 1.0
    assert score.auc([0.0]) == pytest.approx(0.5 / 20)  # the point at threshold 0 is always 1
    assert score.auc([0.5]) == pytest.approx(10.5 / 20)
    assert score.auc([3 / 20]) == pytest.approx(3.5 / 20)  # reached at k / 20, missed at 0.05 * 3
    assert score.auc([0.0, 1.0, 0.5]) == pytest.approx((0.5 / 20 + 1 + 10.5 / 20) / 3)


@pytest.mark.parametrize(
    ("bad", "words"), [([], "at least one item"), ([0.3, np.nan], "item 1 is not a finite number")]
)
def test_scores_of_items_refuse_nothing_and_nan(bad, words):
    for of_items in (score.success_at, score.auc, score.bootstrap):
        with pytest.raises(ValueError, match=words):
            of_items(bad)


def test_iiou_needs_every_sound_of_a_picture():
    groups = [[0.9, 0.6], [0.9, 0.4], [0.5]]
    assert score.iiou(groups) == pytest.approx(2 / 3)
    assert score.success_at([c for g in groups for c in g]) == 0.8
    assert score.iauc([[1.0, 0.0]]) == pytest.approx(0.5 / 20)


def test_pointing_shares_ties():
    assert score.pointing([[0.0, 3.0, 1.0, 2.0]], LEFT) == 1.0
    assert score.pointing([[0.0, 1.0, 3.0, 2.0]], LEFT) == 0.0
    assert score.pointing([[0.0, 3.0, 3.0, 3.0]], LEFT) == pytest.approx(1 / 3)
    assert score.pointing(np.full((1, 4), 7.0), LEFT) == 0.5
    assert score.pointing([[1.0, 0.0, 0.0, 0.0]], np.zeros((1, 4))) == 0.0


def test_lit_area_and_share():
    maps = np.array([[[0.1, 0.5], [0.5, 0.2]], [[0.0, 0.0], [0.0, 0.4]]])
    assert score.lit_area(maps[0], 0.5) == 0.5
    assert score.lit_area(maps, 0.4) == 3 / 8
    assert score.lit_area(np.zeros((7, 7)), 0.1) == 0.0
    assert score.lit_share(maps, 0.5) == 0.5
    assert score.lit_share([0.5, 0.4], 0.4) == 1.0


def test_two_things_and_its_ties():
    assert score.two_things([[0.0, 2.0, 1.0, 0.0]], LEFT, RIGHT) == 1.0
    assert score.two_things([[0.0, 1.0, 2.0, 0.0]], LEFT, RIGHT) == 0.0
    assert score.two_things(np.full((1, 4), 0.2), LEFT, RIGHT) == 0.5
    assert score.two_things([[0.0, 2.0, 0.0, 0.0]], marked(0, 1), marked(1, 2)) == 0.5
    with pytest.raises(ValueError, match="silent thing's box covers no pixel"):
        score.two_things(np.ones((1, 4)), LEFT, np.zeros((1, 4)))


def test_swap_gap_is_zero_for_the_deaf():
    assert score.swap_gap([0.9, 0.9, 0.1, 0.5], [0.9, 0.1, 0.1, 0.49]) == 0.5
    assert score.swap_gap([0.9, 0.1], [0.9, 0.1]) == 0.0
    assert score.swap_gap([0.1], [0.9]) == -1.0
    with pytest.raises(ValueError, match="2 items"):
        score.swap_gap([0.1, 0.2], [0.1])


def test_threshold_is_the_largest_that_lights_the_share():
    peaks = np.arange(10) / 10
    assert score.choose_threshold(peaks) == (0.2, 0.8)
    assert score.choose_threshold(peaks[:9], 0.8) == (0.1, 8 / 9)  # 7.2 clips: eight are needed
    assert score.choose_threshold([1.0, 3.0, 3.0, 3.0], 0.5) == (3.0, 0.75)
    assert score.choose_threshold(peaks, 1.0) == (0.0, 1.0)
    maps = np.zeros((5, 2, 3, 3))
    maps[:, 1, 2, 0] = [5, 4, 3, 2, 1]
    chosen = score.choose_threshold(maps, 0.6)
    assert chosen == (3.0, 0.6)
    assert score.lit_share(maps, chosen.value) == chosen.share
    just_above = np.nextafter(chosen.value, np.inf)
    assert score.lit_share(maps, just_above) < 0.6, "a larger threshold would also have done"
    with pytest.raises(ValueError, match="share"):
        score.choose_threshold(peaks, 0.0)


def test_clip_and_times_on_a_thing_that_moves():
    maps = np.array([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]])  # follows the thing, then silence
    boxes = [[[0.0, 0.0, 0.5, 1.0]], [[0.5, 0.0, 1.0, 1.0]], []]
    followed = score.score_times(maps, boxes, size=(2, 2), threshold=0.5)
    assert followed[2] is None
    assert followed[:2] == (score.ClipScore(1.0, 1.0, 0.5), score.ClipScore(1.0, 1.0, 0.5))
    stuck = score.score_times(maps[[0, 0, 2]], boxes, size=(2, 2))
    assert [s.ciou for s in stuck[:2]] == [1.0, 0.0]
    assert stuck[0].lit is None
    assert score.score_clip(maps, boxes, size=(2, 2)).ciou == 1.0
    still = score.score_clip(maps[[0, 0, 0]], boxes[:1] * 3, size=(2, 2), rule="universal", threshold=0.9)
    assert still == score.ClipScore(1.0, 1.0, 0.5)
    with pytest.raises(ValueError, match="3 maps but boxes for 1 times"):
        score.score_clip(maps, boxes[:1])


def test_clip_score_is_the_same_alone_and_in_any_company():
    generator = np.random.default_rng(3)
    maps = generator.normal(size=(8, 4, 7, 7))
    boxes = [[[[0.2, 0.1, 0.7, 0.6]]] * 4] * 8
    alone = [score.score_clip(m[None][0], b) for m, b in zip(maps, boxes, strict=True)]
    strided = np.moveaxis(np.moveaxis(maps, 0, -1).copy(), -1, 0)  # the same numbers, another memory layout
    assert alone == [score.score_clip(m, b) for m, b in zip(strided, boxes, strict=True)]


def test_bootstrap_holds_the_mean_and_is_reproducible():
    values = (np.arange(200) < 80).astype(float)
    low, high = score.bootstrap(values)
    assert low < 0.4 < high
    standard_error = np.sqrt(0.4 * 0.6 / 200)
    assert high - low == pytest.approx(2 * 1.96 * standard_error, rel=0.1)
    assert score.bootstrap(values) == (low, high) != score.bootstrap(values, seed=1)
    assert score.bootstrap([0.7]) == (0.7, 0.7)


def test_the_listening_threshold_separates_own_from_other_sounds():
    own = [0.9, 0.8, 0.7, 0.6, 0.2]
    assert score.listening_threshold(own, [0.5, 0.1, 0.1], 0.8) == (0.6, 0.8)  # 0.8 - 0; lower ones light others
    assert score.listening_threshold(own, [0.1, 0.1], 0.8) == (0.2, 1.0)  # 1 - 0
    assert score.listening_threshold(own, [0.95, 0.95], 0.6) == (0.2, 1.0)  # others always lit: light all own
    assert score.listening_threshold(own, [], 0.8) == score.choose_threshold(own, 0.8)
