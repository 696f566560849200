"""What answers a query: one protocol, kept by a store in a directory with its FAISS index, and by Milvus.

A directory is the truth: it survives crashes, verifies, and holds everything. A Milvus, embedded or a cluster, is a
copy that many machines can search; `mirror` makes it equal to the directory, however far it was before.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval import index as indexes
from retrieval.moments import Hit
from retrieval.rows import Parameter, Row
from retrieval.search import search
from retrieval.segment import Ids, Vectors
from retrieval.space import Space
from retrieval.store import Store

BLOCK_ROWS = 4096  # rows that are read and sent together


class Engine(Protocol):
    """Holds vectors with their rows and finds the nearest. What is wrong raises ValueError, one line; what is not
    there (a file, a server) OSError.
    """

    @property
    def space(self) -> Space:
        """Where its vectors live."""

    def __len__(self) -> int:
        """How many vectors it holds."""

    def add(self, vectors: Any, rows: Iterable[Mapping[str, Any]]) -> Ids:
        """Add vectors [N, width] with a row for each; return their ids [N]."""

    def remove(self, ids: Iterable[int]) -> int:
        """Remove rows; return how many. An unknown id is an error, and nothing is removed."""

    def rows(self, ids: Iterable[int]) -> list[Row]:
        """The rows of these ids, in this order."""

    def vectors(self, ids: Iterable[int]) -> Vectors:
        """The vectors of these ids, in this order, [N, width]."""

    def search(
        self,
        vectors: Any,
        *,
        k: int = 10,
        modality: str | None = None,
        where: str | tuple[str, Sequence[Parameter]] | None = None,
        exclude_recording: str | Sequence[str | None] | None = None,
        space: Space | None = None,
    ) -> Sequence[Sequence[Hit]]:
        """The k best windows for each of the queries [Q, width]; the arguments are those of `retrieval.search`.

        `retrieval.moments.merged` makes moments of them.
        """

    def close(self) -> None:
        """Let go of files and connections."""


class Directory:
    """A store in a directory as an engine: its index is built or extended when it is first searched after a change."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._index: indexes.Index | None = None

    @property
    def space(self) -> Space:
        """Where its vectors live."""
        return self.store.space

    def __len__(self) -> int:
        return len(self.store)

    def add(self, vectors: Any, rows: Iterable[Mapping[str, Any]]) -> Ids:
        """See `Store.add`."""
        return self.store.add(vectors, rows)

    def remove(self, ids: Iterable[int]) -> int:
        """See `Store.remove`."""
        return self.store.remove(ids)

    def rows(self, ids: Iterable[int]) -> list[Row]:
        """See `Store.rows`."""
        return self.store.rows(ids)

    def vectors(self, ids: Iterable[int]) -> Vectors:
        """See `Store.vectors`."""
        return self.store.vectors(ids)

    def search(
        self,
        vectors: Any,
        *,
        k: int = 10,
        modality: str | None = None,
        where: str | tuple[str, Sequence[Parameter]] | None = None,
        exclude_recording: str | Sequence[str | None] | None = None,
        space: Space | None = None,
    ) -> Sequence[Sequence[Hit]]:
        """See `retrieval.search.search`."""
        if self._index is None or not self._index.fits(self.store.held, self.store.removed):
            self._index = indexes.update(self.store)[0]
        return search(
            self.store,
            self._index,
            vectors,
            k=k,
            modality=modality,
            where=where,
            exclude_recording=exclude_recording,
            space=space,
        )

    def close(self) -> None:
        """Let go of the store's files."""
        self.store.close()


class Copy(Protocol):
    """An engine that can be made equal to a store: it knows the digest of what it holds under each id."""

    @property
    def space(self) -> Space:
        """Where its vectors live."""

    def digests(self) -> dict[int, str]:
        """The `digest_of` everything it holds, by id."""

    def drop(self, ids: Ids) -> None:
        """Remove what is known to be there."""

    def put(self, vectors: Vectors, rows: Sequence[Row]) -> None:
        """Insert what is known not to be there."""


class Mirrored(NamedTuple):
    """What `mirror` did."""

    added: int
    removed: int
    kept: int


def mirror(store: Store, copy: Copy) -> Mirrored:
    """Make a copy hold exactly what a store holds, under the same ids; what is equal already is not sent again.

    Killed anywhere, it goes on from there when it is run again: until then the copy holds some of the changes.
    Raises ValueError when the copy holds vectors of another space.
    """
    store = store.snapshot()
    store.space.check(copy.space)
    held = copy.digests()
    wanted = store.ids()
    extra = np.setdiff1d(np.array(sorted(held), np.int64), wanted)
    copy.drop(extra)
    added, changed = 0, 0
    for ids, vectors in _blocks(store):
        rows = store.rows(ids)
        told = [digest_of(row, vector) for row, vector in zip(rows, vectors, strict=True)]
        missing = [place for place, row in enumerate(rows) if held.get(row.id) != told[place]]
        outdated = np.array([rows[place].id for place in missing if rows[place].id in held], np.int64)
        copy.drop(outdated)
        if missing:
            copy.put(vectors[missing], [rows[place] for place in missing])
        added += len(missing)
        changed += len(outdated)
    return Mirrored(added, len(extra) + changed, len(wanted) - added)


def digest_of(row: Row, vector: NDArray[np.float32]) -> str:
    """SHA-256, in hex, of a row and its vector [width]: equal when nothing about them differs."""
    told = hashlib.sha256(np.ascontiguousarray(vector, "<f4").tobytes())
    told.update(row_json(row).encode())
    return told.hexdigest()


def row_json(row: Row) -> str:
    """A row as the one JSON object that stands for it; `Row(**json.loads(text))` reads it back."""
    return json.dumps(asdict(row), ensure_ascii=False, sort_keys=True)


def _blocks(store: Store) -> Iterator[tuple[Ids, Vectors]]:
    for ids, vectors in store.blocks():
        for first in range(0, len(ids), BLOCK_ROWS):
            yield ids[first : first + BLOCK_ROWS], vectors[first : first + BLOCK_ROWS]
