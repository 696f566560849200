"""What is lit at the one threshold of a checkpoint, and how that threshold is chosen."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from avssl.localize.masks import Floats, as_scores
from avssl.localize.score.overlap import items_of


def lit_area(scores: ArrayLike | Any, threshold: float) -> float:
    """Share of the cells of a map (any of [h, w], [T, h, w]) that are lit; 0 is right when nothing there sounds.

    Give the cells as the model made them: enlarging lowers peaks, so the threshold would mean something else.
    """
    return float(np.mean(as_scores(scores, (2, 3)) >= threshold))


def lit_share(peaks: ArrayLike | Any, threshold: float) -> float:
    """Share of clips that have any lit cell, from the highest score of each clip [N] or its maps [N, ...]."""
    return float(np.mean(peaks_of(peaks) >= threshold))


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
    peaks = np.sort(peaks_of(sounding_scores))[::-1]
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
    own, highest = peaks_of(sounding_scores), choose_threshold(sounding_scores, share)
    if not np.size(deaf_scores):
        return highest
    deaf = peaks_of(deaf_scores)
    candidates = np.unique(own[own <= highest.value])[::-1]  # [C], from the highest down
    gaps = (own >= candidates[:, None]).mean(1) - (deaf >= candidates[:, None]).mean(1)
    value = float(candidates[int(gaps.argmax())])
    return Threshold(value, float(np.mean(own >= value)))


def peaks_of(scores: ArrayLike | Any) -> Floats:
    """The highest score of each clip [N], from those scores or from maps [N, ...]."""
    values = np.asarray(scores, dtype=np.float64)
    return items_of(values.reshape(len(values), -1).max(axis=1) if values.ndim > 1 else values, "clip scores")
