"""AP, max-F1, LocAcc, negatives, masks against masks and sizes, on cases worked out by hand."""

import numpy as np
import pytest

from avssl.localize import score

HEARD = np.array([True, True, False, True])
SURE = [0.9, 0.8, 0.7, 0.6]
FOUND = [1.0, 0.2, 0.0, 0.5]


def test_strict_detection_by_hand():
    # cuts .9 .8 .7 .6: right 1 1 1 2 of 1 2 3 4 detected, 3 sound; recall 1/3 1/3 1/3 2/3
    ap = 1 / 3 * 1 + 1 / 3 * 0.5
    assert score.detection(SURE, FOUND, HEARD) == (pytest.approx(ap), pytest.approx(4 / 7), pytest.approx(2 / 3))


def test_compatible_detection_by_hand():
    # The last cut for AP is .6, the highest is left out: .8 .7 .6 give precision 1/2 1/3 1/2 and recall, the misplaced
    # one being no miss, 1/2 1/2 1. The first step is left out: only that from 1/2 to 1 counts.
    ap, f1, acc = score.detection(SURE, FOUND, HEARD, strict=False)
    assert ap == pytest.approx(0.5 * 0.5)
    assert f1 == pytest.approx(2 * 0.5 * 1 / 1.5)
    assert acc == pytest.approx(1 / 3)  # above 0.5, where the strict one counts 0.5 itself


def test_detection_of_perfect_blind_and_tied():
    assert score.detection([2.0, 1.0], [1.0, 0.0], np.array([True, False])) == (1.0, 1.0, 1.0)
    assert score.detection([1.0, 2.0], [0.0, 0.0], np.array([True, False])) == (0.0, 0.0, 0.0)
    # All equal: everything is detected at once, in whatever order the items are listed.
    tied = score.detection([1.0] * 4, FOUND, HEARD)
    assert tied == score.detection([1.0] * 4, FOUND[::-1], HEARD[::-1])
    assert tied == (pytest.approx(2 / 3 * 0.5), pytest.approx(4 / 7), pytest.approx(2 / 3))
    assert score.detection([1.0], [1.0], np.array([True]), strict=False) == (0.0, 1.0, 1.0)  # no cut is left for AP


def test_misplaced_items_are_misses_in_the_strict_reading_alone():
    sure, found = np.arange(6.0)[::-1], [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    heard = np.array([True, False, True, True, True, True])
    strict, loose = score.detection(sure, found, heard), score.detection(sure, found, heard, strict=False)
    assert strict.ap == pytest.approx(0.2 + 0.2 * 2 / 6)
    # compatible recall over the cuts 4 to 0: 1/5 1/4 1/3 1/2 1, the greatest precision ahead 1/2, then 1/3
    assert loose.ap == pytest.approx((1 / 4 - 1 / 5) / 2 + (1 - 1 / 4) / 3)
    assert (strict.max_f1, loose.max_f1) == (pytest.approx(4 / 11), pytest.approx(0.5))


@pytest.mark.parametrize(
    ("sure", "found", "heard", "words"),
    [
        ([1.0], [1.0], np.array([False]), "no item sounds"),
        ([1.0, 2.0], [1.0], np.array([True]), "2 confidences, 1 cIoUs"),
        ([1.0], [1.0], np.array([1]), "sounding as bool"),
        ([np.nan], [1.0], np.array([True]), "not a finite number"),
    ],
)
def test_detection_refuses(sure, found, heard, words):
    with pytest.raises(ValueError, match=words):
        score.detection(sure, found, heard)


def test_confidence_is_the_mean_of_the_top_quarter_of_absolute_values():
    assert score.confidence([[1.0, -4.0], [2.0, 3.0]]) == 4.0
    assert score.confidence([[1.0, -4.0], [2.0, 3.0]], 0.5) == 3.5
    assert score.confidence(np.full((7, 7), -0.3)) == pytest.approx(0.3)
    with pytest.raises(ValueError, match="share"):
        score.confidence([[1.0]], 0.0)


def test_negatives_by_hand():
    assert score.pia(np.array([[True, False], [False, False]])) == 0.25
    with pytest.raises(ValueError, match="bool"):
        score.pia(np.ones((2, 2)))
    assert score.auc_n([0.0]) == 1.0
    assert score.auc_n([1.0]) == pytest.approx(0.5 / 20)
    assert score.auc_n([0.3]) == pytest.approx(14.5 / 20)
    assert score.auc_n([0.0, 1.0]) == pytest.approx((1 + 0.5 / 20) / 2)
    areas = {"silence": [0.0, 0.2], "noise": [0.3]}
    assert score.f_loc([0.6, 0.8], areas) == pytest.approx(2 * 0.7 * 0.8 / 1.5)  # 1 - mean(0.1, 0.3)
    assert score.f_loc([0.0], areas) == 0.0
    assert score.f_auc(0.5, {"noise": [0.3]}) == pytest.approx(2 * 0.5 * 0.725 / 1.225)
    with pytest.raises(ValueError, match="at least one kind"):
        score.f_loc([0.5], {})


def test_the_threshold_from_negatives():
    peaks = [0.0, 1.0, 2.0, 3.0, 9.0]
    assert score.negative_threshold(peaks) == 3.0
    assert score.negative_threshold(peaks, "mean") == 3.0
    assert score.negative_threshold(peaks, "mean_1.1") == pytest.approx(3.3)
    assert score.negative_threshold(np.array([[[0.0, 2.0]], [[2.0, 1.0]]])) == 2.0
    with pytest.raises(ValueError, match="known: mean"):
        score.negative_threshold(peaks, "median")


MASK = np.array([[True, True, False, False]])
NONE = np.zeros((1, 4), dtype=bool)


def test_iou_of_masks_and_of_empty_ones():
    assert score.iou(np.array([[True, False, True, False]]), MASK) == 1 / 3
    assert score.iou(NONE, MASK) == 0.0
    assert score.iou(NONE, NONE) == 1.0
    assert score.iou(MASK, NONE) == 0.5  # half of the pixels were rightly left
    assert score.mean_iou([MASK, NONE], [MASK, MASK]) == 0.5
    with pytest.raises(ValueError, match="must be equal"):
        score.iou(MASK, np.zeros((2, 2), dtype=bool))
    with pytest.raises(ValueError, match="at least one"):
        score.mean_iou([], [])


def literal_f(maps, masks):
    curve = np.zeros(255)
    for values, mask in zip(maps, masks, strict=True):
        for index, level in enumerate(np.linspace(0, 1, 255)):
            marked = values >= level
            true = (marked & mask).sum()
            if true:
                precision, recall = true / marked.sum(), true / mask.sum()
                curve[index] += 1.3 * precision * recall / (0.3 * precision + recall)
    return (curve / len(maps)).max()


def test_f_measure_takes_the_maximum_of_the_mean_curve():
    low, high = 0.2 * MASK, np.where(MASK, 0.9, 0.6)
    assert score.f_measure([low], [MASK]) == score.f_measure([high], [MASK]) == pytest.approx(1.0)
    # No single threshold suits both, which a maximum per item would hide.
    together = score.f_measure([low, high], [MASK, MASK])
    assert together == pytest.approx(literal_f([low, high], [MASK, MASK]))
    assert together < 1.0
    generator = np.random.default_rng(0)
    maps, masks = generator.random((8, 5, 6)), generator.random((8, 5, 6)) > 0.7
    assert score.f_measure(maps, masks) == pytest.approx(literal_f(maps, masks))
    assert score.f_measure(np.full((1, 1, 4), 0.5), [MASK]) == pytest.approx(1.3 * 0.5 / (0.3 * 0.5 + 1))  # constant
    assert score.f_measure([low, low], [MASK, NONE]) == pytest.approx(1.0)  # an item with nothing to find is left out
    with pytest.raises(ValueError, match="nothing to find"):
        score.f_measure([low], [NONE])
    with pytest.raises(ValueError, match="0 to 1"):
        score.f_measure([2 * high], [MASK])


def test_sizes_and_their_edges():
    def square(side, size=224):
        mask = np.zeros((size, size))
        mask[:side, :side] = 1.0
        return mask

    sides = [0, 31, 32, 95, 96, 143, 144, 224]
    told = ["small", "small", "medium", "medium", "large", "large", "huge", "huge"]
    assert [score.size_of(square(side)) for side in sides] == told
    assert score.size_of(square(16, 112)) == "medium"  # a quarter of the pixels of 32 x 32 of 224
    assert score.size_of(0.5 * square(40)) == "small"  # what one annotator alone marked counts half
    assert score.by_size([1.0, 0.0, 0.5], ["huge", "small", "huge"]) == {"small": [0.0], "huge": [1.0, 0.5]}
    with pytest.raises(ValueError, match="2 items but sizes of 1"):
        score.by_size([1.0, 0.0], ["huge"])
    with pytest.raises(ValueError, match="unknown size 'tiny'"):
        score.by_size([1.0], ["tiny"])
