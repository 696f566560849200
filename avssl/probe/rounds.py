"""Which examples are fitted on, which choose settings, which judge; and how few labels are used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from avssl.probe.examples import Examples

Places = NDArray[np.int64]
Numbers = NDArray[np.int64]
"""class numbers [N]"""
Floats = NDArray[np.float32]
"""features [N, D]"""

FEW = 5
"""examples of a class in one part; with fewer, a figure is mostly luck"""
HELD_BACK = 0.2
"""share of the training part that chooses settings where there is no validation part"""


class Round(NamedTuple):
    """Places of examples, ascending: ``train`` is fitted on, ``val`` chooses, ``test`` judges and does nothing else."""

    train: Places
    val: Places
    test: Places

    @property
    def both(self) -> Places:
        """What the final fit may use: all that is not judged."""
        return np.union1d(self.train, self.val)


def rounds(data: Examples, seed: int = 0, fraction: float = 1.0) -> list[Round]:
    """One round, or one for each fold.

    Where the set has folds, each is judged once, the next one chooses, the others are fitted on. Without a validation
    part a fifth of the training part chooses, whole groups at a time.

    Args:
        data: the label set.
        seed: of what is held back, and of the labels that are kept.
        fraction: share of each class's labels that may be used, of what is fitted on as of what chooses; at least one
            of each. The test part stays whole.

    Raises ValueError where a part is missing, or where what is judged is of no class that was fitted on.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is {fraction}; a share of the labels is above 0 and at most 1")
    folds = sorted({example.fold for example in data.examples} - {""})
    made = _folded(data, folds) if folds else [_parted(data, seed)]
    _check_classes(data, made)
    if fraction < 1:
        draw = np.random.default_rng([seed, 1])
        made = [
            Round(_few(data, one.train, fraction, draw), _few(data, one.val, fraction, draw), one.test) for one in made
        ]
    return made


def _check_classes(data: Examples, made: Iterable[Round]) -> None:
    """Raise ValueError where no round can be right for more than one class, or at all."""
    fitted, judged = set[int](), set[int]()
    for one in made:
        learnt = set(data.labels[one.both].tolist())
        fitted, judged = fitted | learnt, judged | set(data.labels[one.test].tolist())
        if len(learnt) > 1 and learnt & set(data.labels[one.test].tolist()):
            return
    told = [_listed([data.classes[number] for number in sorted(held)]) for held in (fitted, judged)]
    raise ValueError(
        f"{data.name}: examples to fit on are of {told[0]}, those to be judged by of {told[1]}; a probe is fitted on "
        "two classes or more, and judged by them"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:FEW]) + (", ..." if len(names) > FEW else "")


def scarce(data: Examples) -> list[str]:
    """A line for each part, fitted on or judged, that has fewer than FEW examples of some class."""
    one, told = rounds(data)[0], []
    for what, places in (("to fit on", one.both), ("to be judged by", one.test)):
        counts = np.bincount(data.labels[places], minlength=len(data.classes))
        few = np.flatnonzero(counts < FEW).tolist()
        if few:
            least = min(few, key=lambda number: int(counts[number]))
            held = f"{len(few)} of {len(data.classes)} classes have fewer than {FEW} examples {what}"
            told.append(f"{data.name}: {held}; {data.classes[least]} has {counts[least]}")
    return told


def _folded(data: Examples, folds: list[str]) -> list[Round]:
    if len(folds) < 3:
        raise ValueError(f"{data.name}: {len(folds)} folds; one judges, one chooses, the rest is fitted on")
    of = np.array([example.fold for example in data.examples])
    made = []
    for place, name in enumerate(folds):
        chooses = folds[(place + 1) % len(folds)]
        rest = np.flatnonzero((of != name) & (of != chooses))
        made.append(Round(rest, np.flatnonzero(of == chooses), np.flatnonzero(of == name)))
    return made


def _parted(data: Examples, seed: int) -> Round:
    of = np.array([example.part for example in data.examples])
    train, val, test = (np.flatnonzero(of == part) for part in ("train", "val", "test"))
    for part, places in (("train", train), ("test", test)):
        if not len(places):
            told = f"put files into {part}/CLASS/, or label recordings of the {part} split"
            raise ValueError(f"{data.name}: no labeled {part} part; {told}")
    if not len(val):
        train, val = _held_back(data, train, seed)
    return Round(train, val, test)


def _held_back(data: Examples, train: Places, seed: int) -> tuple[Places, Places]:
    """A fifth of each class, or of the groups where there are any, drawn by the seed."""
    draw = np.random.default_rng([seed, 0])
    groups = np.array([data.examples[place].group for place in train])
    if len(set(groups)) > 1:
        names = draw.permutation(sorted(set(groups)))
        chosen = np.isin(groups, names[: max(1, round(HELD_BACK * len(names)))])
        return train[~chosen], train[chosen]
    back = [
        draw.permutation(held)[: max(1, round(HELD_BACK * len(held)))]
        for held in _by_class(data, train)
        if len(held) > 1
    ]
    if not back:
        raise ValueError(f"{data.name}: one training example of each class; there is none left to choose settings by")
    val = np.sort(np.concatenate(back))
    return np.setdiff1d(train, val), val


def _few(data: Examples, places: Places, fraction: float, draw: np.random.Generator) -> Places:
    kept = [draw.permutation(held)[: max(1, round(fraction * len(held)))] for held in _by_class(data, places)]
    return np.sort(np.concatenate(kept))


def _by_class(data: Examples, places: Places) -> Iterable[Places]:
    labels = data.labels[places]
    return [places[labels == number] for number in np.unique(labels)]
