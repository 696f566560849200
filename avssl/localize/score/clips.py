"""A clip scored as one picture or time by time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from avssl.localize.masks import Floats, Rule, as_scores, binarize, boxes_to_mask, truth_over_time, upsample
from avssl.localize.score.dark import lit_area
from avssl.localize.score.overlap import ciou, pointing

SCORING_SIZE = (224, 224)


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
