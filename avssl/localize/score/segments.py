"""Masks against masks, as AVSBench scores them (Zhou et al., Audio-Visual Segmentation, ECCV 2022).

The released scorer takes the best threshold of each mini-batch, so its F-measure changes with the batch size. Here the
curve is averaged over all items before its maximum is taken.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avssl.localize.masks import Floats, as_scores

BETA_SQUARED = 0.3
LEVELS: Floats = np.linspace(0.0, 1.0, 255)


def iou(predicted_mask: ArrayLike | Any, truth_mask: ArrayLike | Any) -> float:
    """Intersection over union of two masks [H, W]; where the truth is empty, the share of pixels left unmarked."""
    marked, known = _mask(predicted_mask), _mask(truth_mask)
    if marked.shape != known.shape:
        raise ValueError(f"truth has shape {known.shape}, the prediction {marked.shape}; they must be equal")
    if not known.any():
        return 1.0 - float(np.mean(marked))
    return float(np.count_nonzero(marked & known) / np.count_nonzero(marked | known))


def mean_iou(predicted_masks: Sequence[ArrayLike | Any], truth_masks: Sequence[ArrayLike | Any]) -> float:
    """The mean of `iou` over items (mIoU)."""
    _same(predicted_masks, truth_masks)
    return float(np.mean([iou(one, other) for one, other in zip(predicted_masks, truth_masks, strict=True)]))


def f_measure(maps: Sequence[ArrayLike | Any], truth_masks: Sequence[ArrayLike | Any]) -> float:
    """F-measure with beta^2 = 0.3: the greatest value of the items' mean curve over 255 thresholds from 0 to 1.

    Args:
        maps: scores [H, W] of each item in 0 to 1; a pixel is marked from the threshold on.
        truth_masks: masks [H, W]; items whose truth is empty are left out, and at least one must not be.
    """
    _same(maps, truth_masks)
    curves = [_curve(values, mask) for values, mask in zip(maps, map(_mask, truth_masks), strict=True) if mask.any()]
    if not curves:
        raise ValueError("every truth is empty: the F-measure has nothing to find")
    return float(np.mean(curves, axis=0).max())


def _curve(scores: ArrayLike | Any, known: NDArray[np.bool_]) -> Floats:
    """F at each of the 255 thresholds."""
    values = as_scores(scores)
    if values.shape != known.shape:
        raise ValueError(f"truth has shape {known.shape}, the map {values.shape}; they must be equal")
    if values.min() < 0.0 or values.max() > 1.0:
        raise ValueError(f"scores must lie in 0 to 1, got {values.min():g} to {values.max():g}")
    marked = values.size - np.searchsorted(np.sort(values.ravel()), LEVELS)
    inside = np.sort(values[known])
    true = inside.size - np.searchsorted(inside, LEVELS)
    precision, recall = true / np.maximum(marked, 1), true / inside.size
    weighed = BETA_SQUARED * precision + recall
    return np.asarray((1.0 + BETA_SQUARED) * precision * recall / np.where(weighed > 0.0, weighed, 1.0))


def _mask(values: ArrayLike | Any) -> NDArray[np.bool_]:
    mask = np.asarray(values)
    if mask.dtype != np.bool_ or mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"a mask must be bool [H, W], got {mask.dtype} of shape {mask.shape}")
    return mask


def _same(predicted: Sequence[Any], truth: Sequence[Any]) -> None:
    if len(predicted) != len(truth) or not len(truth):
        raise ValueError(f"{len(predicted)} predictions for {len(truth)} truths; give as many, at least one")
