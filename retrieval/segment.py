"""One immutable piece of a store: a file of vectors and the file of their rows."""

import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.files import sha256_of
from retrieval.rows import Row, RowFile

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]

CHUNK_BYTES = 64 << 20


def check_vectors(vectors: Any, width: int, what: str = "new") -> Vectors:
    """Vectors as contiguous float32 [N, width]. Raises ValueError for another shape, and for one not finite or zero."""
    array = np.asarray(vectors)
    if array.ndim != 2 or array.shape[1] != width:
        raise ValueError(
            f"{what} vectors must be shaped [N, {width}], the width of the store's space, got {array.shape}"
        )
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{what} vectors must be numbers, got {array.dtype}")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, np.float32)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{what} vector {int(np.argmin(finite))} is not finite (NaN, infinite, or too large for float32)"
        )
    nonzero = array.any(axis=1)
    if not nonzero.all():
        raise ValueError(f"{what} vector {int(np.argmin(nonzero))} is zero, so it has no direction to compare")
    return array


def write_vectors(path: Path, blocks: Iterator[Vectors], count: int, width: int) -> None:
    """Write float32 [count, width] as .npy, a block at a time. The caller fsyncs."""
    with open(path, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
        np.lib.format.write_array_header_1_0(file, header)
        written = 0
        for block in blocks:
            file.write(np.ascontiguousarray(block, "<f4").data)
            written += len(block)
    assert written == count, (written, count)


class Segment:
    """An open segment. It keeps its files open, so a writer that deletes them does not disturb this reader.

    Sizes are checked when it is opened, hashes (of `files`: name -> {"sha256", "bytes"}) before a file's first use.
    """

    def __init__(self, directory: Path, entry: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]], width: int):
        """Raises FileNotFoundError when a file is not there, ValueError when its size is not the listed one."""
        self.vectors_name, self.rows_name = str(entry["vectors"]), str(entry["rows"])
        self.count, self.width = int(entry["count"]), width
        self._hashes = {name: str(files[name]["sha256"]) for name in (self.vectors_name, self.rows_name)}
        self._checked: set[str] = set()
        self._ids: Ids | None = None
        self._directory = directory
        with ExitStack() as opened:
            self._descriptors = {name: _open(directory / name, opened) for name in self._hashes}
            self._rows = RowFile(directory / self.rows_name)
            opened.callback(self._rows.close)
            for name, descriptor in self._descriptors.items():
                size, listed = os.fstat(descriptor).st_size, files[name]["bytes"]
                if size != listed:
                    raise ValueError(f"{directory / name} is damaged: {size} bytes instead of {listed}")
            # A segment that a writer has replaced may still be read by another thread: it closes when nobody has it.
            self.close = weakref.finalize(self, opened.pop_all().close)

    @property
    def rows(self) -> RowFile:
        """The rows, after their hash was checked once."""
        self._check(self.rows_name)
        return self._rows

    @property
    def ids(self) -> Ids:
        """Ids in the order of the vectors, [count]; do not change it."""
        if self._ids is None:
            self._ids = np.array(self.rows.ids(), np.int64)
            if len(self._ids) != self.count:
                raise ValueError(f"{self._directory / self.rows_name} holds {len(self._ids)} rows, not {self.count}")
        return self._ids

    def blocks(self, removed: Ids) -> Iterator[tuple[Ids, Vectors]]:
        """Ids and vectors that are not removed, in order, some tens of megabytes at a time."""
        step = max(1, CHUNK_BYTES // (4 * self.width))
        for first in range(0, self.count, step):
            ids = self.ids[first : first + step]
            kept = ~np.isin(ids, removed)
            if kept.any():
                yield ids[kept], self._read(first, len(ids))[kept]

    def live_rows(self, removed: Ids) -> Iterator[Row]:
        """Rows that are not removed, in the order of the vectors."""
        gone = set(removed.tolist())
        return (row for row in self.rows.rows() if row.id not in gone)

    def vectors(self, ids: Sequence[int]) -> dict[int, Vectors]:
        """Vectors [width] of those ids that are here."""
        return {identity: self._read(place, 1)[0] for identity, place in self.rows.positions(ids).items()}

    def _read(self, first: int, count: int) -> Vectors:
        self._check(self.vectors_name)
        descriptor = self._descriptors[self.vectors_name]
        size = os.fstat(descriptor).st_size - 4 * self.width * self.count  # what precedes the numbers: the .npy header
        data = os.pread(descriptor, 4 * self.width * count, size + 4 * self.width * first)
        return np.frombuffer(data, "<f4").reshape(count, self.width)

    def _check(self, name: str) -> None:
        if name not in self._checked:
            if sha256_of(self._descriptors[name]) != self._hashes[name]:
                raise ValueError(f"{self._directory / name} is damaged: its content is not what was written")
            self._checked.add(name)


def _open(path: Path, opened: ExitStack) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    opened.callback(os.close, descriptor)
    return descriptor
