"""What score maps that somebody made for a released list reach, beside predictors that neither see nor hear.

All is scored on maps of `score.SCORING_SIZE`, enlarged where they were made smaller: the threshold too is compared with
enlarged maps, and where it is chosen here, it is chosen on enlarged maps. What an item scores does not depend on other
items, but for the F-measure, for which maps are brought to 0..1 by the range of all maps of the list.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from avssl.localize import given, score, trivial
from avssl.localize.lists import Item
from avssl.localize.masks import Floats, Mask
from avssl.localize.trivial import ListRule, Order, Overlap, Truth

RULES: tuple[ListRule, ...] = ("top_half", "top_half_strict", "adaptive", "fixed")
BESIDE = ("center", "average", "whole")
"""predictors with one map for all items, whose F-measure is told"""
Tell = Callable[[int, int], None]
Kind = TypeVar("Kind", Floats, Mask)


@dataclass(frozen=True)
class Asked:
    """What is judged, and where it lies.

    Attributes:
        items: of the list.
        maps: folder of their maps.
        masks: folder of their masks, for a list that names masks.
        negatives: kind (such as silence, noise, offscreen) -> folder of maps on which nothing should be marked.
        threshold: of the universal rule.
        validation: folder of maps of negatives whose peaks' third quartile is the threshold.
    """

    items: Sequence[Item]
    maps: Path
    masks: Path | None = None
    negatives: Mapping[str, Path] = field(default_factory=dict)
    threshold: float | None = None
    validation: Path | None = None


def table(asked: Asked, tell: Tell | None = None) -> dict[str, Any]:
    """All figures of the maps, beside those of trivial predictors. Fractions, 0 to 1.

    Args:
        asked: what is judged.
        tell: is called with (files done, in all).

    Returns:
        What `trivial.summary` does, for the rules top_half, top_half_strict, adaptive and fixed (half of each map's
        range) with a row "maps" before the predictors', and the rule universal of the maps alone where there is a
        threshold; ``f_loc`` and ``f_auc`` of the disc of `trivial.deaf`; ``pointing`` (predictor -> figure);
        ``left_out`` (figures -> why). With a threshold ``threshold``: ``value``, ``chosen``, ``mean_ciou``, and with
        negatives ``pia`` and ``auc_n`` (kind -> figure), ``f_loc``, ``f_auc``. With negatives ``negatives``
        (kind -> maps) and ``detection.<rule>.<maps or center>.<strict or compatible>`` with ``ap``, ``max_f1``,
        ``loc_acc``, for which all kinds are taken together. With masks ``f_measure`` (predictor -> figure) and
        ``range`` (that of the maps, which becomes 0..1).

    Raises ValueError, one line, for a list without boxes or masks or with items that do not sound, for files that are
    missing or hold no map, and for a threshold chosen on what is judged.
    """
    check(asked)
    items = asked.items
    paths = given.maps_of(asked.maps, items)
    silent = {kind: given.any_maps(folder) for kind, folder in asked.negatives.items()}
    heldout = given.any_maps(asked.validation) if asked.validation else []
    masks = given.masks_of(asked.masks, items) if asked.masks else []
    _check_apart(asked, paths, [path for files in silent.values() for path in files], heldout)
    read = _Reader(len(paths) + sum(map(len, silent.values())) + len(heldout) + (2 + len(BESIDE)) * len(masks), tell)

    truths = [Truth.of(read.mask(path)) for path in masks] if masks else trivial.boxed(items)
    if masks and not any(truth.area for truth in truths):
        raise ValueError(f"{asked.masks}: all masks are black; there is nothing to find")
    threshold, chosen = asked.threshold, "as given"
    if heldout:
        threshold = score.negative_threshold([float(read.map(path).max()) for path in heldout])
        chosen = "third quartile of the peaks of validation negatives"
    seen = _Seen(threshold)
    for path, truth in zip(paths, truths, strict=True):
        seen.add(read.map(path), truth)
    beside = trivial.predictors(truths)
    rows = trivial.overlaps(truths, beside, RULES)
    found = {rule: {"maps": mine, **rows.get(rule, {})} for rule, mine in seen.overlaps.items()}
    judged = trivial.summary(items, truths, found) | trivial.deaf(beside["center"][0], truths)
    judged["pointing"] = {"maps": float(np.mean(seen.pointing)), **_pointing(beside, truths)}

    sure, areas = _silent(silent, read, threshold)
    if silent:
        judged["negatives"] = {kind: len(files) for kind, files in silent.items()}
        judged["detection"] = {
            rule: _detections(held, [*seen.confidences, *sure], len(items)) for rule, held in found.items()
        }
    if threshold is not None:
        cious = [one.ciou for one in seen.overlaps["universal"]]
        judged["threshold"] = {"value": threshold, "chosen": chosen, **_at_threshold(cious, areas)}
    if masks:
        judged["range"] = [seen.low, seen.high]
        known = _Each(len(truths), lambda index: truths[index].mask())
        given_maps = _Each(len(paths), lambda index: _stretched(read.map(paths[index]), seen.low, seen.high))
        judged["f_measure"] = {"maps": score.f_measure(given_maps, known)}
        for who in BESIDE:
            same = beside[who][0]
            stretched = _stretched(same.scores, float(same.sorted[0]), float(same.sorted[-1]))
            judged["f_measure"][who] = score.f_measure(_Each(len(truths), read.again(stretched)), known)
    judged["left_out"] = _left_out(bool(masks), bool(silent), threshold)
    return judged


def check(asked: Asked) -> None:
    """Raise ValueError, one line, for a list that cannot be judged, before any file is read."""
    for item in asked.items:
        if not item.sounding:
            raise ValueError(
                f"{item.key}: the list holds items that do not sound; judge the list of those that do, "
                "with maps of silence, noise or off-screen sound beside"
            )
        if item.boxes is None and asked.masks is None:
            what = "masks, no boxes: give the folder of the masks too" if item.mask else "neither boxes nor masks"
            raise ValueError(f"{item.key}: the list has {what}")
        if not item.mask and asked.masks is not None:
            raise ValueError(f"{item.key}: the list names no mask; masks belong to one that does, such as s4_seg.json")
    given.names(asked.items)


def _check_apart(asked: Asked, own: Sequence[Path], silent: Sequence[Path], heldout: Sequence[Path]) -> None:
    """Refuse a threshold that is none or would be chosen on a map that is judged, and maps judged as both kinds."""
    if asked.threshold is not None and asked.validation is not None:
        raise ValueError("a threshold is either given or chosen on validation maps, not both")
    if asked.threshold is not None and not math.isfinite(asked.threshold):
        raise ValueError(f"the threshold is {asked.threshold:g}; it must be a finite number, such as 0.5")
    sounding, dark = ({path.resolve() for path in paths} for paths in (own, silent))
    if shared := sorted(sounding & dark):
        raise ValueError(f"{shared[0]} is given as an item's map and as one on which nothing should be marked")
    if shared := sorted({path.resolve() for path in heldout} & (sounding | dark)):
        raise ValueError(f"{shared[0]}: a threshold must not be chosen on a map that is judged")


class _Reader:
    """Reads files and tells how many are done."""

    def __init__(self, total: int, tell: Tell | None) -> None:
        self.done, self.total, self.tell = 0, total, tell

    def map(self, path: Path) -> Floats:
        return self._counted(given.read_map(path))

    def mask(self, path: Path) -> Mask:
        return self._counted(given.read_mask(path))

    def again(self, values: Floats) -> Callable[[int], Floats]:
        return lambda index: self._counted(values)

    def _counted(self, values: Kind) -> Kind:
        self.done += 1
        if self.tell:
            self.tell(self.done, self.total)
        return values


class _Each(Sequence[Any]):
    """Values that are made when they are asked for: the maps of a whole list may not fit into memory."""

    def __init__(self, length: int, make: Callable[[int], Any]) -> None:
        self.length, self.make = length, make

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        return self.make(range(self.length)[index])


class _Seen:
    """What one pass over the maps of a list gives."""

    def __init__(self, threshold: float | None) -> None:
        self.threshold = threshold
        self.overlaps: dict[str, list[Overlap]] = {rule: [] for rule in RULES}
        if threshold is not None:
            self.overlaps["universal"] = []
        self.confidences: list[float] = []
        self.pointing: list[float] = []
        self.low, self.high = math.inf, -math.inf

    def add(self, values: Floats, truth: Truth) -> None:
        order = Order(values)
        for rule in RULES:
            self.overlaps[rule].append(order.overlap(truth, order.kept(rule, truth.area)))
        if self.threshold is not None:
            lit = order.sorted.size - int(np.searchsorted(order.sorted, self.threshold))
            self.overlaps["universal"].append(order.overlap(truth, lit))
        self.confidences.append(score.confidence(values))
        self.pointing.append(order.pointing(truth))
        self.low, self.high = min(self.low, float(order.sorted[0])), max(self.high, float(order.sorted[-1]))


def _stretched(values: Floats, low: float, high: float) -> Floats:
    """Values in low..high as 0..1."""
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _pointing(beside: Mapping[str, Sequence[Order]], truths: Sequence[Truth]) -> dict[str, float]:
    found = {
        who: float(np.mean([held[index % len(held)].pointing(truth) for index, truth in enumerate(truths)]))
        for who, held in beside.items()
    }
    return found | {"oracle": float(np.mean([truth.area > 0 for truth in truths]))}


def _silent(
    silent: Mapping[str, Sequence[Path]], read: _Reader, threshold: float | None
) -> tuple[list[float], dict[str, list[float]]]:
    """How sure each map of a negative is, of all kinds; and kind -> pIA of each, where there is a threshold."""
    sure: list[float] = []
    areas: dict[str, list[float]] = {}
    for kind, files in silent.items():
        for path in files:
            values = read.map(path)
            sure.append(score.confidence(values))
            if threshold is not None:
                areas.setdefault(kind, []).append(score.pia(values >= threshold))
    return sure, areas


def _detections(
    held: Mapping[str, Sequence[Overlap]], confidences: Sequence[float], items: int
) -> dict[str, dict[str, dict[str, float]]]:
    """maps, and the disc that is as sure of everything -> strict and compatible figures."""
    sounding = np.arange(len(confidences)) < items
    found: dict[str, dict[str, dict[str, float]]] = {}
    for who, sure in {"maps": confidences, "center": [1.0] * len(confidences)}.items():
        if who in held:
            cious = np.zeros(len(confidences))
            cious[:items] = [one.ciou for one in held[who]]
            found[who] = {
                name: score.detection(sure, cious, sounding, strict=name == "strict")._asdict()
                for name in ("strict", "compatible")
            }
    return found


def _at_threshold(cious: Sequence[float], areas: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    found: dict[str, Any] = {"mean_ciou": float(np.mean(cious))}
    if areas:
        found["pia"] = {kind: float(np.mean(held)) for kind, held in areas.items()}
        found["auc_n"] = {kind: score.auc_n(held) for kind, held in areas.items()}
        found["f_loc"], found["f_auc"] = score.f_loc(cious, areas), score.f_auc(score.auc(cious), areas)
    return found


def _left_out(masks: bool, negatives: bool, threshold: float | None) -> dict[str, str]:
    """Figures that could not be told -> why."""
    found = {}
    if not negatives:
        found["AP, max-F1, LocAcc"] = "no maps of negatives"
    if threshold is None:
        found["universal rule, pIA, AUC_N, F_LOC, F_AUC"] = "no threshold"
    elif not negatives:
        found["pIA, AUC_N, F_LOC, F_AUC"] = "no maps of negatives"
    if not masks:
        found["mIoU, F-measure of masks"] = "a list of boxes"
    return found
