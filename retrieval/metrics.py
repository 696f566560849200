"""How good a ranking is: recall@k, median rank, MRR, mAP, nDCG@k, with ties, gaps and exclusions handled.

Letters: Q queries, G gallery items (candidates); `scores` [Q, G], higher is better. `place(scores, positive)` tells
where the positives stand; ask it for rank, recall_at, median_rank, mean_rank and mrr. Definitions:

* A query's rank is that of its best positive, counted from 1. With `above` candidates strictly better, `tied` equal
  ones (itself included), `positives` of these positive, the rank is above + 1 (optimistic), above + tied - positives
  + 1 (pessimistic) or, over all orders of the tied, above + (tied + 1) / (positives + 1) (expected, the default).
* Every figure that depends on the order of tied candidates is its exact expectation over those orders, so a constant
  matrix scores chance and not 100 %.
* NaN is an error. A query without a positive among its candidates, or marked `missing` (its modality is absent), is a
  miss that stays in the denominator. nDCG, mAP and the fraction of relevant items found are 0 / 0 for queries with
  nothing relevant, so they leave these out and count them; a `missing` query whose answer exists scores 0 there.
* `exclude` takes candidates away from a query: a boolean [Q, G], or an integer [Q] (its own index; -1 for none).

Everything is float64 and works through the queries in chunks, so that only `scores` itself need fit in memory.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrieval.ranking import Booleans, Floats, Table, Ties, check_k, relevance_of, tied_runs, top_of
from retrieval.ranking import Places as Places
from retrieval.ranking import place as place


def recall_at(
    scores: ArrayLike,
    positive: ArrayLike,
    k: int,
    ties: Ties = "expected",
    *,
    exclude: ArrayLike | None = None,
    missing: ArrayLike | None = None,
) -> float:
    """Share of queries with a positive among the first k (hit@k where a query has several positives).

    For several figures of one ranking, `place` it once and ask the result.
    """
    return place(scores, positive, exclude=exclude, missing=missing).recall_at(k, ties)


def recall_fraction_at(
    scores: ArrayLike,
    relevance: ArrayLike,
    k: int,
    *,
    exclude: ArrayLike | None = None,
    missing: ArrayLike | None = None,
) -> "Mean":
    """Mean over queries of the share of their relevant candidates (relevance [Q, G] above 0) among the first k."""
    check_k(k)
    table = Table(scores, exclude, missing)
    values: list[Floats] = []
    for rows, block, keep in table.chunks():
        relevant = (relevance_of(relevance, table, rows) > 0) & keep
        _, _, edge = top_of(block, keep, min(k, table.gallery))
        found = (relevant & (block > edge.score)).sum(axis=1) + (relevant & edge.mask).sum(axis=1) * edge.share[:, 0]
        wanted = relevant.sum(axis=1)
        shares = np.where(table.missing[rows], 0.0, found / np.maximum(wanted, 1))
        values.append(shares[wanted > 0])
    return _mean(values, table.queries)


class Mean(NamedTuple):
    """A mean over the queries that have something relevant (NaN if none has)."""

    mean: float
    n: int  # queries counted
    left_out: int  # queries with nothing relevant among their candidates


def ndcg_at(
    scores: ArrayLike,
    relevance: ArrayLike,
    k: int,
    exclude: ArrayLike | None = None,
    *,
    missing: ArrayLike | None = None,
    gain: Literal["exponential", "linear"] = "exponential",
) -> Mean:
    """Normalized discounted cumulative gain of the first k: [Q, G] scores and grades >= 0.

    DCG = sum over ranks r <= k of gain(grade_r) / log2(r + 1), gain 2^grade - 1 or the grade itself; divided by the
    DCG of the best order. A gain inside a tied block is the block's mean.
    """
    check_k(k)
    if gain not in ("exponential", "linear"):
        raise ValueError(f"gain must be exponential or linear, got {gain!r}")
    table = Table(scores, exclude, missing)
    k = min(k, table.gallery)
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    values: list[Floats] = []
    for rows, block, keep in table.chunks():
        grades = relevance_of(relevance, table, rows)
        gains = np.where(keep, np.exp2(grades) - 1.0 if gain == "exponential" else grades, 0.0)
        ideal = -np.partition(-gains, np.arange(k), axis=1)[:, :k] @ discounts
        top, ordered, edge = top_of(block, keep, k)
        last = edge.mask.sum(axis=1)
        edge_mean = (gains * edge.mask).sum(axis=1) / np.maximum(last, 1)
        top_gains = np.take_along_axis(gains, top, axis=1)
        top_gains = np.where(ordered == edge.score, edge_mean[:, None], top_gains)
        start, end = tied_runs(ordered)
        total = np.pad(np.cumsum(top_gains, axis=1), ((0, 0), (1, 0)))
        run_sums = np.take_along_axis(total, end, axis=1) - np.take_along_axis(total, start, axis=1)
        real = np.arange(k) < keep.sum(axis=1, keepdims=True)
        reached = (run_sums / (end - start) * real) @ discounts
        reached[table.missing[rows]] = 0.0
        values.append(reached[ideal > 0] / ideal[ideal > 0])
    return _mean(values, table.queries)


def mean_average_precision(
    scores: ArrayLike, relevance: ArrayLike, *, exclude: ArrayLike | None = None, missing: ArrayLike | None = None
) -> Mean:
    """Mean over queries of the average precision at their relevant candidates (relevance [Q, G] above 0).

    Ties by the closed form of F. McSherry and M. Najork, "Computing information retrieval performance measures
    efficiently in the presence of tied scores", ECIR 2008.
    """
    table = Table(scores, exclude, missing)
    position = np.arange(1, table.gallery + 1)
    values: list[Floats] = []
    for rows, block, keep in table.chunks():
        # Excluded candidates become NaN: sorting puts them last, and NaN is tied with nothing.
        key = np.where(keep, -block, np.nan)
        order = np.argsort(key, axis=1)
        start, end = tied_runs(np.take_along_axis(key, order, axis=1))
        relevant = np.take_along_axis((relevance_of(relevance, table, rows) > 0) & keep, order, axis=1)
        total = np.pad(np.cumsum(relevant, axis=1), ((0, 0), (1, 0)))
        before = np.take_along_axis(total, start, axis=1)
        inside: NDArray[np.int64] = np.take_along_axis(total, end, axis=1) - before
        size = end - start
        earlier = (position - start - 1) * (inside - 1) / np.maximum(size - 1, 1)
        precision = inside / size * (1 + before + earlier) / position
        wanted = total[:, -1]
        average = precision.sum(axis=1) / np.maximum(wanted, 1)
        average[table.missing[rows]] = 0.0
        values.append(average[wanted > 0])
    return _mean(values, table.queries)


def summarize(
    scores: ArrayLike,
    relevance: ArrayLike,
    *,
    exclude: ArrayLike | None = None,
    positive: ArrayLike | None = None,
    missing: ArrayLike | None = None,
) -> dict[str, float]:
    """The figures of one direction: r1, r5, r10, medr, ndcg10 and n, the number of queries.

    r1..medr ask for the query's own pair, `positive` [Q], where given, else for anything relevant; ndcg10 uses the
    grades `relevance` [Q, G].
    """
    places = place(scores, relevance if positive is None else positive, exclude=exclude, missing=missing)
    figures = {f"r{k}": places.recall_at(k) for k in (1, 5, 10)}
    figures["medr"] = places.median_rank()
    figures["ndcg10"] = ndcg_at(scores, relevance, 10, exclude, missing=missing).mean
    figures["n"] = len(places.found)
    return figures


def chance(
    relevance: ArrayLike,
    exclude: ArrayLike | None = None,
    positive: ArrayLike | None = None,
    missing: ArrayLike | None = None,
) -> dict[str, float]:
    """What `summarize` gives, in expectation, for a uniformly random order: not drawn, but computed."""
    everything_tied = np.broadcast_to(np.float64(0.0), np.shape(relevance))
    return summarize(everything_tied, relevance, exclude=exclude, positive=positive, missing=missing)


def same_recording(queries: Sequence[str], gallery: Sequence[str]) -> Booleans:
    """An `exclude` [Q, G] that is True where a candidate comes from the query's own recording."""
    same: Booleans = np.asarray(queries, dtype=object)[:, None] == np.asarray(gallery, dtype=object)[None, :]
    return same


def hubness(scores: ArrayLike, k: int, exclude: ArrayLike | None = None) -> float:
    """Skewness of the k-occurrence: how often each candidate is among a query's first k (0: all alike).

    Candidates tied at the edge of the first k share the remaining places.
    M. Radovanovic et al., "Hubs in space", JMLR 2010.
    """
    check_k(k)
    table = Table(scores, exclude, None)
    occurrences = np.zeros(table.gallery)
    for _, block, keep in table.chunks():
        _, _, edge = top_of(block, keep, min(k, table.gallery))
        occurrences += ((block > edge.score) & keep).sum(axis=0) + (edge.mask * edge.share).sum(axis=0)
    centred = occurrences - occurrences.mean()
    spread = float(np.sqrt((centred**2).mean()))
    return float((centred**3).mean() / spread**3) if spread > 1e-12 else 0.0


def modality_gap(a: ArrayLike, b: ArrayLike) -> float:
    """Distance of the means of two modalities' vectors, [N, D] and [M, D]; give unit vectors.

    W. Liang et al., "Mind the gap", NeurIPS 2022, arXiv:2203.02053.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or not len(first) or not len(second):
        raise ValueError(f"two sets of vectors of one width are wanted, got shapes {first.shape} and {second.shape}")
    gap = float(np.linalg.norm(first.mean(axis=0) - second.mean(axis=0)))
    if np.isnan(gap):
        raise ValueError("the vectors hold NaN")
    return gap


def _mean(values: list[Floats], queries: int) -> Mean:
    counted = np.concatenate(values)
    return Mean(float(counted.mean()) if len(counted) else float("nan"), len(counted), queries - len(counted))
