"""The vectors as stored, found by id in memory maps: what approximate results are scored again with."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from retrieval.kinds import import_faiss
from retrieval.segment import Ids, Segment, Vectors

Scores = NDArray[np.float32]
BLOCK_BYTES = 32 << 20


class Originals:
    """Vectors of some segments, by id. The segments' files stay open, so a writer that deletes them does no harm."""

    def __init__(self, segments: tuple[Segment, ...], width: int, dtype: str) -> None:
        self.width = width
        self._segments = segments
        self._contiguous = dtype == "float32"

    def vectors(self, ids: Ids) -> Vectors:
        """[N, width] in the order of ids. Raises ValueError for an id that is not there."""
        ids = np.asarray(ids, np.int64)
        if len(self._segments) == 1:
            places = self._segments[0].positions(ids)
            if len(ids) and places.min() < 0:
                raise _unknown(ids[places < 0])
            return self._segments[0].vectors(places) if len(ids) else np.empty((0, self.width), np.float32)
        found = np.empty((len(ids), self.width), np.float32)
        missing = np.ones(len(ids), np.bool_)
        for segment in self._segments:
            places = segment.positions(ids)
            here = missing & (places >= 0)
            if here.any():
                found[here] = segment.vectors(places[here])
                missing &= ~here
        if missing.any():
            raise _unknown(ids[missing])
        return found

    def blocks(self, ids: Ids) -> Iterator[tuple[Ids, Vectors]]:
        """These ids and their vectors, some tens of megabytes at a time."""
        step = max(1, BLOCK_BYTES // (4 * self.width))
        for first in range(0, len(ids), step):
            part = ids[first : first + step]
            yield part, np.ascontiguousarray(self.vectors(part))

    def products(self, queries: Vectors, ids: Ids) -> Scores:
        """Inner products [Q, n] of each query with its own candidates, ids [Q, n]; -inf for id -1."""
        if not self._contiguous:
            return self._gathered(queries, ids)
        faiss = import_faiss()
        scores = np.full(ids.shape, -np.inf, np.float32)
        part = scores if len(self._segments) == 1 else np.empty_like(scores)
        flat = ids.reshape(-1)
        for segment in self._segments:
            places = np.ascontiguousarray(np.where(flat >= 0, segment.positions(flat), -1), np.int64)
            stored = segment.vectors(slice(None))
            faiss.fvec_inner_products_by_idx(
                faiss.swig_ptr(part), faiss.swig_ptr(queries), faiss.swig_ptr(stored), faiss.swig_ptr(places),
                self.width, *ids.shape,
            )  # fmt: skip
            if part is not scores:
                np.maximum(scores, part, out=scores)
        return scores

    def nearest(self, queries: Vectors, k: int, ids: Ids) -> tuple[Scores, Ids]:
        """The k best of these ids for each query, by looking at all: scores, ids, [Q, k]; -inf and -1 where fewer."""
        faiss = import_faiss()
        best = np.full((len(queries), k), -np.inf, np.float32)
        names = np.full((len(queries), k), -1, np.int64)
        for part, vectors in self.blocks(ids):
            scores, places = faiss.knn(queries, vectors, min(k, len(part)), metric=faiss.METRIC_INNER_PRODUCT)
            best, names = top(np.hstack([best, scores]), np.hstack([names, part[places]]), k)
        return best, names

    def _gathered(self, queries: Vectors, ids: Ids) -> Scores:
        scores = np.full(ids.shape, -np.inf, np.float32)
        for number, candidates in enumerate(ids):
            real = candidates >= 0
            scores[number, real] = self.vectors(candidates[real]) @ queries[number]
        return scores


def top(scores: Scores, ids: Ids, k: int) -> tuple[Scores, Ids]:
    """The k best of each row, best first, equal scores in the order of ids; [Q, k], filled up with -inf and -1."""
    rows = np.arange(len(scores))[:, None]
    if scores.shape[1] > 4 * k:
        chosen = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        scores, ids = scores[rows, chosen], ids[rows, chosen]
    order = np.lexsort((ids, -scores), axis=1)[:, :k]
    scores, ids = scores[rows, order], ids[rows, order]
    short = k - scores.shape[1]
    if short > 0:
        scores = np.pad(scores, ((0, 0), (0, short)), constant_values=-np.inf)
        ids = np.pad(ids, ((0, 0), (0, short)), constant_values=-1)
    return scores, ids


def _unknown(ids: Ids) -> ValueError:
    return ValueError(f"the store holds no id {ids[0]}")
