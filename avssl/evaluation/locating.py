"""Locating what is heard, judged where the truth is known: with ears or without, and dark when nothing sounds.

A clip's place is the mean of its maps over the window, its truth the union of the sounding thing's boxes over that
window. ``ciou``, ``auc`` and ``iiou`` mark as many pixels as the truth has (the rule "adaptive"). What is lit, and
``swap_gap``, use one threshold for all clips, chosen on validation clips: a clip that stays below it marks nothing.
``ciou_moments`` judges single moments of the window, each by its own map and boxes: following what moves counts there.
``both`` (of two sounding things) and ``all_three`` point at each of them when it is asked for its sound alone.
``ap`` and ``max_f1`` ask whether clips that sound and are found come before those that do not sound, by their highest
score; silence and sounds from off screen are what does not sound.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from avssl.evaluation.judged import SINGLE, SIZE, Floats, Judged, negatives, peaks, place
from avssl.evaluation.marking import counted, lit
from avssl.localize import calibration, score

RANDOM_MAPS = 16
"""that clips take in turn"""
MOMENTS, MOMENT_SIZE = 5, (112, 112)
"""of a window, evenly spread, that are judged by themselves; and the pixels on which they are"""
BLIND = ("swap_gap", "miou", "auc_n", "f_loc", "f_auc")
"""figures at a threshold that a predictor has which hears nothing"""


def threshold(clips: Sequence[Judged], share: float = calibration.SHARE) -> float:
    """The one threshold: tells own sounds from others best, and lights at least ``share`` of the sounding clips."""
    highest = peaks(clips)
    if not highest:
        raise ValueError("no validation clip has a sounding thing: the threshold cannot be chosen")
    deaf = [float(clip.swapped.max()) for clip in clips if clip.case in SINGLE and clip.swapped is not None]
    deaf += [float(clip.own.max()) for clip in clips if not clip.sounds]
    deaf += [float(clip.silence.max()) for clip in clips if clip.silence is not None]
    return score.listening_threshold(highest, deaf, share).value


def places(clips: Sequence[Judged]) -> dict[str, float]:
    """Figures that need no threshold; those for which no clip is of the right case are left out."""
    return {**{name: float(np.mean(values)) for name, values in each(clips).items()}, **detected(clips)}


def detected(clips: Sequence[Judged]) -> dict[str, float]:
    """``ap`` and ``max_f1`` (strict) of clips that sound among silence and sounds from off screen."""
    sounding = [clip for clip in clips if clip.sounds]
    quiet = [maps for kind, held in negatives(clips).items() if kind != "noise" for maps in held]
    if not (sounding and quiet):
        return {}
    sure = [*peaks(clips), *(float(maps.max()) for maps in quiet)]
    cious = [score.ciou(counted(clip.own, clip.truth), clip.truth) for clip in sounding] + [0.0] * len(quiet)
    found = score.detection(sure, cious, np.arange(len(sure)) < len(sounding))
    return {"ap": found.ap, "max_f1": found.max_f1}


def each(clips: Sequence[Judged]) -> dict[str, list[float]]:
    """The values of single clips whose means are the figures of :func:`places`."""
    result: dict[str, list[float]] = {}
    single = [clip for clip in clips if clip.case in SINGLE]
    if single:
        found = [score.ciou(counted(clip.own, clip.truth), clip.truth) for clip in single]
        result["ciou"], result["auc"] = _reached(found), [score.auc([one]) for one in found]
        result["pointing"] = [score.pointing(place(clip.own), clip.truth) for clip in single]
        result["ciou_moments"] = [_over_time(clip) for clip in single]
        sized = score.by_size(_reached(found), [score.size_of(clip.truth) for clip in single])
        if len(sized) > 1:
            result |= {f"ciou_{name}": held for name, held in sized.items()}
    groups = [
        [score.ciou(counted(maps, clip.things[k].mask), clip.things[k].mask) for k, maps in clip.solo.items()]
        for clip in clips
        if len(clip.solo) > 1
    ]
    if groups:
        result["iiou"] = _reached([min(group) for group in groups])
        result["iauc"] = [score.iauc([group]) for group in groups]
    for sounding, name in ((2, "both"), (3, "all_three")):
        several = [clip for clip in clips if len(clip.solo) == sounding]
        if several:
            result[name] = [
                math.prod(score.pointing(place(maps), clip.things[k].mask) for k, maps in clip.solo.items())
                for clip in several
            ]
    chosen = [score.two_things(place(clip.own), clip.truth, clip.silent) for clip in single if any(clip.silent.ravel())]
    if chosen:
        result["two_things"] = chosen
    return result


def _over_time(clip: Judged) -> float:
    """The share of moments that are found; the thing that sounds is looked for where it is at that moment."""
    spread = (np.arange(MOMENTS) + 0.5) / MOMENTS
    maps = clip.own[(spread * len(clip.own)).astype(np.int64)]
    boxes = [clip.boxes_at(float(share)) for share in spread]
    judged = [one for one in score.score_times(maps, boxes, size=MOMENT_SIZE) if one is not None]
    return float(np.mean([one.ciou >= 0.5 for one in judged]))


def _reached(cious: Sequence[float]) -> list[float]:
    """1 where a cIoU is at least 0.5, else 0."""
    return [score.success_at([one]) for one in cious]


def prior(clips: Sequence[Judged]) -> Floats:
    """How often each place [H, W] holds a sounding thing: the average box of these clips, those of validation."""
    return np.asarray(np.mean([clip.truth for clip in clips if clip.truth.any()], axis=0))


def blind(clips: Sequence[Judged], *fixed: Floats, area: float) -> dict[str, float]:
    """The figures of maps [H, W] which the clips take in turn: a predictor that neither sees nor hears.

    At the threshold it marks the highest ``area`` of its maps, a share of the picture.
    """
    turns = [fixed[index % len(fixed)][None] for index in range(len(clips))]
    deaf = [
        replace(
            clip, own=maps, swapped=maps, solo=dict.fromkeys(clip.solo, maps), noise=_as(maps, clip.noise),
            silence=_as(maps, clip.silence), foreign=_as(maps, clip.foreign),
        )
        for clip, maps in zip(clips, turns, strict=True)
    ]  # fmt: skip
    lowest = float(np.quantile(np.stack(fixed), 1.0 - area, method="lower"))
    return {**places(deaf), **{name: value for name, value in lit(deaf, lowest).items() if name in BLIND}}


def _as(maps: Floats, held: Floats | None) -> Floats | None:
    """``maps`` where a clip has any of that kind."""
    return None if held is None else maps


def oracle(clips: Sequence[Judged]) -> dict[str, float]:
    """The figures of a predictor that knows the answer: the most that the rule allows."""
    dark = np.zeros((1, *SIZE))
    best = places([
        # where nothing silent is in front comes first: there, pointing tells the two things apart
        replace(clip, own=score.oracle(clip.truth * (1 - 0.5 * clip.silent), "adaptive")[None] if clip.sounds else dark,
                solo={k: score.oracle(clip.things[k].mask, "adaptive")[None] for k in clip.solo},
                silence=_as(dark, clip.silence), foreign=_as(dark, clip.foreign))
        for clip in clips
    ])  # fmt: skip
    best.pop("ciou_moments", None)  # its map is that of the whole window
    return best


def trivial(clips: Sequence[Judged], average: Floats | None = None) -> dict[str, dict[str, float]]:
    """Predictor -> its figures: a disc in the middle, the average box, the whole picture, random maps, and the oracle.

    None of them hears, but for the oracle, the most that the rule allows. Where a threshold is asked for, they mark
    the share of the picture that sounding things cover on average, the whole picture all of it. They do not depend on
    the networks' maps.
    """
    generator = np.random.default_rng(0)
    sounding = [clip.truth.mean() for clip in clips if clip.sounds]
    area = float(average.mean() if average is not None else np.mean(sounding or [1.0]))
    return {
        "center": blind(clips, score.centre_disc(SIZE), area=area),
        **({} if average is None else {"average": blind(clips, average, area=area)}),
        "whole": blind(clips, score.whole_image(SIZE), area=1.0),
        "random": blind(clips, *(score.random_map(generator, SIZE) for _ in range(RANDOM_MAPS)), area=area),
        "oracle": oracle(clips),
    }


def table(
    trained: Sequence[Judged],
    untrained: Sequence[Judged] | None,
    chosen: Mapping[str, float],
    average: Floats | None = None,
    beside: Mapping[str, dict[str, float]] | None = None,
) -> dict[str, dict[str, float]]:
    """Figure -> {trained, untrained, center, average, whole, random, oracle, low, high} where they apply.

    ``low`` and ``high`` are the 95 % interval of the trained network's figure over the clips.

    Args:
        trained: clips with the trained network's maps.
        untrained: the same clips with the untrained network's maps; None leaves that column out.
        chosen: the trained and the untrained network's threshold.
        average: the average box [H, W] of other clips, see :func:`prior`.
        beside: what :func:`trivial` gives for these clips, where it is known already.
    """
    columns = {
        "trained": {**places(trained), **lit(trained, chosen["trained"])},
        **({} if untrained is None else {"untrained": {**places(untrained), **lit(untrained, chosen["untrained"])}}),
        **(trivial(trained, average) if beside is None else beside),
    }
    intervals = {name: score.bootstrap(values) for name, values in each(trained).items()}
    columns["low"] = {name: low for name, (low, _) in intervals.items()}
    columns["high"] = {name: high for name, (_, high) in intervals.items()}
    names = list(columns["trained"])
    return {name: {who: held[name] for who, held in columns.items() if name in held} for name in names}
