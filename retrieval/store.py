"""Vectors and their rows in a directory that survives crashes, several readers and one writer.

Data files are immutable and versioned (`vectors-<n>.npy`, `ids-<n>.npy`, `rows-<n>.sqlite`, `index-<n>.faiss`);
`manifest.json` lists them with their hashes and is replaced at once. So a change has happened entirely or not at all,
and a reader goes on with the files it opened. New rows join the segments that are no larger than they are, so n adds of
one row leave about log2(n) segments and every row is rewritten about log2(n) times.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval import manifest as manifests
from retrieval.files import writer_lock
from retrieval.filters import check_where
from retrieval.manifest import IndexEntry, Manifest, SideEntry
from retrieval.originals import Originals
from retrieval.rows import Held, Parameter, Row, parse_row
from retrieval.segment import DTYPES, Ids, Segment, Vectors, check_vectors, contains
from retrieval.space import Space
from retrieval.state import State, damage, load_state
from retrieval.writing import Draft, refuse_duplicates, sweep

Save = Callable[[str, Callable[[Path], object]], str]  # (ending, how to write) -> name of the file in the store
ANSWERS = 8  # filters whose answers are remembered


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

    def __len__(self) -> int:
        state = self._state
        return sum(segment.count for segment in state.segments) - len(state.removed)

    @property
    def dtype(self) -> str:
        """How vectors are kept on disk: "float32" or "float16"."""
        return self._state.manifest["dtype"]

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
        wanted, state = _as_ids(ids), self._state
        found: dict[int, Row] = {}
        for segment, _, positions in _places(wanted, state):
            found.update((row.id, row) for row in segment.rows.rows(np.unique(positions).tolist()))
        return [found[identity] for identity in wanted.tolist()]

    def vectors(self, ids: Iterable[int]) -> Vectors:
        """Vectors of these ids, in this order, [N, width]. Raises ValueError for an unknown id."""
        wanted, state = _as_ids(ids), self._state
        vectors = np.empty((len(wanted), self.space.width), np.float32)
        for segment, here, positions in _places(wanted, state):
            vectors[here] = segment.vectors(positions)
        return vectors

    def blocks(self) -> Iterator[tuple[Ids, Vectors]]:
        """Every id and vector, some tens of megabytes at a time; do not change them."""
        state = self._state
        for segment in state.segments:
            yield from segment.blocks(state.removed)

    def ids(self, where: str | None = None, parameters: Sequence[Parameter] = ()) -> Ids:
        """Sorted ids of the rows that meet an SQL condition on their columns, or of all; read only.

        where: such as "modality = ? AND extra ->> 'kind' = 'bell'", with one of `parameters` for each question mark.
        The last answers are remembered. Raises ValueError for a condition that is wrong or is more than a condition.
        """
        state, question = self._state, (where, tuple(parameters))
        answer = state.answers.get(question)
        if answer is None:
            if where is not None:
                check_where(where, parameters)
            parts = [np.empty(0, np.int64)]
            for segment in state.segments:
                parts.append(
                    segment.ids if where is None else np.array(segment.rows.matching(where, parameters), np.int64)
                )
            found = np.sort(np.concatenate(parts))
            answer = found[~contains(state.removed, found)]
            answer.setflags(write=False)
            for oldest in list(state.answers)[: 1 - ANSWERS]:
                state.answers.pop(oldest, None)
            state.answers[question] = answer
        return answer

    def recordings(self) -> dict[str, Held]:
        """What is held of each recording, in the order in which they were added."""
        state = self._state
        found: dict[str, Held] = {}
        for segment in state.segments:
            kept = (~contains(state.removed, segment.ids)).tolist()
            before = None
            for told, stays in zip(segment.rows.recordings(), kept, strict=True):
                if stays and told != before:
                    recording, path, content = before = told
                    held = found.setdefault(recording, Held(set(), set()))
                    held.paths.add(path)
                    held.contents.add(content)
        return found

    def ids_of(self, recordings: Iterable[str]) -> Ids:
        """Sorted ids of all rows of these recordings; there may be none."""
        state = self._state
        found = [i for name in recordings for segment in state.segments for i in segment.rows.ids_of(name)]
        ids = np.unique(np.array(found, np.int64))
        return ids[~contains(state.removed, ids)]

    def ids_at(self, recording: str, start: float, end: float) -> Ids:
        """Sorted ids of the rows of a recording that share time with `start` to `end`, or are exactly these seconds."""
        state = self._state
        ids = np.unique(np.array([i for s in state.segments for i in s.rows.ids_at(recording, start, end)], np.int64))
        return ids[~contains(state.removed, ids)]

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
            if len(self._state.segments) > 1 or len(self._state.removed):
                draft = Draft(self.directory, self._state)
                draft.compact()
                self._commit(draft)

    def originals(self) -> Originals:
        """The vectors as they are now, found by id; removed ones may be found too."""
        state = self._state
        return Originals(state.segments, self.space.width, self.dtype)

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

    def sides(self, kind: str) -> list[str]:
        """Names of the side files of this kind, in the order in which they came."""
        return [entry["file"] for entry in self._state.manifest["sides"] if entry["kind"] == kind]

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
        wanted = np.unique(_as_ids(ids))
        _places(wanted, self._state)
        return wanted

    def _commit(self, draft: Draft) -> None:
        draft.commit()
        self._state = load_state(self.directory, self._state)
        sweep(self.directory, self._state)


def _as_ids(ids: Iterable[int]) -> Ids:
    if isinstance(ids, np.ndarray) and ids.dtype.kind in "iu":
        return ids.astype(np.int64, copy=False)
    return np.array([int(identity) for identity in ids], np.int64)


def _places(wanted: Ids, state: State) -> list[tuple[Segment, NDArray[np.intp], NDArray[np.intp]]]:
    """Segments that hold some of these ids: which of the ids, and where in the segment. ValueError for unknown ids."""
    unknown = np.ones(len(wanted), np.bool_)
    found = []
    for segment in state.segments if len(wanted) else ():
        positions = segment.positions(wanted)
        here = np.flatnonzero(positions >= 0)
        if len(here):
            found.append((segment, here, positions[here]))
            unknown[here] = False
    unknown |= contains(state.removed, wanted)
    if unknown.any():
        raise ValueError(f"the store holds no id {wanted[np.argmax(unknown)]}")
    return found
