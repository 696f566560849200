"""What predictors score on a released list that neither see nor hear, and what the rule lets the best one score.

These figures need the list alone. A number of a trained localizer says how well it listens only where it is above
them; on VGG-SS the disc in the centre is level with published systems.

All rules here mark a map's highest pixels down to some value, so that a map is sorted once and each item costs one look
at its boxes, which gives the same figures as `binarize` and `ciou` do.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avssl.localize import score
from avssl.localize.lists import Item
from avssl.localize.masks import Floats, Mask

ListRule = Literal["top_half", "top_half_strict", "adaptive", "fixed"]
RULES: tuple[ListRule, ...] = ("top_half", "adaptive")
RANDOM_MAPS = 64
"""different random maps; the items take them in turn"""
DEAF_AREA = 0.3
"""of the picture, marked by the disc whose F_LOC is told"""


@dataclass(frozen=True)
class Truth:
    """The truth of an item cut to the rectangle that holds it all, how many pixels it has, and its size's name."""

    rows: slice
    columns: slice
    inside: NDArray[np.bool_]
    area: int
    size: str

    @classmethod
    def of(cls, mask: Floats | Mask) -> "Truth":
        """The truth of a mask [H, W]: its pixels above 0."""
        marked, size = mask > 0.0, score.size_of(mask)
        if not marked.any():
            return cls(slice(0), slice(0), marked[:0, :0], 0, size)
        down, across = np.flatnonzero(marked.any(1)), np.flatnonzero(marked.any(0))
        rows, columns = slice(down[0], down[-1] + 1), slice(across[0], across[-1] + 1)
        return cls(rows, columns, marked[rows, columns].copy(), int(np.count_nonzero(marked)), size)

    def mask(self) -> Mask:
        """The whole mask, of the size that all are scored at."""
        whole = np.zeros(score.SCORING_SIZE, dtype=np.bool_)
        whole[self.rows, self.columns] = self.inside
        return whole


class Overlap(NamedTuple):
    """cIoU, and IoU as `score.iou` has it: they differ where the truth is empty."""

    ciou: float
    iou: float


class Order:
    """A map [H, W] as rules see it that mark its highest pixels."""

    def __init__(self, scores: Floats) -> None:
        self.scores = scores
        self.sorted = np.sort(scores.ravel())

    def overlap(self, truth: Truth, keep: int) -> Overlap:
        """How well the highest ``keep`` pixels, and those tied with the last one, cover the truth."""
        pixels = self.sorted.size
        least = self.sorted[pixels - keep] if keep else np.inf
        marked = pixels - int(np.searchsorted(self.sorted, least))
        if not truth.area:
            return Overlap(0.0, 1.0 - marked / pixels)
        found = np.count_nonzero(truth.inside & (self.scores[truth.rows, truth.columns] >= least))
        return Overlap(*[found / (truth.area + marked - found)] * 2)

    def kept(self, rule: ListRule, area: int) -> int:
        """How many pixels a rule means to mark where the truth has ``area``."""
        pixels = self.sorted.size
        if rule == "adaptive":
            return area or pixels // 2
        if rule == "top_half":
            return pixels - pixels // 2
        return self._above_middle if rule == "top_half_strict" else self._upper_range

    @cached_property
    def _above_middle(self) -> int:
        return self.sorted.size - int(np.searchsorted(self.sorted, self.sorted[self.sorted.size // 2], side="right"))

    @cached_property
    def _upper_range(self) -> int:
        return int(np.count_nonzero(score.binarize(self.scores, "fixed")))

    def pointing(self, truth: Truth) -> float:
        """The pointing game, as `score.pointing` has it."""
        highest = self.sorted[-1]
        tied = self.sorted.size - int(np.searchsorted(self.sorted, highest))
        return np.count_nonzero(truth.inside & (self.scores[truth.rows, truth.columns] == highest)) / tied


def table(items: Sequence[Item]) -> dict[str, Any]:
    """The trivial predictors' figures on a list with boxes.

    Returns:
        What `summary` does; and ``f_loc``, ``f_auc`` of a disc that marks 30 % of every picture, whatever is heard.

    Raises ValueError when the items have no boxes.
    """
    truths = boxed(items)
    held = predictors(truths)
    return summary(items, truths, overlaps(truths, held, RULES)) | deaf(held["center"][0], truths)


def boxed(items: Sequence[Item]) -> list[Truth]:
    """The truths of a list with boxes. Raises ValueError when it has none."""
    for item in items:
        if item.boxes is None:
            raise ValueError(f"{item.key}: the list has no boxes to judge against, only ids or names of masks")
    return [Truth.of(score.boxes_to_mask(item.boxes, score.SCORING_SIZE)) for item in items]


def predictors(truths: Sequence[Truth]) -> dict[str, list[Order]]:
    """The maps of each predictor but the oracle; the items take them in turn."""
    size, generator = score.SCORING_SIZE, np.random.default_rng(0)
    total = np.zeros(size)
    for truth in truths:
        total[truth.rows, truth.columns] += truth.inside
    return {
        "center": [Order(score.centre_disc(size))],
        "average": [Order(total / len(truths))],
        "whole": [Order(score.whole_image(size))],
        "random": [Order(score.random_map(generator, size)) for _ in range(RANDOM_MAPS)],
    }


def overlaps(
    truths: Sequence[Truth], held: Mapping[str, Sequence[Order]], rules: Sequence[ListRule]
) -> dict[str, dict[str, list[Overlap]]]:
    """rule -> predictor -> overlap of each item [N], the oracle's too."""
    found: dict[str, dict[str, list[Overlap]]] = {}
    for rule in rules:
        found[rule] = {
            who: [
                order.overlap(truth, order.kept(rule, truth.area))
                for index, truth in enumerate(truths)
                for order in (orders[index % len(orders)],)
            ]
            for who, orders in held.items()
        }
        found[rule]["oracle"] = [_best(rule, truth.area) for truth in truths]
    return found


def _best(rule: ListRule, area: int) -> Overlap:
    """The overlap of who knows the truth and must mark as many pixels as the rule means to."""
    pixels = score.SCORING_SIZE[0] * score.SCORING_SIZE[1]
    keep = area or pixels // 2
    if rule in ("top_half", "top_half_strict"):
        keep = pixels - pixels // 2 - (rule == "top_half_strict")
    elif rule == "fixed":
        keep = area % pixels  # a truth of everything or nothing is a constant map, of which nothing is marked
    if not area:
        return Overlap(0.0, 1.0 - keep / pixels)
    return Overlap(*[min(area, keep) / max(area, keep)] * 2)


def summary(
    items: Sequence[Item], truths: Sequence[Truth], found: Mapping[str, Mapping[str, Sequence[Overlap]]]
) -> dict[str, Any]:
    """The figures of overlaps, rule -> predictor -> each item's [N].

    Returns:
        ``items``, ``empty`` (those whose truth covers no pixel of 224 x 224; they count as missed), ``pictures`` (those
        with several sounds), ``sizes`` (name -> items); ``rules.<rule>.<predictor>`` with ``ciou``, ``auc``,
        ``interval`` (95 % of ciou), ``iiou`` and ``iauc`` where pictures have several sounds, ``by_size`` (ciou), and
        ``miou`` (the mean of `score.iou`). Fractions, 0 to 1.
    """
    sizes, several = [truth.size for truth in truths], _groups(items)
    return {
        "items": len(items), "empty": sum(truth.area == 0 for truth in truths), "pictures": len(several),
        "sizes": {name: sizes.count(name) for name in score.SIZES if name in sizes},
        "rules": {
            rule: {who: _figures(held, several, sizes) for who, held in rows.items()} for rule, rows in found.items()
        },
    }  # fmt: skip


def _groups(items: Sequence[Item]) -> list[list[int]]:
    """The items of each picture that has several sounds."""
    held: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        held[item.group].append(index)
    return [group for group in held.values() if len(group) > 1]


def _figures(found: Sequence[Overlap], several: Sequence[Sequence[int]], sizes: Sequence[str]) -> dict[str, Any]:
    cious = [one.ciou for one in found]
    low, high = score.bootstrap(np.asarray(cious) >= 0.5)
    figures: dict[str, Any] = {
        "ciou": score.success_at(cious), "auc": score.auc(cious), "interval": [low, high],
        "by_size": {name: score.success_at(held) for name, held in score.by_size(cious, sizes).items()},
        "miou": float(np.mean([one.iou for one in found])),
    }  # fmt: skip
    if several:
        groups = [[cious[index] for index in group] for group in several]
        figures["iiou"], figures["iauc"] = score.iiou(groups), score.iauc(groups)
    return figures


def deaf(disc: Order, truths: Sequence[Truth]) -> dict[str, float]:
    """F_LOC and F_AUC of one mask for every item, negatives included, which it marks just the same."""
    pixels = disc.sorted.size
    # Only whole rings of equal pixels: a last ring beyond 30 % would cost a step of AUC_N.
    beyond = disc.sorted[pixels - 1 - int(DEAF_AREA * pixels)]
    keep = pixels - int(np.searchsorted(disc.sorted, beyond, side="right"))
    cious = [disc.overlap(truth, keep).ciou for truth in truths]
    areas = {kind: [keep / pixels] for kind in ("silence", "noise", "offscreen")}
    return {"f_loc": score.f_loc(cious, areas), "f_auc": score.f_auc(score.auc(cious), areas)}
