"""The nearest vectors of a query in a loaded index, with filters, whatever the kind."""

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrieval.kinds import import_faiss
from retrieval.originals import Originals, Scores, top
from retrieval.parts import Part
from retrieval.segment import Ids, Vectors, contains

FEW = 20_000  # ids that a filter leaves, up to which all of them are looked at
SPARE = 128  # hidden ids that are fetched too and dropped; a selector would cost FAISS its matrix products
TIED = 8  # more than wanted that an exact index is asked for: fewer ties run through all of these, and it cares little
BATCH = 16  # queries from which looking at copied vectors beats looking at them through a selector


class Index:
    """A loaded index; it is never changed, threads share it.

    covered: `Store.held` of the store that it was loaded for, and `removed` its removed ids then, sorted. hidden: ids
    in it that the store does not hold any more, sorted.
    """

    def __init__(
        self,
        kind: str,
        parts: Sequence[Part],
        originals: Originals,
        covered: tuple[str, ...],
        removed: Ids,
        hidden: Ids,
    ) -> None:
        self.kind, self.covered, self.removed, self.width = kind, covered, removed, originals.width
        self.parts = tuple(part for part in parts if part.count)
        self.hidden = hidden
        self.originals = originals
        self._lock = threading.Lock()
        self._selectors: dict[tuple[int, bool], tuple[Ids, Any]] = {}
        self._hides: tuple[Ids | None, Ids] = (None, hidden)
        self._also_removed = removed

    def __len__(self) -> int:
        return sum(part.count for part in self.parts) - len(self.hidden)

    @property
    def spare(self) -> int:
        """How many more than are wanted to fetch, so that ties in the last place are seen without asking again."""
        return 1 if any(part.lists for part in self.parts) else TIED

    def fits(self, covered: tuple[str, ...], removed: Ids) -> bool:
        """Whether it has every row of a store of which `Store.held` and `Store.removed` are these.

        Rows may have gone since it was loaded; where one is there that was gone, it cannot be found in this index.
        """
        if removed is not self._also_removed:  # which is the same array until the store changes
            if not contains(removed, self.removed).all():
                return False
            self._also_removed = removed
        return covered == self.covered

    def vectors(self, ids: Ids) -> Vectors:
        """The vectors of these ids as they were stored, [N, width]. Raises ValueError for an unknown id."""
        return self.originals.vectors(ids)

    def nearest(
        self,
        queries: Vectors,
        k: int,
        *,
        only: Ids | None = None,
        without: Ids | None = None,
        modality: str | None = None,
        source: str = "",
    ) -> tuple[Scores, Ids]:
        """The k largest inner products per query and their ids, best first, both [Q, k]; id -1 where there are fewer.

        only: the ids that may be found, all present. without: ids that may not. At most one of the two. modality: only
        vectors of this one, which spares a filter for it; `only` must then be of this modality too. source: what the
        queries were made of, where all were made of the same: some need fewer lists than others. Arrays that are
        given again as the same object are quickest. Indexes other than exact ones find the nearest with the recall
        they were built for, but all of the k where there are that many, and look at all of a small `only`.
        """
        assert only is None or without is None
        queries = np.ascontiguousarray(queries, np.float32)
        if only is not None and len(only) <= FEW:
            return self.originals.nearest(queries, k, np.asarray(only, np.int64))
        parts = [part for part in self.parts if modality in (None, part.modality)]
        count = sum(part.count for part in parts)
        hide = self._hide(without)
        if only is not None and modality is not None and len(only) == count:
            only = None
        reachable = count if only is None else len(only)
        if not reachable or not len(queries):
            return top(np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64), k)
        if only is not None and len(queries) >= BATCH and not any(part.lists for part in parts):
            return self.originals.nearest(queries, k, only)

        # So that as many vectors that may be found are looked at as without a filter.
        wider = count / (reachable if only is not None else max(1, count - len(hide)))
        if only is not None:
            scores, ids = self._search(parts, queries, k, wider, source, self._selector(only, True))
        else:
            scores, ids = self._search(parts, queries, k, wider, source, None, hide)
        least = min(k, reachable)
        short = np.flatnonzero(ids[:, least - 1] < 0)
        while len(short):
            wider *= 4
            selector = self._selector(hide, False) if only is None else self._selector(only, True)
            scores[short], ids[short] = self._search(parts, queries[short], k, wider, source, selector)
            if all(wider * part.effort(source)[0] >= part.lists for part in parts):
                break
            short = np.flatnonzero(ids[:, least - 1] < 0)
        return scores, ids

    def _search(
        self,
        parts: Sequence[Part],
        queries: Vectors,
        k: int,
        wider: float,
        source: str,
        selector: Any,
        hide: Ids | None = None,
    ) -> tuple[Scores, Ids]:
        """Each part's nearest, joined; `wider` times the lists that are looked at without a filter.

        hide: ids to drop from what was found, for which a few more are fetched.
        """
        spare = min(SPARE, len(hide)) if hide is not None else 0
        found = []
        for part in parts:
            lists, refine = part.effort(source)
            probes = min(part.lists, math.ceil(lists * wider))
            fetch = min(k + spare, part.count)
            found.append(part.nearest(self.originals, queries, fetch, probes, refine, selector))
        if len(found) == 1:
            scores, ids = found[0]
            if not parts[0].lists and not spare and scores.shape[1] == k:
                return scores, ids
        else:
            scores, ids = (np.concatenate(columns, axis=1) for columns in zip(*found, strict=True))
        if spare and hide is not None:
            gone = contains(hide, ids.reshape(-1)).reshape(ids.shape)
            scores, ids = np.where(gone, np.float32(-np.inf), scores), np.where(gone, -1, ids)
        return top(scores, ids, k)

    def _hide(self, without: Ids | None) -> Ids:
        """Ids that must not be found: those that went since the index was made, and these."""
        if without is None or not len(without):
            return self.hidden
        known, hide = self._hides
        if known is not without:
            hide = np.union1d(self.hidden, without)
            self._hides = (without, hide)
        return hide

    def _selector(self, ids: Ids, allow: bool) -> Any:
        """FAISS's word for these ids or for all but these; the last few are kept, since filters come again."""
        faiss = import_faiss()
        with self._lock:
            for (_, allowed), (given, selector) in self._selectors.items():
                if given is ids and allowed == allow:
                    return selector
        largest = int(ids.max(initial=0))
        if largest < 64 * len(ids) + 4096:
            bits = np.zeros(largest + 1, np.bool_)
            bits[ids] = True
            inner = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))
        else:
            inner = faiss.IDSelectorBatch(ids)
        selector = inner if allow else faiss.IDSelectorNot(inner)
        with self._lock:
            for oldest in list(self._selectors)[:-7]:
                del self._selectors[oldest]
            self._selectors[(id(ids), allow)] = (ids, selector)
        return selector
