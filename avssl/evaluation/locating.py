"""Locating what is heard, judged where the truth is known: with ears or without, and dark when nothing sounds.

A clip's place is the mean of its maps over the window, its truth the union of the sounding thing's boxes over that
window. ``ciou``, ``auc`` and ``iiou`` mark as many pixels as the truth has (the rule "adaptive"). What is lit, and
``swap_gap``, use one threshold for all clips, chosen on validation clips: a clip that stays below it marks nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from avssl.localize import score

Floats = NDArray[np.float64]
SIZE = score.SCORING_SIZE
SHARE = 0.8
"""of the sounding validation clips, lit at the threshold"""


@dataclass(frozen=True)
class Boxes:
    """One visible thing of a clip over the window: boxes [K, 4] of fractions, and whether it is heard."""

    sounding: bool
    boxes: Floats

    @property
    def mask(self) -> Floats:
        """Where it ever is [H, W], 0 or 1."""
        return score.boxes_to_mask(self.boxes, SIZE)


@dataclass(frozen=True)
class Judged:
    """A clip with the maps that a network made of it.

    Attributes:
        case: one, bystander, two, silent or offscreen.
        things: what is visible.
        own: maps [T, h, w] of its own sound.
        swapped: maps of another clip's sound, of another kind, on this clip's picture.
        solo: for clips with two sounds: index of a thing -> maps of that thing's sound alone.
        noise: maps of white noise on this clip's picture.
    """

    case: str
    things: tuple[Boxes, ...]
    own: Floats
    swapped: Floats | None = None
    solo: Mapping[int, Floats] = field(default_factory=dict)
    noise: Floats | None = None

    @property
    def truth(self) -> Floats:
        """Where the sounding things ever are [H, W]."""
        return self._union(True)

    @property
    def silent(self) -> Floats:
        """Where the silent things ever are [H, W]."""
        return self._union(False)

    def _union(self, sounding: bool) -> Floats:
        masks = [thing.mask for thing in self.things if thing.sounding == sounding]
        return np.maximum.reduce(masks) if masks else np.zeros(SIZE)


RANDOM_MAPS = 16
"""that clips take in turn"""
SINGLE = ("one", "bystander")
"""cases in which exactly one visible thing sounds"""


def threshold(clips: Sequence[Judged], share: float = SHARE) -> float:
    """The one threshold: tells own sounds from others best, and lights at least ``share`` of the sounding clips."""
    peaks = sounding_peaks(clips)
    if not peaks:
        raise ValueError("no validation clip has a sounding thing: the threshold cannot be chosen")
    deaf = [float(clip.swapped.max()) for clip in clips if clip.case in SINGLE and clip.swapped is not None]
    deaf += [float(clip.own.max()) for clip in clips if not any(thing.sounding for thing in clip.things)]
    return score.listening_threshold(peaks, deaf, share).value


def places(clips: Sequence[Judged]) -> dict[str, float]:
    """Figures that need no threshold; those for which no clip is of the right case are left out."""
    return {name: float(np.mean(values)) for name, values in each(clips).items()}


def each(clips: Sequence[Judged]) -> dict[str, list[float]]:
    """The values of single clips whose means are the figures of :func:`places`."""
    result: dict[str, list[float]] = {}
    single = [clip for clip in clips if clip.case in SINGLE]
    if single:
        found = [score.ciou(_marked(clip.own, clip.truth), clip.truth) for clip in single]
        result["ciou"], result["auc"] = _reached(found), [score.auc([one]) for one in found]
        result["pointing"] = [score.pointing(_place(clip.own), clip.truth) for clip in single]
        sized = score.by_size(_reached(found), [score.size_of(clip.truth) for clip in single])
        if len(sized) > 1:
            result |= {f"ciou_{name}": held for name, held in sized.items()}
    groups = [
        [score.ciou(_marked(maps, clip.things[k].mask), clip.things[k].mask) for k, maps in clip.solo.items()]
        for clip in clips
        if len(clip.solo) > 1
    ]
    if groups:
        result["iiou"] = _reached([min(group) for group in groups])
        result["iauc"] = [score.iauc([group]) for group in groups]
    chosen = [
        score.two_things(_place(clip.own), clip.truth, clip.silent) for clip in single if any(clip.silent.ravel())
    ]
    if chosen:
        result["two_things"] = chosen
    return result


def _reached(cious: Sequence[float]) -> list[float]:
    """1 where a cIoU is at least 0.5, else 0."""
    return [score.success_at([one]) for one in cious]


def lit(clips: Sequence[Judged], lit_from: float) -> dict[str, float]:
    """Figures at the threshold; those for which no clip is of the right case are left out."""
    result: dict[str, float] = {}
    pairs = [(clip, clip.swapped) for clip in clips if clip.case in SINGLE and clip.swapped is not None]
    if pairs:
        own = [score.ciou(_marked(clip.own, clip.truth, lit_from), clip.truth) for clip, _ in pairs]
        other = [score.ciou(_marked(swapped, clip.truth, lit_from), clip.truth) for clip, swapped in pairs]
        result["swap_gap"] = score.swap_gap(own, other)
    for name, case in (("silence_area", "silent"), ("offscreen_area", "offscreen")):
        dark = [score.lit_area(clip.own, lit_from) for clip in clips if clip.case == case]
        if dark:
            result[name] = float(np.mean(dark))
    noise = [score.lit_area(clip.noise, lit_from) for clip in clips if clip.noise is not None]
    if noise:
        result["noise_area"] = float(np.mean(noise))
    peaks = sounding_peaks(clips)
    if peaks:
        result["lit_sounding"] = score.lit_share(peaks, lit_from)
    return result


def prior(clips: Sequence[Judged]) -> Floats:
    """How often each place [H, W] holds a sounding thing: the average box of these clips, those of validation."""
    return np.asarray(np.mean([clip.truth for clip in clips if clip.truth.any()], axis=0))


def blind(clips: Sequence[Judged], *fixed: Floats) -> dict[str, float]:
    """The figures of maps [H, W] which the clips take in turn: a predictor that neither sees nor hears."""
    turns = [fixed[index % len(fixed)][None] for index in range(len(clips))]
    deaf = [
        replace(clip, own=maps, swapped=maps, solo=dict.fromkeys(clip.solo, maps), noise=None)
        for clip, maps in zip(clips, turns, strict=True)
    ]
    lowest = min(float(maps.min()) for maps in fixed)
    gap = {name: value for name, value in lit(deaf, lowest).items() if name == "swap_gap"}
    return {**places(deaf), **gap}


def oracle(clips: Sequence[Judged]) -> dict[str, float]:
    """The figures of a predictor that knows the answer: the most that the rule allows."""
    return places([
        # where nothing silent is in front comes first: there, pointing tells the two things apart
        replace(clip, own=score.oracle(clip.truth * (1 - 0.5 * clip.silent), "adaptive")[None],
                solo={k: score.oracle(clip.things[k].mask, "adaptive")[None] for k in clip.solo})
        for clip in clips
    ])  # fmt: skip


def table(
    trained: Sequence[Judged],
    untrained: Sequence[Judged],
    chosen: Mapping[str, float],
    average: Floats | None = None,
) -> dict[str, dict[str, float]]:
    """Figure -> {trained, untrained, center, average, whole, random, oracle, low, high} where they apply.

    Beside the networks: a disc in the middle, the average box, the whole picture, random maps, and the most that the
    rule allows; ``low`` and ``high`` are the 95 % interval of the trained network's figure over the clips.

    Args:
        trained: clips with the trained network's maps.
        untrained: the same clips with the untrained network's maps.
        chosen: the trained and the untrained network's threshold.
        average: the average box [H, W] of other clips, see :func:`prior`.
    """
    generator = np.random.default_rng(0)
    columns = {
        "trained": {**places(trained), **lit(trained, chosen["trained"])},
        "untrained": {**places(untrained), **lit(untrained, chosen["untrained"])},
        "center": blind(trained, score.centre_disc(SIZE)),
        **({} if average is None else {"average": blind(trained, average)}),
        "whole": blind(trained, score.whole_image(SIZE)),
        "random": blind(trained, *(score.random_map(generator, SIZE) for _ in range(RANDOM_MAPS))),
        "oracle": oracle(trained),
    }
    intervals = {name: score.bootstrap(values) for name, values in each(trained).items()}
    columns["low"] = {name: low for name, (low, _) in intervals.items()}
    columns["high"] = {name: high for name, (_, high) in intervals.items()}
    names = list(columns["trained"])
    return {name: {who: held[name] for who, held in columns.items() if name in held} for name in names}


def sounding_peaks(clips: Sequence[Judged]) -> list[float]:
    """The highest score of each clip in which a visible thing sounds."""
    return [float(clip.own.max()) for clip in clips if any(thing.sounding for thing in clip.things)]


def _place(maps: Floats) -> Floats:
    """The clip's one map [H, W]: the mean over time, enlarged."""
    return score.upsample(maps.mean(0), SIZE)


def _marked(maps: Floats, truth: Floats, lit_from: float | None = None) -> NDArray[np.bool_]:
    """The pixels [H, W] found: as many as the truth has; with a threshold none where no place is ever lit."""
    mask = score.binarize(_place(maps), "adaptive", truth)
    return mask if lit_from is None or maps.max() >= lit_from else np.zeros_like(mask)
