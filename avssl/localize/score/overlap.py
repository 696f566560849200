"""How well marked pixels cover the truth: cIoU, its success rates, both sounds of one picture, the pointing game.

cIoU and AUC: Senocak et al., CVPR 2018; IIoU and IAUC: Senocak et al., ICCV 2023; pointing: the pointing
game of Zhang et al., ECCV 2016.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from avssl.localize.masks import Floats, as_scores

AUC_THRESHOLDS: Floats = np.arange(21) / 20  # k / 20 is exact where 0.05 * k is not: a cIoU of 3/20 counts at 3/20


def truth_of(values: ArrayLike | Any, shape: tuple[int, ...]) -> Floats:
    """A truth in 0..1 of the given shape, or a ValueError."""
    truth = as_scores(values)
    if truth.shape != shape:
        raise ValueError(f"truth has shape {truth.shape}, the prediction {shape}; they must be equal")
    if truth.min() < 0.0 or truth.max() > 1.0:
        raise ValueError(f"truth must lie in 0 to 1, got {truth.min():g} to {truth.max():g}")
    return truth


def items_of(values: Iterable[float] | ArrayLike | Any, what: str) -> Floats:
    """One finite number per item [N], N > 0, or a ValueError that names ``what`` they are."""
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(f"{what}: expected one number per item and at least one item, got shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"{what}: item {int(np.argmin(np.isfinite(scores)))} is not a finite number")
    return scores


def ciou(predicted_mask: ArrayLike | Any, truth: ArrayLike | Any) -> float:
    """Consensus IoU of a mask [H, W] with a truth [H, W] in 0..1: sum of g inside / (sum of g + false pixels).

    False pixels are those marked where g is 0. Where there is nothing to find (g is 0 everywhere) the score is 0
    whatever was marked: such an item is no success, and `lit_area` is the score made for it.
    """
    predicted = np.asarray(predicted_mask)
    if predicted.dtype != np.bool_:
        raise ValueError(f"the predicted mask must be bool, got {predicted.dtype}: apply binarize with a rule first")
    known = truth_of(truth, predicted.shape)
    whole = float(known.sum()) + float(np.count_nonzero(predicted & (known == 0.0)))
    return float(known[predicted].sum()) / whole if whole > 0.0 else 0.0


def success_at(cious: ArrayLike | Any, threshold: float = 0.5) -> float:
    """Share of items [N] whose cIoU is >= `threshold`; cIoU@0.5 by default."""
    return float(np.mean(items_of(cious, "cIoU") >= threshold))


def auc(cious: ArrayLike | Any) -> float:
    """Area under the success rate over the 21 thresholds 0, 0.05, ..., 1 (trapezoids; always 1 at threshold 0)."""
    scores = items_of(cious, "cIoU")
    return trapezoids(np.mean(scores[None, :] >= AUC_THRESHOLDS[:, None], axis=1))


def trapezoids(rates: Floats) -> float:
    """The area under rates [21] at the thresholds 0, 0.05, ..., 1."""
    return float((rates.sum() - 0.5 * (rates[0] + rates[-1])) / (len(AUC_THRESHOLDS) - 1))


def iiou(groups: Iterable[Sequence[float]], threshold: float = 0.5) -> float:
    """Interactive success: share of pictures for which the cIoU of every one of their sounds is >= `threshold`.

    `groups` holds one sequence of cIoUs per picture. A predictor that does not listen marks the same place for each
    sound and can hardly succeed on things that stand apart.
    """
    return success_at(_worst(groups), threshold)


def iauc(groups: Iterable[Sequence[float]]) -> float:
    """The area under `iiou` over the 21 thresholds of `auc`."""
    return auc(_worst(groups))


def _worst(groups: Iterable[Sequence[float]]) -> list[float]:
    """All sounds of a picture are found at t exactly when the least of their cIoUs is >= t."""
    return [float(items_of(group, f"sounds of picture {index}").min()) for index, group in enumerate(groups)]


def pointing(scores: ArrayLike | Any, truth: ArrayLike | Any) -> float:
    """1 if the highest pixel of a map [H, W] lies where truth [H, W] is above 0, else 0.

    Tied highest pixels share the answer: the expected value of choosing one of them at random, so a constant map
    scores the area of the truth instead of whatever lies in the first corner.
    """
    values = as_scores(scores)
    return float(np.mean(truth_of(truth, values.shape)[values == values.max()] > 0.0))
