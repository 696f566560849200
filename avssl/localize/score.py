"""Localization scores: exact, in float64, one item at a time.

Definitions follow the literature where it has one (cIoU and AUC: Senocak et al., CVPR 2018; IIoU: Senocak et al.,
ICCV 2023). What the usual scores do not tell is added here: whether the model listens (`swap_gap`, `two_things`) and
whether it stays dark when nothing in the picture sounds (`lit_area` at the one threshold of `choose_threshold`).
All shares are fractions 0 to 1. A cell is lit when its score is >= the threshold, here and in the overlays.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from avssl.localize.baselines import average_box, centre_disc, oracle, random_map, whole_image
from avssl.localize.masks import (
    Floats,
    Rule,
    as_scores,
    binarize,
    boxes_to_mask,
    consensus,
    truth_over_time,
    upsample,
)

__all__ = [
    "ClipScore",
    "Threshold",
    "auc",
    "average_box",
    "binarize",
    "bootstrap",
    "boxes_to_mask",
    "centre_disc",
    "choose_threshold",
    "ciou",
    "consensus",
    "iauc",
    "iiou",
    "lit_area",
    "lit_share",
    "oracle",
    "pointing",
    "random_map",
    "score_clip",
    "score_times",
    "success_at",
    "swap_gap",
    "truth_over_time",
    "two_things",
    "upsample",
    "whole_image",
]

SCORING_SIZE = (224, 224)
AUC_THRESHOLDS: Floats = np.arange(21) / 20  # k / 20 is exact where 0.05 * k is not: a cIoU of 3/20 counts at 3/20


def _truth(values: ArrayLike | Any, shape: tuple[int, ...]) -> Floats:
    truth = as_scores(values)
    if truth.shape != shape:
        raise ValueError(f"truth has shape {truth.shape}, the prediction {shape}; they must be equal")
    if truth.min() < 0.0 or truth.max() > 1.0:
        raise ValueError(f"truth must lie in 0 to 1, got {truth.min():g} to {truth.max():g}")
    return truth


def _items(values: Iterable[float] | ArrayLike | Any, what: str) -> Floats:
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
    known = _truth(truth, predicted.shape)
    whole = float(known.sum()) + float(np.count_nonzero(predicted & (known == 0.0)))
    return float(known[predicted].sum()) / whole if whole > 0.0 else 0.0


def success_at(cious: ArrayLike | Any, threshold: float = 0.5) -> float:
    """Share of items [N] whose cIoU is >= `threshold`; cIoU@0.5 by default."""
    return float(np.mean(_items(cious, "cIoU") >= threshold))


def auc(cious: ArrayLike | Any) -> float:
    """Area under the success rate over the 21 thresholds 0, 0.05, ..., 1 (trapezoids; always 1 at threshold 0)."""
    scores = _items(cious, "cIoU")
    rates = np.mean(scores[None, :] >= AUC_THRESHOLDS[:, None], axis=1)  # [21]
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
    return [float(_items(group, f"sounds of picture {index}").min()) for index, group in enumerate(groups)]


def pointing(scores: ArrayLike | Any, truth: ArrayLike | Any) -> float:
    """1 if the highest pixel of a map [H, W] lies where truth [H, W] is above 0, else 0.

    Tied highest pixels share the answer: the expected value of choosing one of them at random, so a constant map
    scores the area of the truth instead of whatever lies in the first corner.
    """
    values = as_scores(scores)
    return float(np.mean(_truth(truth, values.shape)[values == values.max()] > 0.0))


def lit_area(scores: ArrayLike | Any, threshold: float) -> float:
    """Share of the cells of a map (any of [h, w], [T, h, w]) that are lit; 0 is right when nothing there sounds.

    Give the cells as the model made them: enlarging lowers peaks, so the threshold would mean something else.
    """
    return float(np.mean(as_scores(scores, (2, 3)) >= threshold))


def lit_share(peaks: ArrayLike | Any, threshold: float) -> float:
    """Share of clips that have any lit cell, from the highest score of each clip [N] or its maps [N, ...]."""
    return float(np.mean(_peaks(peaks) >= threshold))


class Threshold(NamedTuple):
    """The universal threshold and the share of the validation clips that it lights."""

    value: float
    share: float


def choose_threshold(sounding_scores: ArrayLike | Any, share: float = 0.8) -> Threshold:
    """The largest threshold that lights at least `share` of the sounding validation clips.

    `sounding_scores`: the highest score of each clip [N], or the clips' maps [N, ...]. The largest one keeps silence
    as dark as a model allows that must not miss more than 1 - share. The share reached is above the one asked for
    when clips tie or N * share is not whole.
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share is a part of the sounding clips above 0 and at most 1, got {share}")
    peaks = np.sort(_peaks(sounding_scores))[::-1]
    # 0.8 * 10 may come out a hair above 8; a share asked for is not meant to that digit.
    needed = max(1, math.ceil(share * len(peaks) - 1e-9))
    value = float(peaks[needed - 1])
    return Threshold(value, float(np.mean(peaks >= value)))


def listening_threshold(
    sounding_scores: ArrayLike | Any, deaf_scores: ArrayLike | Any, share: float = 0.8
) -> Threshold:
    """The threshold that tells own sounds from others best, among those that light at least `share` of own ones.

    Args:
        sounding_scores: the highest score of each validation clip with its own sound [N], or the maps [N, ...].
        deaf_scores: the same where nothing in the picture makes the sound (another clip's sound, silence, off-screen);
            may be empty.
        share: of the sounding clips, lit at least.

    Returns:
        The threshold with the greatest difference between the two shares that are lit (Youden's J), the highest of
        equals. No boxes are needed, so that it can be chosen on anybody's recordings.
    """
    own, highest = _peaks(sounding_scores), choose_threshold(sounding_scores, share)
    if not np.size(deaf_scores):
        return highest
    deaf = _peaks(deaf_scores)
    candidates = np.unique(own[own <= highest.value])[::-1]  # [C], from the highest down
    gaps = (own >= candidates[:, None]).mean(1) - (deaf >= candidates[:, None]).mean(1)
    value = float(candidates[int(gaps.argmax())])
    return Threshold(value, float(np.mean(own >= value)))


def _peaks(scores: ArrayLike | Any) -> Floats:
    values = np.asarray(scores, dtype=np.float64)
    return _items(values.reshape(len(values), -1).max(axis=1) if values.ndim > 1 else values, "clip scores")


def two_things(scores: ArrayLike | Any, sounding_box_mask: ArrayLike | Any, silent_box_mask: ArrayLike | Any) -> float:
    """1 if the map [H, W] peaks higher inside the sounding thing's box than inside the silent one's, 0 if lower.

    A tie is 0.5, so that a constant map is at chance; where the boxes overlap a peak in both is such a tie.
    """
    values = as_scores(scores)
    peaks = []
    for name, mask in (("sounding", sounding_box_mask), ("silent", silent_box_mask)):
        inside = values[_truth(mask, values.shape) > 0.0]
        if inside.size == 0:
            raise ValueError(f"the {name} thing's box covers no pixel of a map of shape {values.shape}")
        peaks.append(float(inside.max()))
    return 0.5 if peaks[0] == peaks[1] else float(peaks[0] > peaks[1])


def swap_gap(ciou_true: ArrayLike | Any, ciou_swapped: ArrayLike | Any, threshold: float = 0.5) -> float:
    """Success rate with each item's own sound minus that with another item's sound, both against the same truth [N].

    0 for whatever does not listen, however well it finds things that usually sound.
    """
    own, other = _items(ciou_true, "cIoU with the true sound"), _items(ciou_swapped, "cIoU with a swapped sound")
    if own.shape != other.shape:
        raise ValueError(f"{len(own)} items with their own sound but {len(other)} with a swapped one")
    return success_at(own, threshold) - success_at(other, threshold)


@dataclass(frozen=True)
class ClipScore:
    """Scores of one map against its truth. `lit` is the lit area, None where no threshold was given."""

    ciou: float
    pointing: float
    lit: float | None


def _score(scores: Floats, truth: Floats, lit: float | None, rule: Rule, threshold: float | None) -> ClipScore:
    values = upsample(scores, (truth.shape[0], truth.shape[1]))
    return ClipScore(ciou(binarize(values, rule, truth, threshold), truth), pointing(values, truth), lit)


def _timed(maps: ArrayLike | Any, boxes: Sequence[ArrayLike | Any]) -> Floats:
    values = as_scores(maps, (3,))
    if len(values) != len(boxes):
        raise ValueError(f"{len(values)} maps but boxes for {len(boxes)} times; give one entry (or []) per map")
    return values


def score_clip(
    maps: ArrayLike | Any,
    boxes: Sequence[ArrayLike | Any],
    *,
    rule: Rule = "adaptive",
    threshold: float | None = None,
    truth: Literal["union", "mean"] = "union",
    size: tuple[int, int] = SCORING_SIZE,
) -> ClipScore:
    """Score a clip as one picture: maps [T, h, w], boxes per time (each [K, 4] fractions, [] where nothing sounds).

    The clip's map is the mean of its maps over all times, enlarged to `size`; its truth is the `truth` ("union" or
    "mean") of the boxes over the times that have any, see `truth_over_time`. `threshold` belongs to the rules "fixed"
    and "universal"; when given, `lit` is the lit area of the mean map before enlarging.
    """
    mean = _timed(maps, boxes).mean(axis=0)
    lit = None if threshold is None else lit_area(mean, threshold)
    return _score(mean, truth_over_time(boxes, size, truth), lit, rule, threshold)


def score_times(
    maps: ArrayLike | Any,
    boxes: Sequence[ArrayLike | Any],
    *,
    rule: Rule = "adaptive",
    threshold: float | None = None,
    size: tuple[int, int] = SCORING_SIZE,
) -> tuple[ClipScore | None, ...]:
    """Score every time of a clip on its own map and its own boxes; None at times that have no box.

    Inputs as in `score_clip`. Following a thing that moves is rewarded here and invisible there.
    """
    scored: list[ClipScore | None] = []
    for scores, at_one_time in zip(_timed(maps, boxes), boxes, strict=True):
        if not np.size(at_one_time):
            scored.append(None)
            continue
        lit = None if threshold is None else lit_area(scores, threshold)
        scored.append(_score(scores, boxes_to_mask(at_one_time, size), lit, rule, threshold))
    return tuple(scored)


def bootstrap(values: ArrayLike | Any, n: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval (low, high) of the mean of `values` [N], from `n` resamplings of the items."""
    items = _items(values, "bootstrap")
    generator = np.random.default_rng(seed)
    means = np.array([items[generator.integers(len(items), size=len(items))].mean() for _ in range(n)])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
