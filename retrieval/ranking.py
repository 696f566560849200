"""Who stands where in a ranking: checked scores, exclusions, and the candidates tied with one another.

Letters: Q queries, G gallery items (candidates), q the queries of a chunk.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ties = Literal["expected", "optimistic", "pessimistic"]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

CHUNK = 1 << 21  # candidates' scores looked at together: 16 MB of float64


class Places(NamedTuple):
    """Where each query's best positive stands; all [Q]."""

    above: Integers  # candidates that score strictly higher
    tied: Integers  # candidates with the same score, the positives among them included
    positives: Integers  # positives among the tied
    candidates: Integers  # gallery items that are not excluded
    found: Booleans  # False for a miss: nothing positive among the candidates, or the query's modality missing

    def rank(self, ties: Ties = "expected") -> Floats:
        """Rank of the best positive, from 1, [Q]; a miss ranks behind all its candidates."""
        if ties == "expected":
            rank: Floats = self.above + (self.tied + 1) / (self.positives + 1)
        elif ties == "optimistic":
            rank = (self.above + 1).astype(np.float64)
        elif ties == "pessimistic":
            rank = (self.above + self.tied - self.positives + 1).astype(np.float64)
        else:
            raise ValueError(f"ties must be expected, optimistic or pessimistic, got {ties!r}")
        return np.where(self.found, rank, self.candidates + 1.0)

    def hit(self, k: int, ties: Ties = "expected") -> Floats:
        """Probability that a positive is among the first k, [Q]; 0 for a miss."""
        check_k(k)
        if ties != "expected":
            return (self.found & (self.rank(ties) <= k)).astype(np.float64)
        slots = np.clip(k - self.above, 0, self.tied)
        others = self.tied - self.positives
        nothing = np.ones(len(slots))  # probability that the slots drawn so far hold no positive
        for drawn in range(int(slots.max(initial=0))):
            chance_of_other = np.maximum(others - drawn, 0) / np.maximum(self.tied - drawn, 1)
            nothing = np.where(drawn < slots, nothing * chance_of_other, nothing)
        # With one positive the product telescopes to this, which does not round.
        hit = np.where(self.positives == 1, slots / np.maximum(self.tied, 1), 1.0 - nothing)
        return np.where(self.found, hit, 0.0)

    def reciprocal(self, ties: Ties = "expected") -> Floats:
        """1 / rank, [Q], and its expectation (not 1 / expected rank) over orders of the tied; 0 for a miss."""
        if ties != "expected":
            return np.where(self.found, 1.0 / self.rank(ties), 0.0)
        triples, inverse = np.unique(
            np.stack([self.above, self.tied, self.positives], axis=1), axis=0, return_inverse=True
        )
        values = np.array([_expected_reciprocal(*map(int, triple)) for triple in triples])
        return np.where(self.found, values[inverse.reshape(-1)], 0.0)

    def recall_at(self, k: int, ties: Ties = "expected") -> float:
        """Share of queries with a positive among the first k."""
        return float(self.hit(k, ties).mean())

    def median_rank(self, ties: Ties = "expected") -> float:
        """Median over queries of the rank, from 1."""
        return float(np.median(self.rank(ties)))

    def mean_rank(self, ties: Ties = "expected") -> float:
        """Mean over queries of the rank, from 1."""
        return float(self.rank(ties).mean())

    def mrr(self, ties: Ties = "expected") -> float:
        """Mean reciprocal rank; a miss counts 0."""
        return float(self.reciprocal(ties).mean())


def place(
    scores: ArrayLike, positive: ArrayLike, *, exclude: ArrayLike | None = None, missing: ArrayLike | None = None
) -> Places:
    """Find every query's best positive among its candidates.

    scores: [Q, G]. positive: index of the one positive [Q] (-1: none), or relevance [Q, G], where above 0 is positive.
    missing: boolean [Q]. Raises ValueError for NaN, shapes that do not fit, and a positive that is itself excluded.
    """
    table = Table(scores, exclude, missing)
    if np.ndim(positive) == 1:
        _check_own(positive, table)
    parts: list[tuple[NDArray[Any], ...]] = []
    for rows, block, keep in table.chunks():
        relevant = relevance_of(positive, table, rows) > 0
        relevant &= keep
        best = np.where(relevant, block, -np.inf).max(axis=1, keepdims=True)
        higher = ((block > best) & keep).sum(axis=1)
        equal = (block == best) & keep
        found = relevant.any(axis=1) & ~table.missing[rows]
        parts.append((higher, equal.sum(axis=1), (equal & relevant).sum(axis=1), keep.sum(axis=1), found))
    return Places(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class Table:
    """Checked scores with their exclusions, given out in chunks of queries."""

    def __init__(self, scores: ArrayLike, exclude: ArrayLike | None, missing: ArrayLike | None) -> None:
        self.scores = np.asarray(scores)
        if self.scores.ndim != 2 or 0 in self.scores.shape:
            raise ValueError(f"scores must be [queries, candidates] and not empty, got shape {self.scores.shape}")
        self.queries, self.gallery = self.scores.shape
        self.missing = np.zeros(self.queries, np.bool_) if missing is None else np.asarray(missing, np.bool_)
        if self.missing.shape != (self.queries,):
            raise ValueError(f"missing must have one value for each of {self.queries} queries")
        self.exclude = None if exclude is None else np.asarray(exclude)
        if self.exclude is not None and self.exclude.ndim == 1:
            _check_indices(self.exclude, "exclude", self.scores.shape)
        elif self.exclude is not None and (self.exclude.shape != self.scores.shape or self.exclude.dtype != np.bool_):
            raise ValueError(f"exclude must be boolean {self.scores.shape} or the index of each query's own item")

    def keep(self, rows: slice) -> Booleans:
        """True for the candidates of these queries, [q, G]."""
        if self.exclude is None:
            return np.ones((len(range(*rows.indices(self.queries))), self.gallery), np.bool_)
        if self.exclude.ndim == 2:
            return ~self.exclude[rows]
        others: Booleans = np.arange(self.gallery) != self.exclude[rows, None]
        return others

    def chunks(self) -> Iterator[tuple[slice, Floats, Booleans]]:
        """Queries, their scores [q, G] and which candidates count [q, G]."""
        step = max(1, CHUNK // self.gallery)
        for first in range(0, self.queries, step):
            rows = slice(first, first + step)
            block = self.scores[rows].astype(np.float64)
            bad = np.isnan(block).any(axis=1)
            if bad.any():
                raise ValueError(f"scores hold NaN in query {first + int(bad.argmax())}")
            yield rows, block, self.keep(rows)


class Edge(NamedTuple):
    """The tied candidates that the k-th place runs through."""

    score: Floats  # [q, 1]
    mask: Booleans  # [q, G]
    share: Floats  # [q, 1], probability that one of them is among the first k


def top_of(block: Floats, keep: Booleans, k: int) -> tuple[NDArray[np.intp], Floats, Edge]:
    """Indices and scores of the first k, best first, both [q, k], and the edge.

    Places that no candidate fills come last, with score -inf.
    """
    key = np.where(keep, -block, np.inf)
    top = np.argpartition(key, k - 1, axis=1)[:, :k]
    top = np.take_along_axis(top, np.argsort(np.take_along_axis(key, top, axis=1), axis=1), axis=1)
    ordered: Floats = -np.take_along_axis(key, top, axis=1)
    score = ordered[:, -1:]
    mask = (block == score) & keep
    places = np.minimum(k, keep.sum(axis=1, keepdims=True)) - ((block > score) & keep).sum(axis=1, keepdims=True)
    return top, ordered, Edge(score, mask, places / np.maximum(mask.sum(axis=1, keepdims=True), 1))


def tied_runs(ordered: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First index and index after the last of the run of equal values that each value belongs to, both [q, n]."""
    n = ordered.shape[1]
    change = ordered[:, 1:] != ordered[:, :-1]
    index = np.arange(n)
    start = np.maximum.accumulate(np.where(np.pad(change, ((0, 0), (1, 0)), constant_values=True), index, 0), axis=1)
    last = np.where(np.pad(change, ((0, 0), (0, 1)), constant_values=True), index + 1, n)
    return start, np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]


def _expected_reciprocal(above: int, tied: int, positives: int) -> float:
    """E[1 / rank] of the first of `positives` in a random order of `tied`, behind `above` others."""
    if positives == 0:
        return 0.0
    drawn = np.arange(tied - positives + 1)
    hazard = positives / (tied - drawn)
    survived = np.concatenate([[1.0], np.cumprod(1.0 - hazard)[:-1]])
    return float((survived * hazard / (above + 1 + drawn)).sum())


def relevance_of(positive: ArrayLike, table: Table, rows: slice) -> Floats:
    """Grades of these queries' candidates, [q, G], from grades [Q, G] or from the index of the one positive [Q]."""
    given = np.asarray(positive)
    if given.ndim == 1:
        own: Floats = (np.arange(table.gallery) == given[rows, None]).astype(np.float64)
        return own
    if given.shape != table.scores.shape:
        raise ValueError(f"relevance has shape {given.shape}, scores have {table.scores.shape}")
    grades: Floats = given[rows].astype(np.float64)
    if not np.isfinite(grades).all() or (grades < 0).any():
        raise ValueError("relevance must be finite and not negative")
    return grades


def _check_own(positive: ArrayLike, table: Table) -> None:
    own = np.asarray(positive)
    _check_indices(own, "positive", table.scores.shape)
    if table.exclude is None:
        return
    index = np.arange(table.queries)
    hidden = table.exclude == own if table.exclude.ndim == 1 else table.exclude[index, own]
    hidden = hidden & (own >= 0)
    if hidden.any():
        raise ValueError(f"query {int(hidden.argmax())}: its positive is excluded from its candidates")


def _check_indices(index: NDArray[Any], name: str, shape: tuple[int, ...]) -> None:
    if index.shape != shape[:1] or index.dtype.kind not in "iu":
        raise ValueError(f"{name} must be one whole number for each of {shape[0]} queries, or shaped {shape}")
    if ((index < -1) | (index >= shape[1])).any():
        raise ValueError(f"{name} must be between -1 (none) and {shape[1] - 1}")


def check_k(k: int) -> None:
    """Raise ValueError unless k is a whole number of at least 1."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"k must be a whole number of at least 1, got {k!r}")
