"""Which part each labeled file is in: what somebody told, else drawn; and files of equal content on both sides."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from avssl.probe.examples import Example, Examples, content_of
from avssl.words import counted

JUDGED = 0.1
"""share of each class that judges, and share that chooses, where nobody says which"""
FIRST = ("test", "val", "train", "")
"""of files of equal content, the one in the first of these parts stays: a published test part stays whole"""


def parted(
    name: str, examples: Sequence[Example], left_out: Sequence[str] = (), warnings: Sequence[str] = ()
) -> Examples:
    """A label set in which those without a part get one: a tenth of each class judges and a tenth chooses, at least one
    each where there are three.

    Files of equal content would stand on both sides of a cut: of those in several parts, one part's stay (FIRST), and
    of those without a part one. Copies across folds stay, for folds are published, and are warned of, as are files
    of equal content and several labels.
    """
    known = _hashed(examples)
    copies = _copies(known)
    warnings = (*warnings, *_left_out(name, known, copies), *_clashes(name, known))
    told = [f"{known[place].path}: the same content as {known[of].name}" for place, of in copies.items()]
    made = [example for place, example in enumerate(known) if place not in copies]
    return Examples(name, tuple(_drawn(made)), (*left_out, *told), warnings)


def _hashed(examples: Sequence[Example]) -> list[Example]:
    """With the contents of those that could be copies of others: of one size, and not all of one part and class."""
    made, sizes = list(examples), defaultdict[int, list[int]](list)
    for place, example in enumerate(made):
        if not example.sha256:
            sizes[example.path.stat().st_size].append(place)
    for held in sizes.values():
        kinds = {(made[place].part, made[place].fold, made[place].label) for place in held}
        if len(held) > 1 and (len(kinds) > 1 or not made[held[0]].part):
            for place in held:
                made[place] = replace(made[place], sha256=content_of(made[place].path))
    return made


def _copies(examples: Sequence[Example]) -> dict[int, int]:
    """Place of each file that is left out -> of the one that has its content, in order."""
    first: dict[str, int] = {}
    for place in sorted(range(len(examples)), key=lambda place: FIRST.index(examples[place].part)):
        if examples[place].sha256:
            first.setdefault(examples[place].sha256, place)
    found = {}
    for place, example in enumerate(examples):
        of = first.get(example.sha256, place)
        if of != place and (not example.part or examples[of].part != example.part):
            found[place] = of
    return found


def _left_out(name: str, examples: Sequence[Example], copies: dict[int, int]) -> Iterator[str]:
    """How many files were taken out of a part that somebody told, and for which."""
    pairs: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, of in copies.items():
        if examples[place].part:
            pairs[examples[place].part, examples[of].part].append(place)
    for (part, kept), places in pairs.items():
        example, same = examples[places[0]], examples[copies[places[0]]]
        yield (
            f"{name}: {counted(len(places), 'file')} of {part} with the same content as one of {kept}, left out of "
            f"{part}, so that {kept} stays whole: {example.name} is {same.name}{', ...' * (len(places) > 1)}"
        )


def _clashes(name: str, examples: Sequence[Example]) -> Iterator[str]:
    """How many contents have several labels, and how many are in several folds."""
    same: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        if example.sha256:
            same[example.sha256].append(example)
    for kind, told in (("label", "with several labels"), ("fold", "in several folds, so fitted on and judged")):
        found = [held for held in same.values() if len({getattr(one, kind) for one in held}) > 1]
        if found:
            first = found[0][0]
            other = next(one for one in found[0] if getattr(one, kind) != getattr(first, kind))
            yield (
                f"{name}: {counted(len(found), 'file')} {told}: {first.name} ({kind} {getattr(first, kind)}) has the "
                f"content of {other.name} ({kind} {getattr(other, kind)}){', ...' * (len(found) > 1)}"
            )


def _drawn(examples: Sequence[Example]) -> list[Example]:
    """Those without a part get one."""
    made = list(examples)
    classes: dict[str, list[int]] = defaultdict(list)
    for place, example in enumerate(made):
        if not example.part:
            classes[example.label].append(place)
    for held in classes.values():
        held.sort(key=lambda place: hashlib.sha256(made[place].name.encode()).hexdigest())
        count = max(1, round(JUDGED * len(held))) if len(held) > 1 else 0
        choose = count if len(held) > 2 else 0
        for order, place in enumerate(held):
            part = "test" if order < count else "val" if order < count + choose else "train"
            made[place] = replace(made[place], part=part)
    return made
