"""Which part each labeled file is in: what somebody told, else drawn; and files of equal content on both sides."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from avssl.probe.examples import Example, Examples, content_of

JUDGED = 0.1
"""share of each class that judges, and share that chooses, where nobody says which"""


def drawn(name: str, examples: Sequence[Example], passed: Sequence[str] = ()) -> Examples:
    """A label set in which those without a part get one: a tenth of each class judges and a tenth chooses, at least one
    each where there are three.

    Of these, files of equal content count once: they would stand on both sides of the cut. Whose part is told stay as
    they are.
    """
    made: list[Example] = []
    left_out = list(passed)
    first: dict[str, str] = {}
    for example in examples:
        if example.part:
            made.append(example)
            continue
        content = example.sha256 or content_of(example.path)
        if content in first:
            left_out.append(f"{example.path}: the same content as {first[content]}")
            continue
        first[content] = example.name
        made.append(replace(example, sha256=content))
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
    return Examples(name, tuple(made), tuple(left_out))
