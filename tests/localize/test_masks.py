"""Enlarging, thresholding rules, box rasters and consensus, on cases worked out by hand."""

import numpy as np
import pytest
import torch

from avssl.localize.masks import binarize, boxes_to_mask, consensus, truth_over_time, upsample


@pytest.mark.parametrize(
    ("shape", "size"), [((7, 7), (224, 224)), ((1, 1), (5, 3)), ((5, 9), (31, 17)), ((8, 8), (3, 5))]
)
def test_upsample_is_bilinear_without_aligned_corners(shape, size):
    cells = np.random.default_rng(0).normal(size=(3, *shape))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(cells)[None], size=size, mode="bilinear", align_corners=False
    )[0].numpy()
    np.testing.assert_allclose(upsample(cells, size), expected, atol=1e-13)
    for one, of_stack in zip(cells, upsample(cells, size), strict=True):
        assert np.array_equal(upsample(one, size), of_stack), "a map must not depend on its neighbours in a stack"


def test_upsample_by_hand_and_keeps_ties():
    assert upsample([[0.0, 4.0]], (1, 4)).tolist() == [[0.0, 1.0, 3.0, 4.0]]
    assert len(np.unique(upsample(np.full((7, 7), 0.1), (224, 224)))) == 1


@pytest.mark.parametrize("bad", [np.full((2, 2), np.nan), np.zeros((0, 3)), np.zeros(4)])
def test_maps_that_are_no_maps_are_refused(bad):
    with pytest.raises(ValueError, match="score map"):
        upsample(bad, (4, 4))


def test_top_half_on_distinct_constant_and_half_zero_maps():
    distinct = np.arange(16.0).reshape(4, 4)
    assert binarize(distinct, "top_half").sum() == 8
    assert binarize(distinct, "top_half_strict").sum() == 7
    odd = np.arange(9.0).reshape(3, 3)  # the middle value, index 4, is in the half
    assert binarize(odd, "top_half").sum() == 5
    assert binarize(odd, "top_half_strict").sum() == 4
    constant = np.full((4, 4), 0.3)
    assert binarize(constant, "top_half").all()
    assert not binarize(constant, "top_half_strict").any()
    exactly_half = np.array([[0.0, 0.0], [1.0, 2.0]])
    assert binarize(exactly_half, "top_half").tolist() == [[False, False], [True, True]]
    assert binarize(exactly_half, "top_half_strict").tolist() == [[False, False], [False, True]]
    mostly_zero = np.array([[0.0, 0.0], [0.0, 2.0]])
    assert binarize(mostly_zero, "top_half").all()
    assert binarize(mostly_zero, "top_half_strict").tolist() == [[False, False], [False, True]]


def test_adaptive_keeps_as_many_as_the_truth_has():
    distinct = np.arange(16.0).reshape(4, 4)
    truth = np.zeros((4, 4))
    truth[0, :3] = 0.5
    assert np.flatnonzero(binarize(distinct, "adaptive", truth)).tolist() == [13, 14, 15]
    assert binarize(distinct, "adaptive", np.zeros((4, 4))).sum() == 8
    assert binarize(distinct, "adaptive", np.ones((4, 4))).all()
    tied = np.array([[3.0, 2.0], [2.0, 1.0]])
    assert binarize(tied, "adaptive", np.array([[1.0, 1.0], [0.0, 0.0]])).sum() == 3


def test_fixed_is_relative_and_universal_absolute():
    scores = np.array([[10.0, 15.0], [20.0, 12.0]])
    assert binarize(scores, "fixed").tolist() == [[False, True], [True, False]]
    assert binarize(scores, "fixed", threshold=0.2).sum() == 3
    assert not binarize(np.full((2, 2), 9.0), "fixed").any()
    assert binarize(scores, "universal", threshold=12.0).tolist() == [[False, True], [True, True]]
    assert not binarize(scores, "universal", threshold=20.5).any()


def test_rules_say_what_they_miss():
    for arguments, words in [
        ({"rule": "adaptive"}, "truth="),
        ({"rule": "adaptive", "truth": np.ones((3, 3))}, "must be equal"),
        ({"rule": "universal"}, "threshold="),
        ({"rule": "tophalf"}, "known: top_half"),
    ]:
        with pytest.raises(ValueError, match=words):
            binarize(np.ones((2, 2)), **arguments)


def test_boxes_are_truncated_half_open_clipped_and_united():
    mask = boxes_to_mask([[0.19, 0.0, 0.69, 0.5]], (4, 10))
    assert np.flatnonzero(mask.any(axis=0)).tolist() == [1, 2, 3, 4, 5]  # int(1.9) .. int(6.9) - 1
    assert np.flatnonzero(mask.any(axis=1)).tolist() == [0, 1]
    assert boxes_to_mask([[-0.5, -1.0, 1.5, 2.0]], (3, 3)).all()
    united = boxes_to_mask([[0.0, 0.0, 0.5, 1.0], [0.25, 0.0, 0.75, 1.0]], (1, 4))
    assert united.tolist() == [[1.0, 1.0, 1.0, 0.0]]
    assert not boxes_to_mask([], (3, 3)).any()
    assert not boxes_to_mask([[0.30, 0.3, 0.32, 0.9]], (10, 10)).any()
    assert not boxes_to_mask([[0.6, 0.0, 0.4, 1.0], [0.2, 0.5, 0.9, -2.9e16]], (10, 10)).any()


def test_boxes_that_are_no_boxes_are_refused():
    with pytest.raises(ValueError, match="fractions"):
        boxes_to_mask([[np.nan, 0.0, 0.4, 1.0]], (4, 4))


def test_consensus_of_three_annotators():
    masks = np.array([[[1, 1, 0, 0]], [[1, 1, 1, 0]], [[1, 0, 0, 0]]], dtype=float)
    assert consensus(masks).tolist() == [[1.0, 1.0, 0.5, 0.0]]
    assert consensus(masks, agree=3).tolist() == [[1.0, 2 / 3, 1 / 3, 0.0]]


def test_truth_over_time_unites_or_averages_the_sounding_times():
    left, right = [[0.0, 0.0, 0.5, 1.0]], [[0.25, 0.0, 1.0, 1.0]]
    assert truth_over_time([left, [], right], (1, 4)).tolist() == [[1.0, 1.0, 1.0, 1.0]]
    assert truth_over_time([left, [], right], (1, 4), "mean").tolist() == [[0.5, 1.0, 0.5, 0.5]]
    assert not truth_over_time([[], []], (1, 4), "mean").any()
