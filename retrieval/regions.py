"""A vector for each cell of a window's picture, so that a query finds the moment and the box where it is.

What localizes compares a query with every place of a picture by inner products. Kept for a window, these places'
vectors answer the same question without the network or the recording. In full they would be large (12 x 12 cells of
352 components in float16: 101 kB a window, seventy times the window's own vector), so they are projected onto the
directions that hold most of their length (a basis found once for a file, from its first windows) and kept as bytes
with one factor per window: cells x components + about 30 bytes, 4.7 kB at 32 components.

A file of regions is SQLite, written once: `cells` has a row for each window (id, factor, codes), `told` the shape and
the basis. A store lists such files in its manifest; each has the ids of its rows and a basis of its own.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.files import sha256_of
from retrieval.store import Store

COMPONENTS = 32
FIT_WINDOWS = 256  # windows from which the basis is found
LARGEST = 127
SMALLEST = 1e-30  # a window of zeros has a factor too
KIND = "regions"

Cells = NDArray[np.float32]
Block = tuple[Sequence[int], Cells]
Maps = NDArray[np.float64]

SCHEMA = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
CREATE TABLE told (shape TEXT NOT NULL, basis BLOB NOT NULL);
CREATE TABLE cells (id INTEGER PRIMARY KEY, factor REAL NOT NULL, codes BLOB NOT NULL);
"""


class Shape(NamedTuple):
    """Of a file: cells down and across, components of a cell as the network gives it and as it is kept."""

    height: int
    width: int
    full: int
    kept: int


def write_regions(path: Path, blocks: Iterable[Block], components: int = COMPONENTS) -> int:
    """Write a new file of regions and return how many windows it holds. The caller fsyncs.

    blocks: ids and cells [N, h, w, D] of some windows at a time, all of one shape. Raises ValueError for cells that are
    not finite or of another shape than the first, and for no windows at all.
    """
    if components < 1:
        raise ValueError(f"regions need at least 1 component, got {components}")
    waiting = iter(blocks)
    first, shape = _first(waiting)
    joined = np.concatenate([cells for _, cells in first]).reshape(-1, shape[2])
    basis = _basis(joined, components)
    told = Shape(*shape, basis.shape[1])
    count = 0
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript(SCHEMA + "BEGIN;")
            stored = (json.dumps(told._asdict()), basis.astype("<f4").tobytes())
            connection.execute("INSERT INTO told VALUES (?, ?)", stored)
            for ids, cells in _chained(first, waiting):
                _check(cells, shape)
                rows = list(_coded(ids, cells, basis))
                connection.executemany("INSERT INTO cells VALUES (?, ?, ?)", rows)
                count += len(rows)
            connection.execute("COMMIT")
    except sqlite3.IntegrityError:
        raise ValueError("two windows of the regions have one id") from None
    except sqlite3.OperationalError as error:
        raise OSError(f"{path} cannot be written: {error}") from None
    return count


class RegionFile:
    """A file of regions, read only."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError, one line, for a file that is none."""
        self.path = path
        address = path.resolve().as_uri() + "?mode=ro&immutable=1"
        try:
            self._connection = sqlite3.connect(address, uri=True, check_same_thread=False)
            shape, basis = self._connection.execute("SELECT shape, basis FROM told").fetchone()
            self.shape = Shape(**json.loads(shape))
            self._basis = np.frombuffer(basis, "<f4").reshape(self.shape.full, self.shape.kept)
        except (sqlite3.DatabaseError, ValueError, TypeError):
            raise ValueError(f"{path} is no file of regions, or damaged") from None

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def ids(self) -> list[int]:
        """Ids of its windows."""
        return [row[0] for row in self._read("SELECT id FROM cells ORDER BY id")]

    def maps(self, ids: Sequence[int], query: Any) -> dict[int, Maps]:
        """Score maps [h, w] of those of these windows that are here: the query's [D] inner products with their cells.

        Raises ValueError for a query of another width.
        """
        wanted = np.asarray(query, np.float64)
        if wanted.shape != (self.shape.full,):
            raise ValueError(
                f"{self.path} has cells of width {self.shape.full}, the query has shape {wanted.shape}: embed the "
                "regions again with the same run"
            )
        short = wanted @ self._basis
        found = {}
        asked = "SELECT id, factor, codes FROM cells WHERE id IN (SELECT value FROM json_each(?))"
        for identity, factor, codes in self._read(asked, (json.dumps([int(i) for i in ids]),)):
            cells = np.frombuffer(codes, np.int8).reshape(self.shape.height, self.shape.width, self.shape.kept)
            found[identity] = factor * (cells.astype(np.float64) @ short)
        return found

    def renumbered(self, ids: Sequence[int]) -> Iterator[tuple[int, float, bytes]]:
        """Its windows' rows with other ids: window n becomes ids[n]."""
        for identity, factor, codes in self._read("SELECT id, factor, codes FROM cells ORDER BY id"):
            yield int(ids[identity]), factor, codes

    def copy(self, path: Path, ids: Sequence[int]) -> None:
        """Write it anew with other ids: window n becomes ids[n]. The caller fsyncs."""
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.executescript(SCHEMA + "BEGIN;")
                told = (json.dumps(self.shape._asdict()), self._basis.astype("<f4").tobytes())
                connection.execute("INSERT INTO told VALUES (?, ?)", told)
                connection.executemany("INSERT INTO cells VALUES (?, ?, ?)", self.renumbered(ids))
                connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise OSError(f"{path} cannot be written: {error}") from None
        except IndexError:
            raise ValueError(f"{self.path} has more windows than the {len(ids)} rows it goes with") from None

    def _read(self, query: str, parameters: Sequence[str] = ()) -> Iterator[Any]:
        try:
            yield from self._connection.execute(query, tuple(parameters))
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.path} is damaged: {error}") from None


class Regions:
    """All regions of a store as it is now; files are hashed when they are opened."""

    def __init__(self, store: Store) -> None:
        """Raises ValueError for a file that is missing or not what was written."""
        self._files = []
        for name in store.sides(KIND):
            path = store.directory / name
            try:
                with open(path, "rb") as file:
                    intact = sha256_of(file.fileno()) == store.manifest["files"][name]["sha256"]
            except FileNotFoundError:
                raise ValueError(f"{path} is missing") from None
            if not intact:
                raise ValueError(f"{path} is damaged: its content is not what was written")
            self._files.append(RegionFile(path))

    def __bool__(self) -> bool:
        return bool(self._files)

    def maps(self, ids: Sequence[int], query: Any) -> dict[int, Maps]:
        """Score maps [h, w] of those of these rows that have regions."""
        found: dict[int, Maps] = {}
        for file in self._files:
            found |= file.maps(ids, query)
        return found


def add_regions(store: Store, blocks: Iterable[Block], components: int = COMPONENTS) -> None:
    """Give rows of a store regions: a further file in its manifest. Raises ValueError as `write_regions` does."""
    with store.locked():
        store.put_side(KIND, "sqlite", lambda path: write_regions(path, blocks, components))


def adopt_regions(store: Store, path: Path, ids: Sequence[int]) -> None:
    """Likewise, from a file whose windows are numbered: window n is the row with id ids[n]."""
    with closing(RegionFile(path)) as source, store.locked():
        store.put_side(KIND, "sqlite", lambda target: source.copy(target, ids))


def _first(blocks: Iterator[Block]) -> tuple[list[Block], tuple[int, int, int]]:
    """The first windows, enough for a basis, and their shape (h, w, D)."""
    held: list[Block] = []
    shape = None
    for ids, cells in blocks:
        if shape is None:
            if np.ndim(cells) != 4:
                raise ValueError(f"cells must be [windows, height, width, components], got shape {np.shape(cells)}")
            shape = cells.shape[1:]
        _check(cells, shape)
        held.append((ids, cells))
        if sum(len(cells) for _, cells in held) >= FIT_WINDOWS:
            break
    if shape is None or not any(len(cells) for _, cells in held):
        raise ValueError("there are no windows to make regions of")
    return held, (int(shape[0]), int(shape[1]), int(shape[2]))


def _chained(first: Sequence[Block], rest: Iterator[Block]) -> Iterator[Block]:
    yield from first
    yield from rest


def _check(cells: Cells, shape: Sequence[int]) -> None:
    if np.shape(cells)[1:] != tuple(shape):
        raise ValueError(f"windows of a file have cells of one shape: {tuple(shape)}, not {np.shape(cells)[1:]}")
    if not np.isfinite(cells).all():
        raise ValueError("cells must be finite")


def _basis(vectors: Cells, components: int) -> NDArray[np.float64]:
    """The directions [D, components] that hold most of the vectors' [N, D] length. Not centred: inner products stay."""
    wide = vectors.astype(np.float64)
    values, directions = np.linalg.eigh(wide.T @ wide)
    order = np.argsort(values)[::-1][:components]
    return directions[:, order]


def _coded(ids: Sequence[int], cells: Cells, basis: NDArray[np.float64]) -> Iterator[tuple[int, float, bytes]]:
    short = cells.astype(np.float64) @ basis  # [N, h, w, kept]
    for identity, window in zip(ids, short, strict=True):
        factor = max(float(np.abs(window).max()), SMALLEST) / LARGEST
        yield int(identity), factor, np.round(window / factor).astype(np.int8).tobytes()
