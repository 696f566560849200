"""Predictors that neither see nor hear, and the one that knows the answer.

Each gives a score map to be thresholded by the same rule as a trained model's. Without them a localization score
means little: on VGG-SS a disc in the centre scores like published systems, and under the top-half rule even a
predictor that knows the box finds only half of the items.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from avssl.localize.masks import Floats, Rule, as_scores, boxes_to_mask, upsample


def centre_disc(size: tuple[int, int], area: float = 0.5) -> Floats:
    """A map [H, W] that falls with the distance from the centre and is 0.5 at the rim of a disc of `area`.

    A rule that counts pixels (top half, adaptive) takes a disc of its own size; at a threshold of 0.5 the disc covers
    `area` of the picture.
    """
    height, width = size
    if not 0.0 < area <= 1.0:
        raise ValueError(f"area is a share of the picture above 0 and at most 1, got {area}")
    rows = np.arange(height) - (height - 1) / 2
    columns = np.arange(width) - (width - 1) / 2
    squared = rows[:, None] ** 2 + columns[None, :] ** 2
    count = max(1, round(area * squared.size))
    rim = float(np.partition(squared.ravel(), count - 1)[count - 1])
    disc: Floats = 0.5 ** (squared / max(rim, 1.0))
    return disc


def whole_image(size: tuple[int, int]) -> Floats:
    """A constant map of ones [H, W]: the rules that keep ties (>=) mark all of it."""
    return np.ones(size, dtype=np.float64)


def random_map(generator: np.random.Generator, size: tuple[int, int], cells: int = 7) -> Floats:
    """Uniform noise on `cells` x `cells` places, enlarged to [H, W] as a network's coarse map would be."""
    return upsample(generator.random((cells, cells)), size)


def average_box(boxes: Iterable[ArrayLike | Any], size: tuple[int, int]) -> Floats:
    """How often each pixel [H, W] is inside the boxes of the given items (each [K, 4] fractions).

    Take the boxes of other items than those scored; the prior of the scored set itself is an upper bound of it.
    """
    total = np.zeros(size, dtype=np.float64)
    items = 0
    for of_one_item in boxes:
        total += boxes_to_mask(of_one_item, size)
        items += 1
    if items == 0:
        raise ValueError("the average box needs the boxes of at least one item")
    return total / items


def oracle(truth: ArrayLike | Any, rule: Rule = "top_half") -> Floats:
    """The best map [H, W] that can be handed to `rule` when the truth is known: its score is the rule's ceiling.

    For rules that count pixels the pixels are ranked by the truth, ties in reading order, so that no two are equal
    and the rule marks exactly as many as it means to. For thresholds on values the truth itself is the map.
    """
    known = as_scores(truth)
    if rule in ("fixed", "universal"):
        return known
    ranks = np.empty(known.size, dtype=np.float64)
    ranks[np.argsort(-known.ravel(), kind="stable")] = np.arange(known.size)
    best: Floats = (1.0 - ranks / known.size).reshape(known.shape)
    return best
