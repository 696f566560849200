"""The next version of a store, being written: files under new names, then, at once, the manifest that lists them."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from retrieval import manifest as manifests
from retrieval.columns import write_columns
from retrieval.files import TEMPORARY, check_intact, replacing, sha256_of, sweep_aside, sync_directory
from retrieval.manifest import FileEntry, IndexEntry, SegmentEntry, SideEntry
from retrieval.regionfile import RegionFile, write_chosen
from retrieval.rowfile import Stored, stored, write_renamed, write_rows
from retrieval.rows import Row
from retrieval.segment import DTYPES, Ids, Segment, Vectors, contains, write_array
from retrieval.state import State

Batch = tuple[Ids, Vectors, list[Row]]


class Draft:
    """Collects one change. Nothing of it shows before `commit`; callers hold the writer's lock all the while."""

    def __init__(self, directory: Path, state: State) -> None:
        self.directory, self.state = directory, state
        self.manifest = manifests.successor(state.manifest)
        self._removed = state.removed

    def remove(self, ids: Ids) -> None:
        """Mark present ids, sorted, as removed."""
        self._removed = np.union1d(self._removed, ids)

    def append(self, batch: Batch, next_id: int) -> None:
        """Add vectors and rows, in one new segment with those of the segments that are no larger."""
        kept, total = list(self.state.segments), len(batch[0])
        while kept and kept[-1].count <= total:
            total += kept.pop().count
        self.manifest["next_id"] = next_id
        # Own ids may be low, even those of rows long gone: an index that holds such an id does not hold this row.
        first = int(batch[0].min())
        self.manifest["indexes"] = [
            IndexEntry({**entry, "below": min(entry["below"], first)}) for entry in self.manifest["indexes"]
        ]
        self._join(len(kept), batch)

    def compact(self) -> None:
        """Rewrite all segments as one, without what is removed; side files, too."""
        self._join(0, None)
        sides = self.manifest["sides"]
        self.manifest["sides"] = [kept for number, entry in enumerate(sides) for kept in self._compacted(number, entry)]

    def rename(self, recordings: Mapping[str, tuple[str, str]]) -> None:
        """Give recordings another name and path, by writing the rows of their segments anew; ids and vectors stay."""
        for place, segment in enumerate(self.state.segments):
            if any(segment.rows.holds(recording) for recording in recordings):
                number, entry = f"{self.manifest['version']}-{place}", self.manifest["segments"][place]
                rows, columns = f"rows-{number}.sqlite", f"columns-{number}.bin"
                self.write(rows, partial(write_renamed, source=segment.rows, recordings=recordings))
                self.write_columns(columns, _renamed(segment, recordings))
                self.manifest["segments"][place] = SegmentEntry(
                    vectors=entry["vectors"], ids=entry["ids"], rows=rows, columns=columns, count=entry["count"]
                )

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Add a data file: `write` writes it to the path it is given."""
        with replacing(self.directory / name, durable_name=False) as temporary:
            write(temporary)
            with open(temporary, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                self.manifest["files"][name] = FileEntry(sha256=sha256_of(file.fileno()), bytes=size)

    def write_columns(self, name: str, rows: Iterable[Stored]) -> None:
        """Add the file of a segment's rows by position."""

        def write(path: Path) -> None:
            with open(path, "wb") as file:
                write_columns(file, rows)

        self.write(name, write)

    def commit(self) -> None:
        """Make the change visible, entirely."""
        self.manifest["removed"] = manifests.to_runs(self._removed)
        sync_directory(self.directory)
        manifests.write(self.directory, self.manifest)

    def _join(self, keep: int, batch: Batch | None) -> None:
        """Keep the first segments; make one of the others' live rows and the batch."""
        joined, removed = self.state.segments[keep:], self._removed
        alive = [~contains(removed, segment.ids) for segment in joined]
        ids = [segment.ids[stays] for segment, stays in zip(joined, alive, strict=True)]
        if batch:
            ids.append(batch[0])
        count = sum(map(len, ids))
        dropped = [segment.ids[~stays] for segment, stays in zip(joined, alive, strict=True)]
        self._forget(np.concatenate([np.empty(0, np.int64), *dropped]))
        self._removed = removed[~np.isin(removed, np.concatenate([s.ids for s in joined]))] if joined else removed
        del self.manifest["segments"][keep:]
        if not count:
            return

        def vectors() -> Iterator[Vectors]:
            for segment in joined:
                yield from (block for _, block in segment.blocks(removed))
            if batch:
                yield batch[1]

        new = list(map(stored, batch[2])) if batch else []

        def rows() -> Iterator[Stored]:
            for segment, stays in zip(joined, alive, strict=True):
                yield from segment.columns.stored(np.flatnonzero(stays).tolist(), segment.ids[stays].tolist())
            yield from new

        version, width = self.manifest["version"], int(self.manifest["space"]["width"])
        entry = SegmentEntry(
            vectors=f"vectors-{version}.npy", ids=f"ids-{version}.npy", rows=f"rows-{version}.sqlite",
            columns=f"columns-{version}.bin", count=count,
        )  # fmt: skip
        descr = DTYPES[self.manifest["dtype"]]
        self.write(entry["vectors"], lambda path: write_array(path, vectors(), descr, (count, width)))
        self.write(entry["ids"], lambda path: write_array(path, ids, "<i8", (count,)))
        self.write(entry["rows"], lambda path: write_rows(path, rows()))
        self.write_columns(entry["columns"], rows())
        self.manifest["segments"].append(entry)

    def _compacted(self, number: int, entry: SideEntry) -> Iterator[SideEntry]:
        """A side file without what belongs to no row; nothing where that is all of it."""
        if "gone" not in entry:
            yield entry
            return
        source = self.directory / entry["file"]
        check_intact(source, self.manifest["files"][entry["file"]]["sha256"])
        with closing(RegionFile(source)) as file:
            ids = file.ids()
        kept = np.setdiff1d(ids, manifests.from_runs(entry["gone"])).tolist()
        name = entry["file"]
        if 0 < len(kept) < len(ids):
            name = f"{entry['kind']}-{self.manifest['version']}-{number}.sqlite"
            self.write(name, partial(write_chosen, source=source, ids=dict(zip(kept, kept, strict=True))))
        if kept:
            yield SideEntry(kind=entry["kind"], file=name)

    def _forget(self, dropped: Ids) -> None:
        """Ids that are in no segment any more: what side files tell of them is not told of whoever gets them next."""
        for place, entry in enumerate(self.manifest["sides"] if len(dropped) else ()):
            gone = np.union1d(manifests.from_runs(entry.get("gone", [])), dropped)
            told = SideEntry(kind=entry["kind"], file=entry["file"], gone=manifests.to_runs(gone))
            self.manifest["sides"][place] = told


def _renamed(segment: Segment, recordings: Mapping[str, tuple[str, str]]) -> Iterator[Stored]:
    for told in segment.columns.stored(range(segment.count), segment.ids.tolist()):
        recording, path = recordings.get(told[1], told[1:3])
        yield (told[0], recording, path, *told[3:])


def refuse_duplicates(batch: Sequence[Row], state: State, leaving: Ids) -> None:
    """Raise ValueError, one line, if a new row shares its id, or recording, start, end and modality, with another.

    leaving: sorted ids of present rows that go in the same change; their ids stay taken, their moments do not.
    """
    ids: dict[int, int] = {}
    keys: dict[Any, int] = {}
    new = np.array([row.id for row in batch], np.int64)
    known = {int(i) for segment in state.segments for i in new[segment.positions(new) >= 0]}
    gone = set(state.removed.tolist()) | set(leaving.tolist())
    recordings = {row.recording for row in batch}
    holding = {name: [segment for segment in state.segments if segment.rows.holds(name)] for name in recordings}
    for number, row in enumerate(batch):
        span = f"{row.modality} of {row.recording} from {row.start} to {row.end} s"
        if row.id in known:
            raise ValueError(f"row {number}: id {row.id} is in the store already")
        if ids.setdefault(row.id, number) != number:
            raise ValueError(f"row {number}: id {row.id} is also row {ids[row.id]}'s")
        if keys.setdefault(row.key, number) != number:
            raise ValueError(f"row {number}: {span} is also row {keys[row.key]}")
        for segment in holding[row.recording]:
            for present in segment.rows.ids_with(row.key):
                if present not in gone:
                    raise ValueError(f"row {number}: {span} is in the store already, as id {present}")


def sweep(directory: Path, state: State) -> None:
    """Delete what the manifest does not list: files of older versions and of writers that were killed."""
    for path in directory.iterdir():
        listed = path.name in state.manifest["files"]
        if path.name.startswith(TEMPORARY) or (manifests.DATA_FILE.match(path.name) and not listed):
            path.unlink(missing_ok=True)
    sweep_aside(directory)
