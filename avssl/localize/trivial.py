"""What predictors score on a released list that neither see nor hear, and what the rule lets the best one score.

These figures need the list alone. A number of a trained localizer says how well it listens only where it is above
them; on VGG-SS the disc in the centre is level with published systems.

All rules here count pixels, so that a map matters by its order alone: a pixel is marked when fewer pixels score higher
than the rule keeps. That order is worked out once per map and each item costs one look at its boxes, which gives the
same figures as `binarize` and `ciou` do.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from avssl.localize import score
from avssl.localize.lists import Item
from avssl.localize.masks import Floats

CountingRule = Literal["top_half", "adaptive"]
RULES: tuple[CountingRule, ...] = ("top_half", "adaptive")
RANDOM_MAPS = 64
"""different random maps; the items take them in turn"""
DEAF_AREA = 0.3
"""of the picture, marked by the disc whose F_LOC is told"""


@dataclass(frozen=True)
class Truth:
    """The truth [H, W] of an item cut to the rectangle that holds it all, and how many pixels it has."""

    rows: slice
    columns: slice
    inside: NDArray[np.bool_]
    area: int


class Order:
    """A map [H, W] as a counting rule sees it: for each pixel, how many score higher."""

    def __init__(self, scores: Floats) -> None:
        flat = np.sort(scores.ravel())
        self.higher = (flat.size - np.searchsorted(flat, scores, side="right")).astype(np.int32)  # [H, W]
        self.sorted = np.sort(self.higher.ravel())

    def ciou(self, truth: Truth, keep: int) -> float:
        """The cIoU of the highest ``keep`` pixels, and of those tied with the last one."""
        marked = int(np.searchsorted(self.sorted, keep))
        found = np.count_nonzero(truth.inside & (self.higher[truth.rows, truth.columns] < keep))
        return found / (truth.area + marked - found) if truth.area else 0.0


def table(items: Sequence[Item]) -> dict[str, Any]:
    """The trivial predictors' figures on a list with boxes.

    Returns:
        ``items``, ``empty`` (those whose truth covers no pixel of 224 x 224; they count as missed), ``pictures`` (those
        with several sounds), ``sizes`` (name -> items); ``rules.<rule>.<predictor>`` with ``ciou``, ``auc``,
        ``interval`` (95 % of ciou), ``iiou`` and ``iauc`` where pictures have several sounds, and ``by_size`` (ciou);
        and ``f_loc``, ``f_auc`` of a disc that marks 30 % of every picture, whatever is heard. Fractions, 0 to 1.

    Raises ValueError when the items have no boxes.
    """
    for item in items:
        if item.boxes is None:
            raise ValueError(f"{item.key}: the list has no boxes to judge against, only ids or names of masks")
    boxes = [item.boxes for item in items if item.boxes is not None]
    size = score.SCORING_SIZE
    masks = [score.boxes_to_mask(held, size) for held in boxes]
    truths = [_truth(mask) for mask in masks]
    sizes = [score.size_of(mask) for mask in masks]
    generator = np.random.default_rng(0)
    several = _groups(items)
    orders = {
        "center": [Order(score.centre_disc(size))],
        "average": [Order(score.average_box(boxes, size))],
        "whole": [Order(score.whole_image(size))],
        "random": [Order(score.random_map(generator, size)) for _ in range(RANDOM_MAPS)],
    }
    rules: dict[str, dict[str, Any]] = {}
    for rule in RULES:
        keep = [_kept(rule, truth.area, size) for truth in truths]
        found = {
            who: [held[index % len(held)].ciou(truth, keep[index]) for index, truth in enumerate(truths)]
            for who, held in orders.items()
        }
        found["oracle"] = [_best(truth.area, kept) for truth, kept in zip(truths, keep, strict=True)]
        rules[rule] = {who: _figures(cious, several, sizes) for who, cious in found.items()}
    counted = {name: sizes.count(name) for name in score.SIZES if name in sizes}
    empty = sum(truth.area == 0 for truth in truths)
    return {
        "items": len(items), "empty": empty, "pictures": len(several), "sizes": counted, "rules": rules,
        **_deaf(orders["center"][0], truths),
    }  # fmt: skip


def _truth(mask: Floats) -> Truth:
    marked = mask > 0.0
    if not marked.any():
        return Truth(slice(0), slice(0), marked[:0, :0], 0)
    down, across = np.flatnonzero(marked.any(1)), np.flatnonzero(marked.any(0))
    rows, columns = slice(down[0], down[-1] + 1), slice(across[0], across[-1] + 1)
    return Truth(rows, columns, marked[rows, columns], int(np.count_nonzero(marked)))


def _kept(rule: CountingRule, area: int, size: tuple[int, int]) -> int:
    """How many pixels a rule means to mark: those from the middle value up, or as many as the truth has."""
    pixels = size[0] * size[1]
    return pixels - pixels // 2 if rule == "top_half" else area or pixels // 2


def _best(area: int, keep: int) -> float:
    """The cIoU of who knows the truth and must mark ``keep`` pixels."""
    return min(area, keep) / max(area, keep) if area else 0.0


def _groups(items: Sequence[Item]) -> list[list[int]]:
    """The items of each picture that has several sounds."""
    held: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        held[item.group].append(index)
    return [group for group in held.values() if len(group) > 1]


def _figures(cious: list[float], several: Sequence[Sequence[int]], sizes: Sequence[str]) -> dict[str, Any]:
    low, high = score.bootstrap(np.asarray(cious) >= 0.5)
    figures: dict[str, Any] = {
        "ciou": score.success_at(cious), "auc": score.auc(cious), "interval": [low, high],
        "by_size": {name: score.success_at(held) for name, held in score.by_size(cious, sizes).items()},
    }  # fmt: skip
    if several:
        groups = [[cious[index] for index in group] for group in several]
        figures["iiou"], figures["iauc"] = score.iiou(groups), score.iauc(groups)
    return figures


def _deaf(disc: Order, truths: Sequence[Truth]) -> dict[str, float]:
    """F_LOC and F_AUC of one mask for every item, negatives included, which it marks just the same."""
    # Only whole rings of equal pixels: a last ring beyond 30 % would cost a step of AUC_N.
    keep = int(disc.sorted[disc.sorted <= DEAF_AREA * disc.sorted.size].max())
    cious = [disc.ciou(truth, keep) for truth in truths]
    areas = {kind: [keep / disc.sorted.size] for kind in ("silence", "noise", "offscreen")}
    return {"f_loc": score.f_loc(cious, areas), "f_auc": score.f_auc(score.auc(cious), areas)}
