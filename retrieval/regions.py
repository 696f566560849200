"""A vector for each cell of a window's picture, so that a query finds the moment and the box where it is.

What localizes compares a query with every place of a picture by inner products. Kept for a window, these places'
vectors answer the same question without the network or the recording. In full they would be large (12 x 12 cells of
352 components in float16: 101 kB a window, seventy times the window's own vector), so they are projected onto the
directions that hold most of their length (a basis found once for a file, from its first windows) and kept as bytes
between the least and greatest value that a component has in that window, so that a map is fine however flat it is:
(cells + 8) x components and what SQLite adds, 5.3 kB at 32 components.

A file of regions is SQLite, written once: `cells` has a row for each window (id, scale: middles and steps, codes),
`told` the shape and the basis. A store lists such files in its manifest; each has a basis of its own.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.boxes import box_of
from retrieval.files import sha256_of
from retrieval.moments import Hit
from retrieval.search import beside
from retrieval.store import Store

COMPONENTS = 32
FIT_WINDOWS = 256  # windows from which the basis is found
STEPS = 254  # from the least to the greatest value of a component, so that codes are -127 to 127
KIND = "regions"

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

    def ids(self) -> set[int]:
        """Ids of the rows that have regions, of removed ones too."""
        return {identity for file in self._files for identity in file.ids()}

    def __bool__(self) -> bool:
        return bool(self._files)

    def maps(self, ids: Sequence[int], query: Any) -> dict[int, Maps]:
        """Score maps [h, w] of those of these rows that have regions."""
        found: dict[int, Maps] = {}
        for file in self._files:
            found |= file.maps(ids, query)
        return found


def add_regions(store: Store, blocks: Iterable[Block], components: int = COMPONENTS) -> None:
    """Give rows of a store regions: a further file in its manifest. Raises ValueError as `write_regions` does.

    Making them may take hours, so they are made aside, and others may write meanwhile.
    """
    with TemporaryDirectory() as aside:
        made = Path(aside) / "regions.sqlite"
        write_regions(made, blocks, components)
        with store.locked():
            store.put_side(KIND, "sqlite", lambda path: copyfile(made, path))


def locate(
    store: Store, regions: Regions, hits: Sequence[Hit], query: Any, threshold: float | None = None
) -> list[Hit]:
    """The hits with the box of what is sought, where the store has regions at the time of their best window.

    query: [D], compared with the places. threshold: score from which on a place counts; what nowhere reaches it gets
    no box. A hit that is not itself a picture, such as a sound, gets the box in the picture of that time.
    """
    told = []
    for hit in hits:
        maps = regions.maps([hit.id], query) or regions.maps([row.id for row in beside(store, hit)], query)
        best = max(maps.values(), key=lambda scores: float(scores.max()), default=None)
        found = None if best is None else box_of(best, threshold)
        told.append(hit if found is None else replace(hit, box=found.box))
    return told


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
