"""The store behind the service, as it is now: what others add or remove shows without a restart."""

import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from retrieval import index as indexes
from retrieval.index import Index
from retrieval.manifest import Manifest
from retrieval.own_columns import SAMPLE, spread
from retrieval.regions import KIND, Regions
from retrieval.space import Space
from retrieval.store import Store

MOST_VALUES = 40
"""a column with more different values than this is no choice to offer"""


class View(NamedTuple):
    """A store and an index that fits it, which stay as they are while a request is answered.

    loaded is None where the store is empty. behind: in words, why newer rows are not seen yet; "" if there are none.
    """

    store: Store
    loaded: Index | None
    behind: str


class Collection:
    """Opens the store in a directory. Raises ValueError, one line, if there is none or it has no index."""

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self._store = Store.open(directory)
        self._lock = threading.Lock()
        self._seen = self._stamp()
        self._space: Space | None = None
        self._view = self._opened(None)
        self._facets: tuple[Manifest, dict[str, Any]] | None = None
        self._regions: tuple[Manifest, Regions] | None = None
        self._opening = threading.Lock()

    def keep_to(self, space: Space) -> None:
        """From now on show only a store of this space. Raises ValueError where it is of another already."""
        self._view.store.space.check(space)
        self._space = space

    def now(self) -> View:
        """What can be searched; after another process wrote, what it wrote as soon as it is indexed."""
        # While one thread opens what is new, which may be a large index, the others go on with what there was.
        if self._lock.acquire(blocking=False):
            try:
                stamp = self._stamp()
                if stamp != self._seen:
                    self._store.refresh()
                    self._view = self._opened(self._view.loaded)
                    self._seen = stamp
            except (ValueError, OSError) as error:
                self._view = self._view._replace(behind=str(error))
            finally:
                self._lock.release()
        return self._view

    def facets(self, view: View) -> dict[str, Any]:
        """How many rows each modality has, and columns with few values: name -> [[value, how often in the sample]]."""
        known = self._facets
        if known is not None and known[0] is view.store.manifest:
            return known[1]
        counts = {name: len(view.store.ids("modality = ?", [name])) for name in view.store.space.modalities}
        ids = view.store.ids()
        rows = view.store.rows(spread(ids, SAMPLE))
        values: dict[str, Counter[str | float]] = {}
        for row in rows:
            for name, value in row.extra.items():
                if isinstance(value, str | int | float) and '"' not in name and "\\" not in name:
                    values.setdefault(name, Counter())[value] += 1
        columns = {
            name: [[value, count] for value, count in sorted(found.items(), key=lambda pair: str(pair[0]))]
            for name, found in sorted(values.items())
            if 1 < len(found) <= MOST_VALUES
        }
        told = {"modalities": counts, "columns": columns}
        self._facets = (view.store.manifest, told)
        return told

    def regions(self, view: View) -> tuple[Regions | None, str]:
        """What is known of places in pictures, None if nothing; and, in words, why not, where something is wrong."""
        if not view.store.sides(KIND):
            return None, ""
        with self._opening:  # they are hashed, which only one thread need do
            known = self._regions
            if known is None or known[0] is not view.store.manifest:
                try:
                    known = view.store.manifest, Regions(view.store)
                except ValueError as error:
                    return None, str(error)
                self._regions = known
            return known[1], ""

    def close(self) -> None:
        """Let go of all files."""
        self._store.close()

    def _opened(self, before: Index | None) -> View:
        store = self._store.snapshot()
        if self._space is not None:
            store.space.check(self._space)
        if not len(store):
            return View(store, None, "")
        if before is not None and before.fits(store.held, store.removed):
            return View(store, before, "")
        return View(store, indexes.load(store), "")

    def _stamp(self) -> tuple[int, int]:
        found = os.stat(self.directory / "manifest.json")
        return found.st_mtime_ns, found.st_ino
