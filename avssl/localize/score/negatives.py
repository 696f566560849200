"""Scores of items on which nothing should be marked: their sound is silence, noise, or made by nothing in the picture.

pIA, AUC_N, F_LOC and F_AUC: Juanola et al., "A Critical Assessment of Visual Sound Source Localization Models
Including Negative Audio", ICASSP 2025. A disc that never hears anything can win F_LOC (46.1 on VGG-SS for one of 30 %
of the picture), so they belong beside `swap_gap` and `iiou`.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from avssl.localize.score.dark import peaks_of
from avssl.localize.score.overlap import AUC_THRESHOLDS, items_of, trapezoids

Choice = Literal["mean", "mean_1.1", "third_quartile"]


def pia(mask: ArrayLike | Any) -> float:
    """The share of the pixels of a predicted mask [H, W] that are marked; 0 is right on a negative item."""
    marked = np.asarray(mask)
    if marked.dtype != np.bool_ or marked.ndim != 2 or marked.size == 0:
        raise ValueError(f"the predicted mask must be bool [H, W], got {marked.dtype} of shape {marked.shape}")
    return float(np.mean(marked))


def negative_threshold(scores: ArrayLike | Any, choice: Choice = "third_quartile") -> float:
    """The universal threshold from negative items, by their highest scores [N] or their maps [N, ...].

    ``mean`` of the highest scores, ``mean_1.1`` times it, or their ``third_quartile`` (the one the paper reports).
    """
    peaks = peaks_of(scores)
    if choice == "third_quartile":
        return float(np.quantile(peaks, 0.75))
    if choice in ("mean", "mean_1.1"):
        return float(peaks.mean()) * (1.1 if choice == "mean_1.1" else 1.0)
    raise ValueError(f"unknown choice {choice!r} of a threshold; known: mean, mean_1.1, third_quartile")


def auc_n(areas: ArrayLike | Any) -> float:
    """Area under the share of negative items whose pIA [N] is <= t, over the 21 thresholds of `auc`; 1 is best."""
    shares = items_of(areas, "pIA")
    return trapezoids(np.mean(shares[None, :] <= AUC_THRESHOLDS[:, None], axis=1))


def f_loc(ious: ArrayLike | Any, areas: Mapping[str, ArrayLike | Any]) -> float:
    """Harmonic mean of the mean cIoU of the positive items [N] and 1 - pIA, the mean of its means over each kind.

    ``areas``: kind of negative (silence, noise, offscreen) -> pIA of its items, at the same threshold. 0 when either
    is 0.
    """
    dark = 1.0 - float(np.mean([items_of(held, f"pIA on {kind}").mean() for kind, held in _kinds(areas).items()]))
    return harmonic(float(items_of(ious, "cIoU").mean()), dark)


def f_auc(auc_positive: float, areas: Mapping[str, ArrayLike | Any]) -> float:
    """Harmonic mean of the positive items' AUC and the mean of `auc_n` over the kinds of negatives."""
    return harmonic(auc_positive, float(np.mean([auc_n(held) for held in _kinds(areas).values()])))


def harmonic(first: float, second: float) -> float:
    """The harmonic mean of two shares; 0 when either is 0."""
    return 2.0 * first * second / (first + second) if first > 0.0 and second > 0.0 else 0.0


def _kinds(areas: Mapping[str, ArrayLike | Any]) -> Mapping[str, ArrayLike | Any]:
    if not areas:
        raise ValueError("no negative items: give pIA of at least one kind (silence, noise, offscreen)")
    return areas
