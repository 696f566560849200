"""An exact order out of what Milvus finds: its scores are in single precision, and it settles ties as it likes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.segment import Ids, Vectors

MOST = 16_384  # rows that Milvus returns for one query
NEAR = 1e-6  # of both lengths: a score in single precision may be that far off
ANSWER_BYTES = 32 << 20  # vectors asked for in one call; a cluster refuses answers above 64 MB

Floats = NDArray[np.float64]
Nearest = Callable[[Vectors, int], Any]  # (queries [Q, width], how many of each) -> Milvus's answers with vectors


def ranked(nearest: Nearest, queries: Vectors, k: int) -> Iterator[list[tuple[Ids, Floats]]]:
    """Ids and scores of the k best of each query [Q, width], best first, those of some queries at a time.

    Ties stand in the order of ids, also those that run through the k-th place. Raises ValueError when more tie there
    than Milvus returns.
    """
    step = max(1, min(MOST, ANSWER_BYTES // (4 * queries.shape[1] * (k + 1))))
    for first in range(0, len(queries), step):
        part = queries[first : first + step]
        yield [_settled(nearest, query, found, k) for query, found in zip(part, nearest(part, k + 1), strict=True)]


def _settled(nearest: Nearest, query: Vectors, answer: Any, k: int) -> tuple[Ids, Floats]:
    """Ids and scores of the k best, after as many have been looked at as tie at the k-th place."""
    fetch = k + 1
    while True:
        ids = np.array([hit["id"] for hit in answer], np.int64)
        vectors = np.array([hit["entity"]["vector"] for hit in answer], np.float64).reshape(-1, len(query))
        scores = (vectors * query.astype(np.float64)).sum(axis=1)
        order = np.lexsort((ids, -scores))[:k]
        # How far Milvus's scores may be from these.
        largest = float(np.linalg.norm(vectors, axis=1).max(initial=0.0))
        tolerance = NEAR * largest * float(np.linalg.norm(query.astype(np.float64)))
        if len(ids) < fetch or scores.min() < scores[order[-1]] - tolerance:
            return ids[order], scores[order]
        if fetch == MOST:
            raise ValueError(f"more than {MOST} rows tie at place {k}, and a Milvus returns no more of them")
        fetch = min(2 * fetch, MOST)
        answer = nearest(query[None], fetch)[0]
