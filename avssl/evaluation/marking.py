"""Figures of what is marked at one threshold, the same for all clips: found, dark, and listening.

A pixel is marked where the clip's map reaches the threshold at any moment of the window, as the truth is where a
sounding thing is at any moment of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avssl.evaluation.judged import SINGLE, SIZE, Floats, Judged, negatives, peaks, place
from avssl.localize import score


def lit(clips: Sequence[Judged], lit_from: float) -> dict[str, float]:
    """Figures at the threshold; those for which no clip is of the right case are left out.

    * ``swap_gap``: found with the own sound less found with another's.
    * ``silence_area``, ``noise_area``, ``offscreen_area``: share of the cells lit by what nothing visible makes.
    * ``lit_sounding``: share of the clips with a sounding thing that light anything.
    * ``miou``: mean over these clips of the IoU of what is marked with the truth.
    * ``auc_n``, ``f_loc``, ``f_auc``: see :mod:`avssl.localize.score.negatives`.
    """
    result: dict[str, float] = {}
    pairs = [(clip, clip.swapped) for clip in clips if clip.case in SINGLE and clip.swapped is not None]
    if pairs:
        own = [score.ciou(counted(clip.own, clip.truth, lit_from), clip.truth) for clip, _ in pairs]
        other = [score.ciou(counted(swapped, clip.truth, lit_from), clip.truth) for clip, swapped in pairs]
        result["swap_gap"] = score.swap_gap(own, other)
    dark = negatives(clips)
    for kind, maps in dark.items():
        result[f"{kind}_area"] = float(np.mean([score.lit_area(one, lit_from) for one in maps]))
    sounding = [clip for clip in clips if clip.sounds]
    if sounding:
        result["lit_sounding"] = score.lit_share(peaks(clips), lit_from)
        ious = [score.ciou(marked(clip.own, lit_from), clip.truth) for clip in sounding]
        result["miou"] = float(np.mean(ious))
        if dark:
            areas = {kind: [score.pia(marked(one, lit_from)) for one in maps] for kind, maps in dark.items()}
            result["auc_n"] = float(np.mean([score.auc_n(held) for held in areas.values()]))
            result["f_loc"] = score.f_loc(ious, areas)
            result["f_auc"] = score.f_auc(score.auc(ious), areas)
    return result


def marked(maps: Floats, lit_from: float) -> NDArray[np.bool_]:
    """The pixels [H, W] that are lit at any moment of maps [T, h, w]."""
    return score.binarize(score.upsample(maps.max(0), SIZE), "universal", threshold=lit_from)


def counted(maps: Floats, truth: Floats, lit_from: float | None = None) -> NDArray[np.bool_]:
    """The pixels [H, W] found: as many as the truth has; with a threshold none where no place is ever lit."""
    mask = score.binarize(place(maps), "adaptive", truth)
    return mask if lit_from is None or maps.max() >= lit_from else np.zeros_like(mask)
