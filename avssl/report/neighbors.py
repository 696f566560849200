"""What a run takes for alike: a few pictures with their nearest among the others, trained beside untrained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from avssl.report.montage import Shelf
from avssl.report.page import Markup, join, tag

QUERIES, NEIGHBORS = 5, 5
DIGITS = 9
"""decimals of a cosine: sums of equal vectors may differ in those that follow"""
Vectors = Mapping[int, NDArray[np.float32]]


def cosines(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of all vectors [N, D] with each other, [N, N]; 0 with a vector of zeros."""
    x = vectors.astype(np.float64)
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return np.asarray(np.round(unit @ unit.T, DIGITS))


def nearest(scores: NDArray[np.float64], query: int, count: int) -> list[int]:
    """The ``count`` others most like a query, the most alike first; scores [N, N].

    Equals stand in a drawn order. In that of their places, a network that takes everything for the same would look as
    if it knew the classes whose pictures lie next to each other.
    """
    drawn = np.random.default_rng(query).permutation(len(scores))
    order = np.lexsort((drawn, -scores[query]))
    return [int(place) for place in order if place != query][:count]


def shares(scores: NDArray[np.float64], labels: Sequence[str], count: int) -> tuple[float, float] | None:
    """Share of the ``count`` nearest others that have the query's label, and of all others: what chance finds.

    Means over all queries with a label. Where the last places belong to more that are tied than there is room for,
    each counts in part. None where no two have the same label.

    Args:
        scores: [N, N].
        labels: N of them, "" for none.
    """
    names = np.asarray(labels, dtype=object)
    others = ~np.eye(len(names), dtype=np.bool_)
    same = (names[:, None] == names) & others
    asked = names != ""
    if not same[asked].any():
        return None
    room = min(count, len(names) - 1)
    ranked = np.where(others, scores, -np.inf)
    edge = -np.sort(-ranked, axis=1)[:, room - 1 : room]  # [N, 1]
    sure, tied = ranked > edge, ranked == edge
    part = (room - sure.sum(1)) / tied.sum(1)
    found = ((same & sure).sum(1) + (same & tied).sum(1) * part) / room
    return float(found[asked].mean()), float(same[asked].sum(1).mean() / (len(names) - 1))


def spread(count: int, queries: int = QUERIES) -> list[int]:
    """Places of a few queries, from the first to the last."""
    return [int(place) for place in np.unique(np.linspace(0, count - 1, min(count, queries)).round())]


def table(shelf: Shelf, label: str, trained: Vectors, untrained: Vectors | None) -> Markup:
    """Rows of a query and its nearest by both networks, framed where the ``label`` is the same; shares of these.

    Args:
        shelf: the recordings.
        label: name of a label, "" for none.
        trained: recording -> vector [D].
        untrained: likewise, of the same recordings; None where that network cannot be had.
    """
    known = sorted(trained)
    if len(known) < 2:
        return Markup("")
    labels = [shelf.recordings[index].labels.get(label, "") if label else "" for index in known]
    both = {
        who: cosines(np.stack([vectors[index] for index in known]))
        for who, vectors in (("trained", trained), ("untrained", untrained))
        if vectors is not None
    }
    head = tag("div", *(tag("b", told) for told in ("query", *both)), klass="alike soft")
    rows = []
    for query in spread(len(known)):
        fives = []
        for who, scores in both.items():
            cards = []
            for place in nearest(scores, query, NEIGHBORS):
                alike = labels[query] and labels[place] == labels[query]
                cards.append(_card(shelf, known[place], f"{scores[query, place]:.3f}", "right" if alike else ""))
            fives.append(tag("div", *cards, klass="five", data_of=who))
        rows.append(tag("div", _card(shelf, known[query], "", "query"), *fives, klass="alike"))
    return join([_told(both, labels, label), head, *rows])


def _told(both: Mapping[str, NDArray[np.float64]], labels: Sequence[str], label: str) -> Markup:
    found = {who: shares(scores, labels, NEIGHBORS) for who, scores in both.items()}
    here, before = found["trained"], found.get("untrained")
    if here is None:
        return Markup("")
    told = (
        f"Of each one's {min(NEIGHBORS, len(labels) - 1)} nearest among {len(labels)}, {here[0]:.1%} have its {label};"
    )
    told += f" untrained {before[0]:.1%}," if before is not None else ""
    return tag("p", f"{told} chance {here[1]:.1%}. Framed: these.", klass="soft")


def _card(shelf: Shelf, index: int, note: str, kind: str) -> Markup:
    recording = shelf.recordings[index]
    caption = tag("figcaption", tag("b", note), " ", shelf.about(index) or recording.key)
    return tag("figure", shelf.still(index), caption, klass=kind or None, title=recording.key)
