"""Query vectors to hits: which seconds of which recording."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.calibration import Background, background
from retrieval.candidates import Lane, Where, lanes_of, ranked, rescored
from retrieval.hits import Found, Hits
from retrieval.index import Index, check_covers
from retrieval.moments import Hit, distinct, peaks
from retrieval.query import Query
from retrieval.rows import Row
from retrieval.segment import Vectors, check_vectors
from retrieval.space import Space
from retrieval.store import Store

__all__ = ["Hit", "Hits", "beside", "format_time", "like", "search"]

FIRST_WINDOWS = 3  # windows looked at for each moment wanted, when windows are merged or left out
MOMENT_WINDOWS = 10  # then, where these may change what those made
MOST_WINDOWS = 300  # and at last, when those made too few moments
LEAST_MOMENTS = 10  # that are looked for, for how far one goes depends on how many windows were looked at


def search(
    store: Store,
    index: Index,
    vectors: Any,
    *,
    k: int = 10,
    modality: str | Sequence[str] | None = None,
    where: Where = None,
    exclude_recording: str | Sequence[str | None] | None = None,
    exclude_ids: Sequence[int] = (),
    merge_seconds: float = 0.0,
    distinct_cosine: float | None = None,
    calibrated: bool = False,
    each_modality: bool = False,
    space: Space | None = None,
) -> list[Hits]:
    """The k best moments for each query, best first; equal scores in the order of ids.

    What comes back for a query reads like a list of `Hit`; each is made when it is first looked at, and arrays of all
    of them (`Hits.ids`, `starts`, ...) need none.

    vectors: [Q, width], or a `Query` for each. modality: find only vectors of this one, or of these. where: an SQL
    condition on the rows, or (condition, parameters), applied before the search. exclude_recording: a recording not to
    be found, one for all queries or one (or None) for each. exclude_ids: rows not to be found. merge_seconds: where
    above 0, windows of one recording and modality that overlap or are no farther apart become one moment around their
    peak (see `retrieval.moments`); at most the best 300 windows for each moment are looked at, and as if ten were
    wanted where fewer are. distinct_cosine: leave out a hit whose vector has at least this cosine with that of a better
    hit of its modality, and copies under another name; 1 leaves out copies alone. calibrated: order hits of different
    modalities by standard scores (see `retrieval.calibration`). each_modality: fill `Hit.scores` for all modalities.
    space: of the queries, to be checked.
    Fewer than k hits come back when fewer exist. Raises ValueError, one line, for what cannot be searched.
    """
    _check_options(k, merge_seconds, distinct_cosine)
    store = store.snapshot()
    if space is not None:
        store.space.check(space)
    check_covers(store, index)
    asked = _Asked(store, index, vectors)
    thinned = merge_seconds > 0 or distinct_cosine is not None
    wanted = max(int(k), LEAST_MOMENTS) if thinned else int(k)
    results: dict[int, Hits] = {}
    for excluded, members in _by_exclusion(exclude_recording, asked.count).items():
        lanes = lanes_of(store, modality, where, excluded, exclude_ids, calibrated)
        reachable = sum(lane.reachable for lane in lanes)
        pending, windows = members, wanted * (FIRST_WINDOWS if thinned else 1)
        while pending:
            found = _windows(store, index, asked, pending, lanes, windows, calibrated)
            short = []
            most, final = max(wanted, windows // MOMENT_WINDOWS), windows >= MOMENT_WINDOWS * wanted
            unrelated = asked.unrelated(pending) if merge_seconds else itertools.repeat({})
            for member, hits, means in zip(pending, found, unrelated, strict=False):
                settled = True
                if merge_seconds:
                    hits, settled = _merged(hits, merge_seconds, means, most)
                if distinct_cosine is not None:
                    hits = _distinct(store, hits, distinct_cosine, wanted)
                results[member] = hits.first(k)
                enough = (settled or final) and len(hits) >= wanted
                if thinned and not enough and windows < min(reachable, MOST_WINDOWS * wanted):
                    short.append(member)
            pending, windows = short, max(windows * 3, MOMENT_WINDOWS * wanted)
    if each_modality:
        results = {member: _with_scores(store, index, asked, member, hits) for member, hits in results.items()}
    return [results[member] for member in range(asked.count)]


def like(
    store: Store,
    index: Index,
    identity: int,
    *,
    k: int = 10,
    modality: str | Sequence[str] | None = None,
    where: Where = None,
    exclude_own_recording: bool = False,
    merge_seconds: float = 0.0,
    distinct_cosine: float | None = None,
    each_modality: bool = False,
) -> Hits:
    """More like this: the k moments nearest to the vector of a row of the store, that row itself left out.

    modality: what to find; the row's own modality by default. exclude_own_recording: leave out all of its recording.
    The other arguments are those of `search`. Raises ValueError for an unknown id.
    """
    store = store.snapshot()
    row = store.rows([identity])[0]
    return search(
        store,
        index,
        store.vectors([identity]),
        k=k,
        modality=row.modality if modality is None else modality,
        where=where,
        exclude_recording=row.recording if exclude_own_recording else None,
        exclude_ids=[identity],
        merge_seconds=merge_seconds,
        distinct_cosine=distinct_cosine,
        each_modality=each_modality,
    )[0]


def format_time(seconds: float) -> str:
    """Seconds as hours, minutes, seconds and tenths: 83.4 -> "00:01:23.4"."""
    tenths = round(abs(seconds) * 10)
    sign = "-" if seconds < 0 and tenths else ""
    return f"{sign}{tenths // 36000:02d}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def _check_options(k: int, merge_seconds: float, distinct_cosine: float | None) -> None:
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"k must be a whole number of at least 1, got {k!r}")
    if not 0 <= merge_seconds < np.inf:
        raise ValueError(f"merge_seconds must be a number of at least 0, got {merge_seconds!r}")
    if distinct_cosine is not None and not 0 < distinct_cosine <= 1:
        raise ValueError(f"distinct_cosine must be above 0 and at most 1, got {distinct_cosine!r}")


class _Asked:
    """The queries of one search, as vectors for each modality."""

    def __init__(self, store: Store, index: Index, given: Any) -> None:
        self._store, self._index, self._width = store, index, store.space.width
        self._queries: list[Query] | None = None
        if isinstance(given, Sequence) and len(given) and all(isinstance(query, Query) for query in given):
            self._queries = list(given)
            self.count = len(given)
        else:
            self._array = check_vectors(given, self._width, "query")
            self.count = len(self._array)

    @property
    def background(self) -> Background:
        return background(self._store, self._index)

    def vectors(self, members: Sequence[int], target: str) -> Vectors:
        """[members, width], to search modality `target` with ("": all)."""
        if self._queries is None:
            return self._array[list(members)]
        queries = [self._queries[member] for member in members]
        backgrounds = [self.background if query.needs_background else None for query in queries]
        return np.stack([q.vector(self._width, known, target) for q, known in zip(queries, backgrounds, strict=True)])

    def source(self, members: Sequence[int]) -> str:
        """What all of these were made of; "" where they differ or nobody says."""
        names = set() if self._queries is None else {self._queries[member].modality for member in members}
        return names.pop() if len(names) == 1 else ""

    def standard(self, member: int, target: str, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores of one query with modality `target` as standard scores."""
        source = "" if self._queries is None else self._queries[member].modality
        mean, spread = self.background.scale(self.vectors([member], target), source, target)
        return (scores - mean) / spread

    def unrelated(self, members: Sequence[int]) -> list[dict[str, float]]:
        """Modality -> mean score with unrelated windows, of each of these queries."""
        names = self._store.space.modalities
        columns = [self.background.means(self.vectors(members, name), name).tolist() for name in names]
        return [dict(zip(names, means, strict=True)) for means in zip(*columns, strict=True)]


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


def _windows(
    store: Store,
    index: Index,
    asked: _Asked,
    members: Sequence[int],
    lanes: Sequence[Lane],
    count: int,
    calibrated: bool,
) -> list[Hits]:
    """The `count` best windows of each of these queries, over all lanes."""
    source = asked.source(members)
    found = [ranked(index, asked.vectors(members, lane.target), count, lane, source) for lane in lanes]
    ids, scores = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
    order = None
    if calibrated:
        standard = [
            np.stack([asked.standard(member, lane.target, row) for member, row in zip(members, part, strict=True)])
            for lane, (_, part) in zip(lanes, found, strict=True)
        ]
        order = np.concatenate(standard, axis=1)
        best = np.lexsort((ids, -order), axis=1)[:, :count]
        ids, scores, order = (np.take_along_axis(values, best, 1) for values in (ids, scores, order))
    real = ids >= 0
    ends = real.sum(axis=1).cumsum().tolist()
    windows = Found(store, ids[real], scores[real], None if order is None else order[real])
    return [Hits(windows, first, last) for first, last in itertools.pairwise([0, *ends])]


def _merged(hits: Hits, seconds: float, unrelated: Mapping[str, float], most: int) -> tuple[Hits, bool]:
    times = zip(hits.starts.tolist(), hits.ends.tolist(), hits.scores.tolist(), strict=True)
    spans = ((name.recording, name.modality, *time) for name, time in zip(hits.names, times, strict=True))
    found, settled = peaks(spans, seconds, unrelated, most)
    return hits.chosen(*(list(told) for told in zip(*found, strict=True))) if found else hits, settled


def _distinct(store: Store, hits: Hits, cosine: float, most: int) -> Hits:
    kept = distinct(hits.names, hits.peaks.tolist(), store.vectors(hits.ids), cosine, most)
    return hits.chosen(kept, hits.starts[kept].tolist(), hits.ends[kept].tolist())


def beside(store: Store, hit: Hit) -> list[Row]:
    """The rows, of all modalities, at the time of a hit's best window, that window among them."""
    window = store.rows([hit.id])[0]
    return store.rows(store.ids_at(window.recording, window.start, window.end))


def _with_scores(store: Store, index: Index, asked: _Asked, member: int, hits: Hits) -> Hits:
    """The hits with the best score of every modality that has a vector at the time of their best window."""
    told = []
    for hit in hits:
        best: dict[str, float] = {}
        near = beside(store, hit)
        for name in {row.modality for row in near}:
            ids = np.array([row.id for row in near if row.modality == name], np.int64)
            best[name] = float(rescored(index, asked.vectors([member], name), ids[None])[0].max())
        told.append(replace(hit, scores={**best, hit.modality: hit.score}))
    return Hits.of(hits, told)
