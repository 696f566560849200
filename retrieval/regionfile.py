"""A file of regions: a vector for each cell of each window's picture, as bytes. SQLite, written once.

`cells` has a row for each window (id, scale: middles and steps, codes), `told` the shape and the basis onto which the
vectors are projected: the directions that hold most of their length, found once for a file from its first windows.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

COMPONENTS = 32
FIT_WINDOWS = 256  # windows from which the basis is found
STEPS = 254  # from the least to the greatest value of a component, so that codes are -127 to 127

Cells = NDArray[np.float32]
Block = tuple[Sequence[int], Cells]
Maps = NDArray[np.float64]

SCHEMA = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
CREATE TABLE told (shape TEXT NOT NULL, basis BLOB NOT NULL);
CREATE TABLE cells (id INTEGER PRIMARY KEY, scale BLOB NOT NULL, codes BLOB NOT NULL);
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
        try:
            self._connection = sqlite3.connect(address_of(path), uri=True, check_same_thread=False)
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
        asked = "SELECT id, scale, codes FROM cells WHERE id IN (SELECT value FROM json_each(?))"
        for identity, scale, codes in self._read(asked, (json.dumps([int(i) for i in ids]),)):
            cells = np.frombuffer(codes, np.int8).reshape(self.shape.height, self.shape.width, self.shape.kept)
            middles, steps = np.frombuffer(scale, "<f4").astype(np.float64).reshape(2, -1)
            found[identity] = middles @ short + cells.astype(np.float64) @ (steps * short)
        return found

    def _read(self, query: str, parameters: Sequence[str] = ()) -> Iterator[Any]:
        try:
            yield from self._connection.execute(query, tuple(parameters))
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.path} is damaged: {error}") from None


def write_chosen(path: Path, source: Path, ids: Mapping[int, int]) -> int:
    """Write a new file of some windows of another one, under other ids (old -> new); return how many were there.

    The caller fsyncs. Raises ValueError where the source is damaged.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None, uri=True)) as connection:
            connection.executescript(SCHEMA + "CREATE TEMP TABLE chosen (old INTEGER PRIMARY KEY, new INTEGER);")
            connection.execute("ATTACH ? AS source", (address_of(source),))
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO chosen VALUES (?, ?)", ids.items())
            connection.execute("INSERT INTO told SELECT shape, basis FROM source.told")
            copied = "SELECT new, scale, codes FROM source.cells JOIN chosen ON old = id ORDER BY new"
            count = connection.execute(f"INSERT INTO cells {copied}").rowcount
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise OSError(f"{path} cannot be written: {error}") from None
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{source} is damaged: {error}") from None
    return count


def address_of(path: Path) -> str:
    """As SQLite takes a file that never changes."""
    return path.resolve().as_uri() + "?mode=ro&immutable=1"


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


def _coded(ids: Sequence[int], cells: Cells, basis: NDArray[np.float64]) -> Iterator[tuple[int, bytes, bytes]]:
    short = (cells.astype(np.float64) @ basis).astype(np.float32)  # [N, h, w, kept]
    for identity, window in zip(ids, short, strict=True):
        least, greatest = window.min(axis=(0, 1)), window.max(axis=(0, 1))
        middles, steps = (least + greatest) / 2, (greatest - least) / STEPS
        codes = np.round((window - middles) / np.where(steps > 0, steps, 1)).astype(np.int8)
        yield int(identity), np.stack([middles, steps]).astype("<f4").tobytes(), codes.tobytes()
