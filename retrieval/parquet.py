"""A store as one Parquet file, and back: rows with their vectors, for any tool that reads Parquet.

Columns are those of a row (`extra` as JSON) and `vector`, a list of float32 of fixed size; the space stands in the
file's metadata. So does the SHA-256 of the content: the checksums of Parquet's own do not cover all of a file. Regions
are left out: they are bytes that only a store can read, and a run makes them again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.files import TEMPORARY, replacing, sync_directory
from retrieval.manifest import NAME as MANIFEST
from retrieval.segment import Vectors
from retrieval.space import Space
from retrieval.store import Store

SPACE, CONTENT = b"retrieval_space", b"retrieval_sha256"
BLOCK_ROWS = 16_384  # rows in memory at a time
NUMBERS = ("id", "start", "end")
TEXTS = ("recording", "path", "content", "modality", "narration", "extra")


def export(store: Store, path: str | Path) -> int:
    """Write all of a store to a file that appears whole or not at all; return how many rows.

    A link is followed. Raises ImportError without pyarrow; ValueError when the file has no folder, is no regular file
    or would lie in a store.
    """
    arrow, parquet = _import()
    path = _target(Path(path))
    store = store.snapshot()
    width = store.space.width
    fields = [("id", arrow.int64()), ("start", arrow.float64()), ("end", arrow.float64())]
    fields += [(name, arrow.string()) for name in TEXTS]
    fields += [("vector", arrow.list_(arrow.field("element", arrow.float32(), nullable=False), width))]
    schema = arrow.schema(
        [arrow.field(*field, nullable=False) for field in fields], metadata={SPACE: store.space.to_json()}
    )
    count, content = 0, hashlib.sha256(store.space.to_json().encode())
    with (
        replacing(path) as temporary,
        parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for ids, vectors in store.blocks():
            for first in range(0, len(ids), BLOCK_ROWS):
                rows = store.rows(ids[first : first + BLOCK_ROWS])
                held = vectors[first : first + BLOCK_ROWS]
                columns: dict[str, Any] = {
                    name: [getattr(row, name) for row in rows] for name in (*NUMBERS, *TEXTS[:-1])
                }
                columns["extra"] = [json.dumps(dict(row.extra), ensure_ascii=False, sort_keys=True) for row in rows]
                _tell(content, columns, held)
                flat = arrow.array(np.ascontiguousarray(held, np.float32).reshape(-1))
                columns["vector"] = arrow.FixedSizeListArray.from_arrays(flat, type=schema.field("vector").type)
                writer.write_table(arrow.table(columns, schema=schema))
                count += len(rows)
        writer.add_key_value_metadata({CONTENT.decode(): content.hexdigest()})
    return count


def read_space(path: str | Path) -> Space:
    """The space of a file that `export` wrote. Raises ValueError for any other."""
    _, parquet = _import()
    with _damage_of(path), parquet.ParquetFile(path) as file:
        told = (file.schema_arrow.metadata or {}).get(SPACE)
    if told is None:
        raise ValueError(f"{path} is not ours: it does not say what space its vectors live in")
    try:
        return Space.from_json(told.decode())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def read(path: str | Path) -> Iterator[tuple[Vectors, list[dict[str, Any]]]]:
    """Vectors [N, width] and rows, with their ids, some thousands at a time.

    Raises ValueError for a damaged file, in the end at the latest: until then, keep nothing for good.
    """
    _, parquet = _import()
    space = read_space(path)
    content = hashlib.sha256(space.to_json().encode())
    with _damage_of(path), parquet.ParquetFile(path) as file:
        told = (file.metadata.metadata or {}).get(CONTENT, b"").decode("ascii")
        for batch in file.iter_batches(BLOCK_ROWS):
            vectors = batch.column("vector").flatten().to_numpy().reshape(-1, space.width)
            columns = {name: batch.column(name).to_pylist() for name in (*NUMBERS, *TEXTS)}
            _tell(content, columns, vectors)
            rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
            yield vectors, [{**row, "extra": json.loads(row["extra"])} for row in rows]
    if content.hexdigest() != told:
        raise ValueError(f"{path} is damaged: its content is not what was written")


def restore(path: str | Path, directory: str | Path) -> Store:
    """Make a store of a file that `export` wrote, under the same ids; the store appears whole or not at all.

    Raises ValueError for a damaged file, and when something is in the directory's place.
    """
    directory = Path(directory)
    space = read_space(path)
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise ValueError(f"{directory} is there already: choose another directory")
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = directory.with_name(TEMPORARY + directory.name)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with Store.create(partial, space) as store:
            for vectors, rows in read(path):
                store.add(vectors, rows)
        partial.replace(directory)
        sync_directory(directory.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Store.open(directory)


def _target(path: Path) -> Path:
    """Where a file may be written, links followed: whatever is there is replaced. Raises ValueError for other places.

    A folder with a manifest.json counts as a store even if it is damaged.
    """
    try:
        real = path.resolve()
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path}: the link leads nowhere ({error})") from None
    if not real.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {real.parent}")
    if os.path.lexists(real) and not real.is_file():
        raise ValueError(f"{path} is no regular file: name a file that is new, or one to replace")
    for folder in real.parents:
        if (folder / MANIFEST).is_file():
            raise ValueError(f"{path} would lie in the store {folder}: name a file outside of it")
    return real


def _tell(content: "hashlib._Hash", columns: Mapping[str, list[Any]], vectors: Vectors) -> None:
    """Add rows and their vectors to the hash of a content; how they are cut into blocks makes no difference."""
    for values in zip(vectors, *(columns[name] for name in (*NUMBERS, *TEXTS)), strict=True):
        content.update(np.ascontiguousarray(values[0], "<f4").tobytes())
        content.update(json.dumps(values[1:]).encode())


@contextmanager
def _damage_of(path: str | Path) -> Iterator[None]:
    """What pyarrow raises for a file that is not as it was written, in one line."""
    try:
        yield
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged, or no Parquet: {' '.join(str(error).split())}") from None


def _import() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"Parquet cannot be used ({error}): pip install avssl[parquet]") from None
    return pyarrow, pyarrow.parquet
