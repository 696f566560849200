"""Who is ahead in the rows of results/audiovisual.jsonl: of the flagship, at the end and in equal time, and of itself
untrained.

Used by scripts/audiovisual_tables.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from seeds import difference, gained

FLAGSHIP = "trimodal"
NAMED = 3
"""methods above the flagship within the noise that a column names"""
NOISE = (
    "of seeds: the difference of the means is beyond its 95 % interval by Welch's t, which for three seeds of each is "
    "2.8 standard errors or more and for two 4.3 or more; each comparison by itself"
)
ASKED = (
    "by more than other held-out recordings would change it as well (interval of seeds, and of means over as many "
    "recordings as were asked, which are the same for all seeds)"
)
ITSELF = "by more than other held-out recordings and other seeds would change it, compared recording by recording"
Cells = Mapping[str, Mapping[str, Any]]
"""column -> trained, untrained and what stands beside"""
Pairs = Mapping[str, tuple[Sequence[Cells], Sequence[Cells]]]
"""label -> cells of its seeds, and of the flagship's"""


class Above(NamedTuple):
    """Column -> methods above the flagship beyond the noise of seeds, and within it; of what nothing can be said."""

    beyond: dict[str, list[str]]
    within: dict[str, list[str]]
    unsure: list[str]
    sure: dict[str, list[str]]
    """of those beyond the noise, who is beyond what other recordings would change too"""


def above(pairs: Pairs, columns: Sequence[str], lower: Collection[str]) -> Above:
    """Of each column, in order, the largest margin first; those in ``lower`` are better when they are small."""
    found = Above({}, {}, [], {})
    for name in columns:
        asked = next((int(one[name].get("n", 0)) for _, own in pairs.values() for one in own if name in one), 0)
        apart = {}
        for label, (theirs, own) in pairs.items():
            pair = [values(theirs, name), values(own, name)]
            apart[label] = difference(*(pair[::-1] if name in lower else pair), asked)
        known = {label: one for label, one in apart.items() if one is not None}
        if not known:
            found.unsure.append(name)
            continue
        order = sorted((label for label in known if known[label].margin > 0), key=lambda k: -known[k].margin)
        found.beyond[name] = [f"{label} ({known[label]})" for label in order if known[label].told]
        found.sure[name] = [label for label in order if known[label].sure]
        found.within[name] = [f"{label} ({known[label]})" for label in order if not known[label].told]
    return found


def at_end(found: Above, few: Sequence[str]) -> Iterator[str]:
    """Sentences: who is ahead of the flagship when all is learnt. ``few``: labels of one seed."""
    if found.beyond:
        yield f"Ahead of `{FLAGSHIP}` by more than the noise ({NOISE}): {_all(found)}."
        if any(found.beyond.values()):
            yield f"Of these, {ASKED}: {'; '.join(_listed(found.sure)) or 'none'}."
    yield from _within(found)
    if found.unsure:
        yield f"Nothing can be said of {', '.join(found.unsure)}: the noise needs two seeds of each."
    if few and found.beyond:
        yield f"Nothing can be said of {', '.join(few)}: one seed tells no noise."


def in_equal_time(found: Above) -> Iterator[str]:
    """Sentences: who is ahead of the flagship after as many seconds of training."""
    if not found.beyond:
        return
    yield (
        "In equal time (each beside the flagship after the seconds of the one that takes fewer, on the lines between "
        f"the quarters of its course) ahead of it by more than the noise of seeds: {_all(found)}."
    )
    if any(found.beyond.values()):
        yield f"Of these, by other recordings as well: {'; '.join(_listed(found.sure)) or 'none'}."
    yield from _within(found)


def _within(found: Above) -> Iterator[str]:
    if within := _listed({name: methods[:NAMED] for name, methods in found.within.items()}):
        yield f"Above it, but within the noise: {'; '.join(within)}."


def learnt(cells: Mapping[str, Sequence[Cells]], columns: Sequence[str]) -> Iterator[str]:
    """Sentences: whose encoders tell more than untrained, and whose less, of those with a ``gain`` and two seeds."""
    ahead, behind = {}, {}
    for name in columns:
        gains = {
            label: gained([one[name]["gain"] for one in seeds])
            for label, seeds in cells.items()
            if len(seeds) > 1 and all("gain" in one.get(name, ()) for one in seeds)
        }
        order = sorted(gains, key=lambda label: -gains[label][0])
        if gains:
            more = [label for label in order if gains[label][1] > 0]
            ahead[name] = f"{len(more)} of {len(gains)}{' (' * bool(more)}{', '.join(more)}{')' * bool(more)}"
            behind[name] = [label for label in reversed(order) if gains[label][2] < 0]
    if ahead:
        told = "; ".join(f"{name}: {who}" for name, who in ahead.items())
        yield f"Ahead of themselves untrained {ITSELF}: {told}."
    if any(behind.values()):
        yield f"Behind themselves untrained, as surely: {'; '.join(_listed(behind))}."


def values(seeds: Sequence[Cells], name: str) -> list[float]:
    """The trained figure of those that have it."""
    return [one[name]["trained"] for one in seeds if name in one]


def _all(found: Above) -> str:
    """Of every column who is beyond the noise, those with nobody last."""
    none = [name for name, methods in found.beyond.items() if not methods]
    return "; ".join(_listed(found.beyond) + ([f"{', '.join(none)}: none"] if none else []))


def _listed(found: Mapping[str, Sequence[str]]) -> list[str]:
    """The columns that have methods, each with them."""
    return [f"{name}: {', '.join(methods)}" for name, methods in found.items() if methods]
