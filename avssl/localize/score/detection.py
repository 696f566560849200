"""Finding and keeping quiet in one figure: AP, max-F1 and LocAcc over items of which some do not sound.

Mo and Morgado: A Closer Look at Weakly-Supervised Audio-Visual Source Localization (SLAVC), NeurIPS 2022. An item is
detected where its confidence reaches a cut. The released scorer and a strict reading of the same idea differ:

* compatible: a detected item in the wrong place is a false positive alone, not also a miss, so recall reaches 1 with
  any number of them; about 200 cuts (11 for F1) are taken, never the highest for AP; the first step of recall is left
  out; LocAcc asks for a cIoU above 0.5.
* strict: such an item is also a miss, as its sound was not found; every distinct confidence is a cut, tied items enter
  together; AP is the exact area under the greatest precision at any greater or equal recall; cIoU 0.5 suffices.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avssl.localize.masks import Floats, as_scores
from avssl.localize.score.overlap import items_of


class Detection(NamedTuple):
    """Average precision, the greatest F1 over the cuts, and the share of sounding items that are found."""

    ap: float
    max_f1: float
    loc_acc: float


def confidence(scores: ArrayLike | Any, share: float = 0.25) -> float:
    """How sure a map [H, W] is that something sounds: the mean of its highest ``share`` of absolute values."""
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share is a part of the pixels above 0 and at most 1, got {share}")
    values = np.abs(as_scores(scores)).ravel()
    count = max(1, int(values.size * share))
    return float(np.partition(values, values.size - count)[values.size - count :].mean())


def detection(
    confidences: ArrayLike | Any,
    cious: ArrayLike | Any,
    sounding: ArrayLike | Any,
    *,
    strict: bool = True,
    threshold: float = 0.5,
) -> Detection:
    """AP, max-F1 and LocAcc.

    Args:
        confidences: of each item [N], as of `confidence`.
        cious: of each item [N]; those of items that do not sound are not looked at.
        sounding: whether something in the picture makes the sound, bool [N]; at least one does.
        strict: the exact reading instead of the released scorer's, see above.
        threshold: a cIoU from which an item is found.
    """
    sure, found = items_of(confidences, "confidence"), items_of(cious, "cIoU")
    heard = np.asarray(sounding)
    if not sure.shape == found.shape == heard.shape or heard.dtype != np.bool_:
        raise ValueError(
            f"{sure.shape[0]} confidences, {found.shape[0]} cIoUs and sounding of shape {heard.shape}, {heard.dtype}; "
            "give as many of each, sounding as bool"
        )
    if not heard.any():
        raise ValueError("no item sounds; at least one must, or there is nothing to find")
    right = heard & (found >= threshold)
    if strict:
        return _strict(sure, right, heard)
    cuts = np.sort(sure)
    curve = [_counts(sure, right, heard, cut) for cut in cuts[:-1][:: -max(1, len(cuts) // 200)]]
    precision, recall = np.array([p for p, _ in curve]), np.array([r for _, r in curve])
    ahead = np.maximum.accumulate(precision[::-1])[::-1]
    ap = float(np.sum(ahead[:-1] * np.diff(recall))) if len(curve) > 1 else 0.0
    tried = [_counts(sure, right, heard, cut) for cut in cuts[:: max(1, len(cuts) // 10)]]
    best = max(2 * p * r / (p + r) if p + r > 0 else 0.0 for p, r in tried)
    return Detection(ap, best, float(np.mean(found[heard] > threshold)))


def _counts(sure: Floats, right: NDArray[np.bool_], heard: NDArray[np.bool_], cut: float) -> tuple[float, float]:
    """Precision and recall at a cut, as the released scorer counts."""
    detected = sure >= cut
    true = int(np.count_nonzero(detected & right))
    missed = int(np.count_nonzero(heard & ~detected))
    return true / max(1, int(detected.sum())), true / (true + missed) if true + missed else 1.0


def _strict(sure: Floats, right: NDArray[np.bool_], heard: NDArray[np.bool_]) -> Detection:
    order = np.argsort(-sure, kind="stable")
    last = np.flatnonzero(np.append(np.diff(sure[order]) != 0, True))  # of each block of equal confidences
    true, detected = np.cumsum(right[order])[last], last + 1
    precision, recall = true / detected, true / heard.sum()
    ahead = np.maximum.accumulate(precision[::-1])[::-1]
    ap = float(np.sum(ahead * np.diff(recall, prepend=0.0)))
    f1 = float(np.max(2 * true / (detected + heard.sum())))
    return Detection(ap, f1, float(np.mean(right[heard])))
