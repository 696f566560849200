"""Vectors and their rows in a directory that survives crashes, several readers and one writer.

Data files are immutable and versioned (`vectors-<n>.npy`, `ids-<n>.npy`, `rows-<n>.sqlite`, `columns-<n>.bin`, ...);
`manifest.json` lists them with their hashes and is replaced at once. So a change has happened entirely or not at all,
and a reader goes on with the files it opened. New rows join the segments that are no larger than they are, so n adds of
one row leave about log2(n) segments and every row is rewritten about log2(n) times.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from retrieval import manifest as manifests
from retrieval.files import writer_lock
from retrieval.manifest import IndexEntry, SideEntry
from retrieval.reading import Reading, as_ids, places
from retrieval.rows import parse_row
from retrieval.segment import DTYPES, Ids, check_vectors
from retrieval.space import Space
from retrieval.state import State, damage, load_state
from retrieval.writing import Draft, refuse_duplicates, sweep

Save = Callable[[str, Callable[[Path], object]], str]  # (ending, how to write) -> name of the file in the store


class Store(Reading):
    """An open store. Reading needs no lock; a method that writes takes the writer's lock and first reads what others
    have written. `wait_seconds` is how long it waits for that lock before it raises.
    """

    def __init__(self, directory: Path, state: State, wait_seconds: float) -> None:
        super().__init__(state)
        self.directory = directory
        self.wait_seconds = wait_seconds
        self._thread_lock = threading.RLock()
        self._depth = 0

    @classmethod
    def create(cls, directory: str | Path, space: Space, wait_seconds: float = 0.0, dtype: str = "float32") -> "Store":
        """Make an empty store in a directory that is new or holds none. Raises ValueError if it holds one.

        dtype: "float16" halves the vectors on disk. Each component is then rounded to the nearest float16 (ties to
        even) when it is added, and everything that is read or searched is that number, as float32.
        """
        directory = Path(directory)
        if dtype not in DTYPES:
            raise ValueError(f"vectors can be kept as {' or '.join(DTYPES)}, not {dtype!r}")
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"{directory} cannot hold a store: a file is in the way") from None
        with writer_lock(directory, wait_seconds):
            if (directory / manifests.NAME).exists():
                raise ValueError(f"{directory} already holds a store: open it, or choose another directory")
            manifests.write(directory, manifests.empty(space, dtype))
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

    def refresh(self) -> None:
        """See what other processes have written since."""
        with self._thread_lock:
            self._state = load_state(self.directory, self._state)

    def snapshot(self) -> "Store":
        """This store as it is now, for several reads that must agree while another thread writes."""
        return Store(self.directory, self._state, self.wait_seconds)

    def verify(self) -> list[str]:
        """Read every file from disk again and say, one line each, which is missing, cut or changed; [] if none is."""
        return damage(self.directory)

    def add(self, vectors: Any, rows: Iterable[Mapping[str, Any]]) -> Ids:
        """Add vectors [N, width] and a row for each (see `Row`; its "id" is optional); return their ids.

        Raises ValueError, one line, and adds nothing, for vectors that are not finite or zero or of another width, and
        for rows that are wrong or share an id, or recording, start, end and modality, with another.
        """
        return self.replace([], vectors, rows)

    def replace(self, ids: Iterable[int], vectors: Any, rows: Iterable[Mapping[str, Any]]) -> Ids:
        """`remove` these ids and `add` these vectors and rows, in one change; return the new ids."""
        array = check_vectors(vectors, self.space.width, dtype=self.dtype)
        given = list(rows)
        if len(given) != len(array):
            raise ValueError(f"there are {len(array)} vectors and {len(given)} rows; every vector needs its row")
        with self.locked():
            state, gone = self._state, self._present(ids)
            next_id, batch = state.manifest["next_id"], []
            for number, data in enumerate(given):
                batch.append(parse_row(number, data, self.space.modalities, next_id))
                next_id = max(next_id, batch[-1].id + 1)
            refuse_duplicates(batch, state, gone)
            new = np.array([row.id for row in batch], np.int64)
            draft = Draft(self.directory, state)
            draft.remove(gone)
            if batch:
                draft.append((new, array, batch), next_id)
            if batch or len(gone):
                self._commit(draft)
            return new

    def remove(self, ids: Iterable[int]) -> int:
        """Mark rows as removed, return how many; `compact` frees their space. Raises ValueError for an unknown id."""
        with self.locked():
            gone = self._present(ids)
            if len(gone):
                draft = Draft(self.directory, self._state)
                draft.remove(gone)
                self._commit(draft)
            return len(gone)

    def rename(self, recordings: Mapping[str, tuple[str, str]], remove: Iterable[int] = ()) -> None:
        """Give recordings (the keys) another name and path, and `remove` these ids, in one change.

        Ids, vectors and indexes stay. Names may be swapped; the caller sees to it that no two rows that stay come to
        share recording, start, end and modality.
        """
        with self.locked():
            gone = self._present(remove)
            if recordings or len(gone):
                draft = Draft(self.directory, self._state)
                draft.remove(gone)
                draft.rename(recordings)
                self._commit(draft)

    def compact(self) -> None:
        """Rewrite the segments as one, without what was removed. Ids stay; indexes must be built again."""
        with self.locked():
            stale = any("gone" in entry for entry in self._state.manifest["sides"])
            if len(self._state.segments) > 1 or len(self._state.removed) or stale:
                draft = Draft(self.directory, self._state)
                draft.compact()
                self._commit(draft)

    def put_index(self, make: Callable[[Save], IndexEntry], drop_outdated: bool = False) -> IndexEntry:
        """List an index of all present rows instead of the one of its kind.

        make: given `save(ending, write)`, which adds a file of the index and returns its name. drop_outdated: the other
        kinds' indexes that do not hold all rows go too. For use inside `locked`.
        """
        assert self._depth, "an index is put while the lock is held, from before its vectors were read"
        draft = Draft(self.directory, self._state)
        later, numbers = draft.manifest, itertools.count()

        def save(ending: str, write: Callable[[Path], object]) -> str:
            name = f"index-{later['version']}-{next(numbers)}.{ending}"
            draft.write(name, write)
            return name

        entry = make(save)
        others = [other for other in later["indexes"] if other["kind"] != entry["kind"]]
        if drop_outdated:
            others = [other for other in others if other["below"] == entry["below"]]
        later["indexes"] = [*others, entry]
        self._commit(draft)
        return entry

    def put_side(self, kind: str, ending: str, write: Callable[[Path], object]) -> None:
        """Add a side file, which `write` writes to the path it is given. For use inside `locked`."""
        assert self._depth, "a side file is put while the lock is held, so that the rows it tells of are there"
        draft = Draft(self.directory, self._state)
        name = f"{kind}-{draft.manifest['version']}.{ending}"
        draft.write(name, write)
        draft.manifest["sides"].append(SideEntry(kind=kind, file=name))
        self._commit(draft)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the writer's lock over several steps. Threads that share this object wait for each other."""
        with self._thread_lock:
            if self._depth:
                yield
                return
            with writer_lock(self.directory, self.wait_seconds):
                self._state = load_state(self.directory, self._state)
                sweep(self.directory, self._state)
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1

    def _present(self, ids: Iterable[int]) -> Ids:
        """Sorted, each once. Raises ValueError for an unknown id."""
        wanted = np.unique(as_ids(ids))
        places(wanted, self._state)
        return wanted

    def _commit(self, draft: Draft) -> None:
        draft.commit()
        self._state = load_state(self.directory, self._state)
        sweep(self.directory, self._state)
