"""Vectors and their rows in a directory that survives crashes, several readers and one writer.

Data files are immutable and versioned (`vectors-<n>.npy`, `rows-<n>.sqlite`, `index-<n>.faiss`); `manifest.json` lists
them with their hashes and is replaced at once. So a change has happened entirely or not at all, and a reader goes on
with the files it opened. New rows join the segments that are no larger than they are, so n adds of one row leave
about log2(n) segments and every row is rewritten about log2(n) times.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from retrieval import manifest as manifests
from retrieval.files import TEMPORARY, replacing, sha256_of, writer_lock
from retrieval.manifest import FileEntry, IndexEntry, Manifest, SegmentEntry
from retrieval.rows import Parameter, Row, check_where, parse_row, write_rows
from retrieval.segment import Ids, Segment, Vectors, check_vectors, write_vectors
from retrieval.space import Space
from retrieval.state import State, damage, load_state


class Store:
    """An open store. Reading needs no lock; a method that writes takes the writer's lock and first reads what others
    have written. `wait_seconds` is how long it waits for that lock before it raises.
    """

    def __init__(self, directory: Path, state: State, wait_seconds: float) -> None:
        self.directory = directory
        self.wait_seconds = wait_seconds
        self._state = state
        self._thread_lock = threading.RLock()
        self._depth = 0
        self.space = Space.from_json(state.manifest["space"])

    @classmethod
    def create(cls, directory: str | Path, space: Space, wait_seconds: float = 0.0) -> "Store":
        """Make an empty store in a directory that is new or holds none. Raises ValueError if it holds one."""
        directory = Path(directory)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"{directory} cannot hold a store: a file is in the way") from None
        with writer_lock(directory, wait_seconds):
            if (directory / manifests.NAME).exists():
                raise ValueError(f"{directory} already holds a store: open it, or choose another directory")
            manifests.write(directory, manifests.empty(space))
        return cls.open(directory, wait_seconds=wait_seconds)

    @classmethod
    def open(cls, directory: str | Path, verify: bool = False, wait_seconds: float = 0.0) -> "Store":
        """Open a store for reading and writing; with `verify`, after hashing every file.

        Raises ValueError, one line: no store, or which file is missing or damaged.
        """
        directory = Path(directory)
        problems = damage(directory) if verify else []
        if problems:
            raise ValueError("; ".join(problems))
        return cls(directory, load_state(directory, None), wait_seconds)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all files; not needed before another process writes."""
        for segment in self._state.segments:
            segment.close()

    def __len__(self) -> int:
        state = self._state
        return sum(segment.count for segment in state.segments) - len(state.removed)

    @property
    def version(self) -> int:
        """Grows by one with every change."""
        return self._state.manifest["version"]

    @property
    def manifest(self) -> Manifest:
        """What the manifest said when the store was opened, refreshed or last written here; do not change it."""
        return self._state.manifest

    @property
    def removed(self) -> Ids:
        """Ids that are removed but still in the files, sorted."""
        return self._state.removed

    def refresh(self) -> None:
        """See what other processes have written since."""
        with self._thread_lock:
            self._state = load_state(self.directory, self._state)

    def snapshot(self) -> "Store":
        """This store as it is now, for several reads that must agree while another thread writes."""
        return Store(self.directory, self._state, self.wait_seconds)

    def rows(self, ids: Iterable[int]) -> list[Row]:
        """Rows of these ids, in this order, in one read of each segment. Raises ValueError for an unknown id."""
        wanted = [int(identity) for identity in ids]
        state = self._state
        found: dict[int, Row] = {}
        for segment in state.segments if wanted else ():
            found.update((row.id, row) for row in segment.rows.rows(wanted))
            if len(found) == len(wanted):
                break
        _refuse_unknown(wanted, found, state)
        return [found[identity] for identity in wanted]

    def vectors(self, ids: Iterable[int]) -> Vectors:
        """Vectors of these ids, in this order, [N, width]. Raises ValueError for an unknown id."""
        wanted = [int(identity) for identity in ids]
        state = self._state
        found: dict[int, Vectors] = {}
        for segment in state.segments if wanted else ():
            found.update(segment.vectors(wanted))
        _refuse_unknown(wanted, found, state)
        return np.stack([found[i] for i in wanted]) if wanted else np.empty((0, self.space.width), np.float32)

    def blocks(self) -> Iterator[tuple[Ids, Vectors]]:
        """Every id and vector, some tens of megabytes at a time."""
        state = self._state
        for segment in state.segments:
            yield from segment.blocks(state.removed)

    def ids(self, where: str | None = None, parameters: Sequence[Parameter] = ()) -> Ids:
        """Sorted ids of the rows that meet an SQL condition on their columns, or of all.

        where: such as "modality = ? AND extra ->> 'kind' = 'bell'", with one of `parameters` for each question mark.
        Raises ValueError for a condition that is wrong or is more than a condition.
        """
        if where is not None:
            check_where(where, parameters)
        state = self._state
        parts = [np.empty(0, np.int64)]
        for segment in state.segments:
            parts.append(segment.ids if where is None else np.array(segment.rows.matching(where, parameters), np.int64))
        return np.setdiff1d(np.concatenate(parts), state.removed)

    def verify(self) -> list[str]:
        """Read every file from disk again and say, one line each, which is missing, cut or changed; [] if none is."""
        return damage(self.directory)

    def add(self, vectors: Any, rows: Iterable[Mapping[str, Any]]) -> Ids:
        """Add vectors [N, width] and a row for each (see `Row`; its "id" is optional); return their ids.

        Raises ValueError, one line, and adds nothing, for vectors that are not finite or zero or of another width, and
        for rows that are wrong or share an id, or recording, start, end and modality, with another.
        """
        array = check_vectors(vectors, self.space.width)
        given = list(rows)
        if len(given) != len(array):
            raise ValueError(f"there are {len(array)} vectors and {len(given)} rows; every vector needs its row")
        with self.locked():
            state = self._state
            next_id, batch = state.manifest["next_id"], []
            for number, data in enumerate(given):
                batch.append(parse_row(number, data, self.space.modalities, next_id))
                next_id = max(next_id, batch[-1].id + 1)
            _refuse_duplicates(batch, state)
            if not batch:
                return np.empty(0, np.int64)
            kept, total = list(state.segments), len(batch)
            joined: list[Segment] = []
            while kept and kept[-1].count <= total:
                joined.insert(0, kept.pop())
                total += joined[0].count
            ids = np.array([row.id for row in batch], np.int64)
            self._rewrite(kept, joined, (ids, array, batch), next_id)
            return ids

    def remove(self, ids: Iterable[int]) -> int:
        """Mark rows as removed, return how many; `compact` frees their space. Raises ValueError for an unknown id."""
        with self.locked():
            state = self._state
            gone = np.unique(np.array([int(identity) for identity in ids], np.int64))
            unknown = np.setdiff1d(gone, self.ids())
            if len(unknown):
                raise ValueError(f"the store holds no id {unknown[0]}")
            if len(gone):
                later = manifests.successor(state.manifest)
                later["removed"] = manifests.to_runs(np.union1d(state.removed, gone))
                self._commit(later)
            return len(gone)

    def compact(self) -> None:
        """Rewrite the segments as one, without what was removed. Ids stay; indexes must be built again."""
        with self.locked():
            state = self._state
            if len(state.segments) > 1 or len(state.removed):
                self._rewrite([], list(state.segments), None, state.manifest["next_id"])

    def put_index(self, kind: str, ntotal: int, write: Callable[[Path], None]) -> IndexEntry:
        """List an index of all present rows; `write` writes it to the path it is given. For use inside `locked`."""
        assert self._depth, "an index is put while the lock is held, from before its vectors were read"
        later = manifests.successor(self._state.manifest)
        name = f"index-{later['version']}.faiss"
        later["files"][name] = self._write(name, write)
        covered = [entry["vectors"] for entry in later["segments"]]
        entry = IndexEntry(kind=kind, file=name, ntotal=ntotal, segments=covered)
        later["indexes"] = [other for other in later["indexes"] if other["kind"] != kind] + [entry]
        self._commit(later)
        return entry

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the writer's lock over several steps. Threads that share this object wait for each other."""
        with self._thread_lock:
            if self._depth:
                yield
                return
            with writer_lock(self.directory, self.wait_seconds):
                self._state = load_state(self.directory, self._state)
                self._sweep()
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1

    def _rewrite(
        self,
        kept: Sequence[Segment],
        joined: Sequence[Segment],
        batch: tuple[Ids, Vectors, list[Row]] | None,
        next_id: int,
    ) -> None:
        """Commit the kept segments and one new one that holds the joined ones' live rows and the batch."""
        removed = self._state.removed
        dead = {segment: int(np.isin(segment.ids, removed).sum()) for segment in joined}
        count = sum(segment.count - dead[segment] for segment in joined) + (len(batch[0]) if batch else 0)
        later = manifests.successor(self._state.manifest)
        stay = {segment.vectors_name for segment in kept}
        later["segments"] = [entry for entry in later["segments"] if entry["vectors"] in stay]
        later["next_id"] = next_id
        dropped = np.concatenate([segment.ids for segment in joined]) if joined else np.empty(0, np.int64)
        later["removed"] = manifests.to_runs(np.setdiff1d(removed, dropped))
        if count:

            def blocks() -> Iterator[Vectors]:
                for segment in joined:
                    yield from (block for _, block in segment.blocks(removed))
                if batch:
                    yield batch[1]

            def rows() -> Iterator[Row]:
                for segment in joined:
                    yield from segment.live_rows(removed)
                if batch:
                    yield from batch[2]

            names = SegmentEntry(
                vectors=f"vectors-{later['version']}.npy", rows=f"rows-{later['version']}.sqlite", count=count
            )
            width = self.space.width
            later["files"][names["vectors"]] = self._write(
                names["vectors"], lambda path: write_vectors(path, blocks(), count, width)
            )
            later["files"][names["rows"]] = self._write(names["rows"], lambda path: write_rows(path, rows()))
            later["segments"].append(names)
        self._commit(later)

    def _write(self, name: str, write: Callable[[Path], object]) -> FileEntry:
        with replacing(self.directory / name) as temporary:
            write(temporary)
            with open(temporary, "rb") as file:
                return FileEntry(sha256=sha256_of(file.fileno()), bytes=os.fstat(file.fileno()).st_size)

    def _commit(self, later: Manifest) -> None:
        manifests.write(self.directory, later)
        self._state = load_state(self.directory, self._state)
        self._sweep()

    def _sweep(self) -> None:
        """Delete what the manifest does not list: files of older versions and of writers that were killed."""
        for path in self.directory.iterdir():
            listed = path.name in self._state.manifest["files"]
            if path.name.startswith(TEMPORARY) or (manifests.DATA_FILE.match(path.name) and not listed):
                path.unlink(missing_ok=True)


def _refuse_unknown(wanted: Sequence[int], found: Mapping[int, object], state: State) -> None:
    removed = set(np.intersect1d(np.array(wanted, np.int64), state.removed).tolist())
    for identity in wanted:
        if identity not in found or identity in removed:
            raise ValueError(f"the store holds no id {identity}")


def _refuse_duplicates(batch: Sequence[Row], state: State) -> None:
    ids: dict[int, int] = {}
    keys: dict[tuple[str, float, float, str], int] = {}
    removed = set(state.removed.tolist())
    wanted = [row.id for row in batch]
    known = {int(i) for segment in state.segments for i in segment.ids[np.isin(segment.ids, wanted)]}
    for number, row in enumerate(batch):
        span = f"{row.modality} of {row.recording} from {row.start} to {row.end} s"
        if row.id in known:
            raise ValueError(f"row {number}: id {row.id} is in the store already")
        if ids.setdefault(row.id, number) != number:
            raise ValueError(f"row {number}: id {row.id} is also row {ids[row.id]}'s")
        if keys.setdefault(row.key, number) != number:
            raise ValueError(f"row {number}: {span} is also row {keys[row.key]}")
        for segment in state.segments:
            present = segment.rows.id_of(row.key)
            if present is not None and present not in removed:
                raise ValueError(f"row {number}: {span} is in the store already, as id {present}")
