"""A vector for each cell of a window's picture, so that a query finds the moment and the box where it is.

What localizes compares a query with every place of a picture by inner products. Kept for a window, these places'
vectors answer the same question without the network or the recording. In full they would be large (12 x 12 cells of
352 components in float16: 101 kB a window, seventy times the window's own vector), so they are projected onto the
directions that hold most of their length (a basis found once for a file, from its first windows) and kept as bytes
between the least and greatest value that a component has in that window, so that a map is fine however flat it is:
(cells + 8) x components and what SQLite adds, 5.3 kB at 32 components.

A store lists its files of regions (`retrieval.regionfile`) in its manifest; each has a basis of its own. Rows that go
take their regions with them: what removed rows had is not told any more, and is gone from the disk after `compact`.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from retrieval.boxes import box_of
from retrieval.files import aside, check_intact
from retrieval.manifest import from_runs
from retrieval.moments import Hit
from retrieval.regionfile import COMPONENTS as COMPONENTS
from retrieval.regionfile import Block, Maps, write_chosen, write_regions
from retrieval.regionfile import RegionFile as RegionFile
from retrieval.rows import Row
from retrieval.search import beside
from retrieval.segment import Ids, contains
from retrieval.store import Store

KIND = "regions"


class Regions:
    """All regions of a store as it is now; files are hashed when they are opened."""

    def __init__(self, store: Store) -> None:
        """Raises ValueError for a file that is missing or not what was written."""
        self._files = []
        for entry in store.sides(KIND):
            name = entry["file"]
            path = store.directory / name
            check_intact(path, store.manifest["files"][name]["sha256"])
            gone = np.union1d(store.removed, from_runs(entry.get("gone", [])))
            self._files.append((RegionFile(path), gone))

    def ids(self) -> set[int]:
        """Ids of the rows that have regions."""
        return {identity for file, gone in self._files for identity in _without(file.ids(), gone)}

    def __bool__(self) -> bool:
        return bool(self._files)

    def maps(self, ids: Sequence[int], query: Any) -> dict[int, Maps]:
        """Score maps [h, w] of those of these rows that have regions."""
        found: dict[int, Maps] = {}
        for file, gone in self._files:
            found |= file.maps(_without(ids, gone), query)
        return found


def add_regions(store: Store, blocks: Iterable[Block], components: int = COMPONENTS) -> None:
    """Give rows of a store regions: a further file in its manifest. Raises ValueError as `write_regions` does.

    Making them may take hours, so they are made aside, and others may write meanwhile.
    """
    with aside(store.directory) as folder:
        made = folder / "regions.sqlite"
        write_regions(made, blocks, components)
        with store.locked():
            store.put_side(KIND, "sqlite", partial(os.replace, made))


def locate(
    store: Store, regions: Regions, hits: Sequence[Hit], query: Any, threshold: float | None = None
) -> list[Hit]:
    """The hits with the box of what is sought, where the store has regions at the time of their best window.

    query: [D], compared with the places; or [N, D], such as the windows of a sound, of which the one counts that scores
    highest anywhere. threshold: score from which on a place counts; what nowhere reaches it gets no box. A hit that is
    not itself a picture, such as a sound, gets the box in the picture of that time.
    """
    told, windows = [], np.atleast_2d(query)
    for hit in hits:
        maps = _all_maps(regions, [hit.id], windows)
        maps = maps or _all_maps(regions, [row.id for row in beside(store, hit)], windows)
        best = max(maps, key=lambda scores: float(scores.max()), default=None)
        found = None if best is None else box_of(best, threshold)
        told.append(hit if found is None else replace(hit, box=found.box))
    return told


def _all_maps(regions: Regions, ids: Sequence[int], queries: Any) -> list[Maps]:
    return [scores for query in queries for scores in regions.maps(ids, query).values()]


def carry_regions(old: Store, new: Store) -> int:
    """Give rows of a new store the regions that an old one, of the same space, has of the same windows; say how many.

    The same windows are those of the same content and seconds, whatever the recording is called now. Raises
    ValueError for another space, and for a damaged file.
    """
    new.space.check(old.space)
    known = {_window(row): row.id for row in old.rows(sorted(Regions(old).ids()))}
    rows = new.rows(new.ids())
    same = {known[_window(row)]: row.id for row in rows if _window(row) in known}
    carried = 0
    with aside(new.directory) as folder, new.locked():
        for number, entry in enumerate(old.sides(KIND)):
            made = folder / f"{number}.sqlite"
            gone = set(from_runs(entry.get("gone", [])).tolist())
            chosen = {before: after for before, after in same.items() if before not in gone}
            if count := write_chosen(made, old.directory / entry["file"], chosen):
                new.put_side(KIND, "sqlite", partial(os.replace, made))
                carried += count
    return carried


def _window(row: Row) -> tuple[str, float, float, str]:
    return row.content or row.path, row.start, row.end, row.modality


def _without(ids: Sequence[int], gone: Ids) -> list[int]:
    array = np.asarray(ids, np.int64)
    found: list[int] = array[~contains(gone, array)].tolist()
    return found
