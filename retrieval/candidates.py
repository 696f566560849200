"""Which rows may be found, and exactly the best of them for each query, ties included."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.index import Index
from retrieval.reading import as_ids
from retrieval.rows import Parameter
from retrieval.segment import Ids, Vectors, contains
from retrieval.store import Store

# Matrix products in single precision differ in their last digits with the number and order of vectors. Candidates
# this near (times both norms) to the last place are therefore fetched too, and scored again in double precision.
NEAR = 1e-6
AT_ONCE = 1 << 17  # components scored together: what a processor's cache holds

Where = str | tuple[str, Sequence[Parameter]] | None
Floats = NDArray[np.float64]


class Lane(NamedTuple):
    """What is ranked together: one modality, or with "" all that may be found."""

    target: str
    only: Ids | None  # ids that may be found; None for all but `without`
    without: Ids | None
    reachable: int


def lanes_of(
    store: Store,
    modality: str | Sequence[str] | None,
    where: Where,
    excluded: str | None,
    exclude_ids: Sequence[int],
    apart: bool,
) -> list[Lane]:
    """One lane for all that may be found, or, `apart`, one for each modality. The arguments are those of `search`."""
    known = store.space.modalities
    wanted = known if modality is None else (modality,) if isinstance(modality, str) else tuple(modality)
    for name in wanted:
        if name not in known:
            raise ValueError(f"modality {name!r} is not one of the store's: {', '.join(known)}")
    together = [(name,) for name in wanted] if apart else [wanted]
    return [_lane(store, names, known, where, excluded, exclude_ids) for names in together]


def _lane(
    store: Store,
    names: Sequence[str],
    known: Sequence[str],
    where: Where,
    excluded: str | None,
    exclude_ids: Sequence[int],
) -> Lane:
    conditions: list[str] = []
    parameters: list[Parameter] = []
    target = names[0] if len(names) == 1 else ""
    gone = np.unique(as_ids(exclude_ids))
    if where is None and excluded is None and (target or set(names) == set(known)):
        # Without a filter, which would cost the index more.
        held = store.ids("modality = ?", [target]) if target else store.ids()
        without = np.union1d(store.removed, gone) if len(gone) else store.removed
        return Lane(target, None, without, len(held) - int(contains(held, gone).sum()))
    if set(names) != set(known):
        conditions.append(f"modality IN ({', '.join('?' * len(names))})")
        parameters += names
    if excluded is not None:
        conditions.append("recording <> ?")
        parameters.append(excluded)
    only = store.ids(" AND ".join(conditions), parameters) if conditions else None
    if where is not None:
        # On its own, so that what is wrong with it is told of it alone.
        met = store.ids(*((where, ()) if isinstance(where, str) else where))
        only = met if only is None else only[contains(met, only)]
    assert only is not None
    if len(gone):
        only = only[~contains(gone, only)]
    return Lane(target, only, None, len(only))  # the store's own array where it can be: an index knows it again


def ranked(index: Index, queries: Vectors, k: int, lane: Lane, source: str = "") -> tuple[Ids, Floats]:
    """The k best of each query as ids and scores, [Q, at most k], filled up with -1 and -inf; ties in the order of ids,
    also those that run through the k-th place. source: the modality of all queries, "" where it is not known."""
    width = min(k, lane.reachable)
    best, scored = np.full((len(queries), width), -1, np.int64), np.full((len(queries), width), -np.inf)
    pending = np.arange(len(queries) if lane.reachable else 0)
    fetch = k + index.spare
    while len(pending):
        fetch = min(fetch, lane.reachable)
        limits = {"only": lane.only, "without": lane.without}
        _, ids = index.nearest(queries[pending], fetch, **limits, modality=lane.target or None, source=source)
        scores, tolerance = rescored(index, queries[pending], ids)
        # Behind all others, as -inf is, so that what was not found stands last.
        order = np.lexsort((ids, -scores), axis=1)
        ids, scores = np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
        best[pending], scored[pending] = ids[:, :width], scores[:, :width]
        if fetch == lane.reachable:
            break
        # An approximate index may hold nothing more for a query although more could be reached.
        tied = (ids[:, -1] >= 0) & (scores[:, -1] >= scores[:, k - 1] - tolerance)
        pending = pending[tied]
        fetch *= 2
    return best, scored


def rescored(index: Index, queries: Vectors, ids: Ids) -> tuple[Floats, Floats]:
    """Inner products [Q, n] of each query with its own candidates, ids [Q, n], that depend on nothing but the two
    vectors (-inf for id -1), and how far FAISS's may be from them, [Q]."""
    scores, squares = np.full(ids.shape, -np.inf), np.zeros(ids.shape)
    wide = queries.astype(np.float64)
    step = max(1, AT_ONCE // max(1, ids.shape[1] * index.width))
    for first in range(0, len(ids), step):
        some = slice(first, first + step)
        found = ids[some] >= 0
        vectors = index.vectors(ids[some][found]).astype(np.float64)
        squares[some][found] = np.einsum("nd,nd->n", vectors, vectors)
        if found.all():
            products = vectors.reshape(*found.shape, index.width)
            products *= wide[some, None]
        else:
            vectors *= wide[some][np.nonzero(found)[0]]
        scores[some][found] = vectors.sum(axis=1)
    largest = np.sqrt(squares.max(axis=1, initial=0.0))
    return scores, NEAR * largest * np.linalg.norm(wide, axis=1)
