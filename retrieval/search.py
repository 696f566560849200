"""Query vectors to hits: which seconds of which recording."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.index import Index, check_covers
from retrieval.rows import Parameter, Row
from retrieval.segment import Ids, Vectors, check_vectors
from retrieval.space import Space
from retrieval.store import Store

# Matrix products in single precision differ in their last digits with the number and order of vectors. Candidates
# this near (times both norms) to the last place are therefore fetched too, and scored again in double precision.
NEAR = 1e-6
MOMENT_WINDOWS = 10  # windows looked at for each moment wanted, when windows are merged


@dataclass(frozen=True)
class Hit:
    """A moment found: `start` to `end` seconds of a recording.

    score: inner product with the query. peak: start, in seconds, of the window that scored it, where a player should
    begin; equal to `start` unless windows were merged. id: of that window.
    """

    id: int
    recording: str
    path: str
    start: float
    end: float
    peak: float
    score: float
    modality: str
    narration: str
    extra: Mapping[str, Any]


def search(
    store: Store,
    index: Index,
    vectors: Any,
    *,
    k: int = 10,
    modality: str | None = None,
    where: str | tuple[str, Sequence[Parameter]] | None = None,
    exclude_recording: str | Sequence[str | None] | None = None,
    merge_seconds: float = 0.0,
    space: Space | None = None,
) -> list[list[Hit]]:
    """The k best moments for each query vector, best first; equal scores in the order of ids.

    vectors: [Q, width]. modality: find only vectors of this one. where: an SQL condition on the rows, or (condition,
    parameters), applied before the search. exclude_recording: a recording not to be found, one for all queries or one
    (or None) for each. merge_seconds: where above 0, windows of one recording and modality that overlap or are no
    farther apart become one moment; only the best 10 k windows are looked at. space: of the queries, to be checked.
    Fewer than k hits come back when fewer exist. Raises ValueError, one line, for what cannot be searched.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"k must be a whole number of at least 1, got {k!r}")
    if not 0 <= merge_seconds < np.inf:
        raise ValueError(f"merge_seconds must be a number of at least 0, got {merge_seconds!r}")
    store = store.snapshot()
    if space is not None:
        store.space.check(space)
    queries = check_vectors(vectors, store.space.width, "query")
    check_covers(store, index.covered)
    windows = int(k) * (MOMENT_WINDOWS if merge_seconds else 1)
    results: list[list[Hit]] = [[] for _ in queries]
    for excluded, members in _by_exclusion(exclude_recording, len(queries)).items():
        only = _allowed(store, modality, where, excluded)
        found = _ranked(store, index, queries[members], windows, only)
        rows = {row.id: row for row in store.rows(sorted({identity for ids, _ in found for identity in ids}))}
        for member, (ids, scores) in zip(members, found, strict=True):
            hits = [_hit(rows[identity], score) for identity, score in zip(ids, scores, strict=True)]
            results[member] = _merge(hits, int(k), merge_seconds) if merge_seconds else hits
    return results


def format_time(seconds: float) -> str:
    """Seconds as hours, minutes, seconds and tenths: 83.4 -> "00:01:23.4"."""
    tenths = round(abs(seconds) * 10)
    sign = "-" if seconds < 0 and tenths else ""
    return f"{sign}{tenths // 36000:02d}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def _by_exclusion(exclude: str | Sequence[str | None] | None, queries: int) -> dict[str | None, list[int]]:
    """Which queries share an excluded recording."""
    if exclude is None or isinstance(exclude, str):
        return {exclude: list(range(queries))} if queries else {}
    if len(exclude) != queries:
        raise ValueError(f"exclude_recording has {len(exclude)} entries for {queries} queries")
    groups: dict[str | None, list[int]] = {}
    for number, recording in enumerate(exclude):
        groups.setdefault(recording, []).append(number)
    return groups


def _allowed(
    store: Store, modality: str | None, where: str | tuple[str, Sequence[Parameter]] | None, excluded: str | None
) -> Ids | None:
    """Ids that may be found; None for all."""
    conditions: list[str] = []
    parameters: list[Parameter] = []
    if where is not None:
        condition, given = (where, ()) if isinstance(where, str) else where
        only = store.ids(condition, given)
        if modality is None and excluded is None:
            return only
    else:
        only = None
    if modality is not None:
        if modality not in store.space.modalities:
            raise ValueError(f"modality {modality!r} is not one of the store's: {', '.join(store.space.modalities)}")
        conditions.append("modality = ?")
        parameters.append(modality)
    if excluded is not None:
        conditions.append("recording <> ?")
        parameters.append(excluded)
    if not conditions:
        return None
    ids = store.ids(" AND ".join(conditions), parameters)
    return ids if only is None else np.intersect1d(ids, only)


def _ranked(
    store: Store, index: Index, queries: Vectors, k: int, only: Ids | None
) -> list[tuple[list[int], list[float]]]:
    """The k best (ids, scores) of each query; ties in the order of ids, also those that run through the k-th place."""
    reachable = len(store) if only is None else len(only)
    results: list[tuple[list[int], list[float]]] = [([], []) for _ in queries]
    pending = np.arange(len(queries) if reachable else 0)
    fetch = k + 1
    while len(pending):
        fetch = min(fetch, reachable)
        _, ids = index.nearest(queries[pending], fetch, only=only, without=store.removed if only is None else None)
        unsettled = []
        for number, candidates in zip(pending.tolist(), ids, strict=True):
            candidates = candidates[candidates >= 0]
            scores, tolerance = _rescore(index, queries[number], candidates)
            if len(scores) > k and fetch < reachable and scores.min() >= np.partition(scores, -k)[-k] - tolerance:
                unsettled.append(number)
                continue
            order = np.lexsort((candidates, -scores))[:k]
            results[number] = (candidates[order].tolist(), scores[order].tolist())
        pending = np.array(unsettled, np.int64)
        fetch *= 2
    return results


def _rescore(index: Index, query: Vectors, ids: Ids) -> tuple[NDArray[np.float64], float]:
    """Inner products [N] that depend on nothing but the two vectors, and how far FAISS's may be from them."""
    vectors = index.vectors(ids).astype(np.float64)
    wide = query.astype(np.float64)
    largest = float(np.linalg.norm(vectors, axis=1).max(initial=0.0))
    return (vectors * wide).sum(axis=1), NEAR * largest * float(np.linalg.norm(wide))


def _hit(row: Row, score: float) -> Hit:
    return Hit(
        id=row.id,
        recording=row.recording,
        path=row.path,
        start=row.start,
        end=row.end,
        peak=row.start,
        score=score,
        modality=row.modality,
        narration=row.narration,
        extra=row.extra,
    )


def _merge(hits: Sequence[Hit], k: int, merge_seconds: float) -> list[Hit]:
    """Windows, best first, to at most k moments, best first: a window joins the moments it touches or begins one."""
    moments: list[Hit] = []
    for hit in hits:
        touching = [
            moment
            for moment in moments
            if (moment.recording, moment.modality) == (hit.recording, hit.modality)
            and hit.start - moment.end <= merge_seconds
            and moment.start - hit.end <= merge_seconds
        ]
        if not touching:
            if len(moments) == k:
                break
            moments.append(hit)
            continue
        whole = [*touching, hit]
        start, end = min(part.start for part in whole), max(part.end for part in whole)
        best = moments.index(touching[0])
        moments[best] = replace(touching[0], start=start, end=end)
        moments = [moment for moment in moments if not any(moment is other for other in touching[1:])]
    return moments
