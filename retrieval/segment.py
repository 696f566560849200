"""One immutable piece of a store: a file of vectors, one of their ids, and two of their rows."""

import mmap
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.columns import Columns, columns_of
from retrieval.files import sha256_of
from retrieval.manifest import SegmentEntry, names_of
from retrieval.rowfile import RowFile

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]

DTYPES = {"float32": "<f4", "float16": "<f2"}
CHUNK_BYTES = 64 << 20
SHORTEST, LONGEST = 1e-15, 1e15  # vectors whose products float32 can hold, with room for sums of them


def check_vectors(vectors: Any, width: int, what: str = "new", dtype: str = "float32") -> Vectors:
    """Vectors as contiguous float32 [N, width], every component rounded to the nearest that `dtype` can hold.

    Raises ValueError for another shape, and for a vector that is not finite, is zero, or is so short or long that
    float32 cannot hold inner products with it, also if only once rounded.
    """
    array = np.asarray(vectors)
    if array.ndim != 2 or array.shape[1] != width:
        raise ValueError(
            f"{what} vectors must be shaped [N, {width}], the width of the store's space, got {array.shape}"
        )
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{what} vectors must be numbers, got {array.dtype}")
    with np.errstate(over="ignore"):
        if dtype != "float32":
            array = array.astype(DTYPES[dtype])  # from the given precision: rounding twice may go another way
        array = np.ascontiguousarray(array, np.float32)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{what} vector {int(np.argmin(finite))} is not finite (NaN, infinite, or too large for {dtype})"
        )
    nonzero = array.any(axis=1)
    if not nonzero.all():
        raise ValueError(f"{what} vector {int(np.argmin(nonzero))} is zero, so it has no direction to compare")
    lengths = np.sqrt(np.einsum("nd,nd->n", array, array, dtype=np.float64))
    fits = (lengths >= SHORTEST) & (lengths <= LONGEST)
    if not fits.all():
        number = int(np.argmin(fits))
        raise ValueError(
            f"{what} vector {number} has length {lengths[number]:.3g}, which must be {SHORTEST:g} to {LONGEST:g}: "
            "scale the vectors"
        )
    return array


def contains(members: Ids, values: Ids) -> NDArray[np.bool_]:
    """Which of `values` are among `members`, which are sorted."""
    if not len(members) or not len(values):
        return np.zeros(len(values), np.bool_)
    found: NDArray[np.bool_] = members[np.minimum(np.searchsorted(members, values), len(members) - 1)] == values
    return found


def write_array(path: Path, blocks: Iterable[NDArray[Any]], descr: str, shape: tuple[int, ...]) -> None:
    """Write an array as .npy, a block of its first axis at a time. The caller fsyncs."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
        written = 0
        for block in blocks:
            file.write(np.ascontiguousarray(block, descr).data)
            written += len(block)
    assert written == shape[0], (written, shape)


class Segment:
    """An open segment. It keeps its files open, so a writer that deletes them does not disturb this reader.

    Sizes are checked when it is opened, hashes (of `files`: name -> {"sha256", "bytes"}) before a file's first use.
    """

    def __init__(
        self, directory: Path, entry: SegmentEntry, files: Mapping[str, Mapping[str, Any]], width: int, dtype: str
    ):
        """Raises FileNotFoundError when a file is not there, ValueError when its size is not the listed one."""
        self.vectors_name, self.ids_name, self.rows_name = entry["vectors"], entry["ids"], entry["rows"]
        self.columns_name = entry.get("columns", "")
        self.count, self.width, self._descr = entry["count"], width, DTYPES[dtype]
        names = names_of(entry)
        self.hashes = hashes_of(entry, files)
        self._hashes = dict(zip(names, self.hashes, strict=True))
        self._checked: set[str] = set()
        self._vectors: NDArray[Any] | None = None
        self._ids: Ids | None = None
        self._columns: Columns | None = None
        self._modalities = ""
        self._first: int | None = None
        self._sorted: tuple[Ids, NDArray[np.intp] | None] | None = None
        self._directory = directory
        with ExitStack() as opened:
            self._descriptors = {name: _open(directory / name, opened) for name in names}
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
        """Ids in the order of the vectors, [count], read only."""
        if self._ids is None:
            self._ids = self._mapped(self.ids_name, "<i8", (self.count,))
        return self._ids

    @property
    def columns(self) -> Columns:
        """The rows by position."""
        if self._columns is None:
            if self.columns_name:
                self._check(self.columns_name)
                self._columns = Columns(mmap.mmap(self._descriptors[self.columns_name], 0, prot=mmap.PROT_READ))
            else:
                self._columns = columns_of(self.rows.stored())  # of a store made before there was such a file
        return self._columns

    @property
    def modalities(self) -> str:
        """Digest of the modalities of the rows, in the order of the vectors."""
        if not self._modalities:
            self._modalities = self.columns.modalities()
        return self._modalities

    def positions(self, ids: Ids) -> NDArray[np.intp]:
        """Where in the segment the vectors of these ids stand; -1 for ids that are not here."""
        if self._sorted is None:
            rising = bool((self.ids[1:] > self.ids[:-1]).all())
            order = None if rising else np.argsort(self.ids)
            if rising and int(self.ids[-1] - self.ids[0]) == self.count - 1:
                self._first = int(self.ids[0])
            self._sorted = (self.ids if order is None else self.ids[order], order)
        if self._first is not None:  # ids without gaps, as a store gives them, are their own positions
            places: NDArray[np.intp] = ids - self._first
            return np.where((places >= 0) & (places < self.count), places, -1)
        members, order = self._sorted
        place = np.minimum(np.searchsorted(members, ids), self.count - 1)
        return np.where(members[place] == ids, place if order is None else order[place], -1)

    def vectors(self, positions: Any) -> Vectors:
        """Vectors at these positions, an index or a slice, [n, width]; read only where they need no copy."""
        if self._vectors is None:
            self._vectors = self._mapped(self.vectors_name, self._descr, (self.count, self.width))
        found: Vectors = self._vectors[positions].astype(np.float32, copy=False)
        return found

    def blocks(self, removed: Ids) -> Iterator[tuple[Ids, Vectors]]:
        """Ids and vectors that are not removed, in order, some tens of megabytes at a time."""
        step = max(1, CHUNK_BYTES // (4 * self.width))
        for first in range(0, self.count, step):
            ids = self.ids[first : first + step]
            kept = ~contains(removed, ids)
            if kept.all():
                yield ids, self.vectors(slice(first, first + step))
            elif kept.any():
                yield ids[kept], self.vectors(first + np.flatnonzero(kept))

    def _mapped(self, name: str, descr: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """The numbers of a file, from its end: what precedes them is the .npy header."""
        self._check(name)
        data = mmap.mmap(self._descriptors[name], 0, prot=mmap.PROT_READ)
        count = int(np.prod(shape))
        offset = len(data) - count * np.dtype(descr).itemsize
        if offset < 0:
            raise ValueError(f"{self._directory / name} holds fewer than the {shape[0]} entries the manifest lists")
        return np.frombuffer(data, descr, count, offset).reshape(shape)

    def _check(self, name: str) -> None:
        if name not in self._checked:
            if sha256_of(self._descriptors[name]) != self._hashes[name]:
                raise ValueError(f"{self._directory / name} is damaged: its content is not what was written")
            self._checked.add(name)


def hashes_of(entry: SegmentEntry, files: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """SHA-256 of a segment's files: equal only for the same segment."""
    return tuple(files[name]["sha256"] for name in names_of(entry))


def _open(path: Path, opened: ExitStack) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    opened.callback(os.close, descriptor)
    return descriptor
