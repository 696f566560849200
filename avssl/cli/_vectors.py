"""Vectors on disk: one .npy and one JSON-lines file of rows per modality, and what space they live in."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avssl.embedding import Embedded
from avssl.embedding.network import Vectors
from retrieval.files import sync_directory
from retrieval.space import Space

SPACE, SOURCE = "space.json", "source.json"


@dataclass(frozen=True)
class Source:
    """What made the vectors, so that queries can be made alike: a run's folder, or a config with changes to it."""

    run: str
    window_seconds: float
    hop_seconds: float
    changes: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Into a folder that is not yet in its place."""
        (folder / SOURCE).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Source":
        """Raises ValueError when the folder does not say."""
        try:
            told = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
            return cls(**{**told, "changes": tuple(told.get("changes", ()))})
        except FileNotFoundError:
            raise ValueError(f"{folder} does not say what run made it; it holds no {SOURCE}") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{folder / SOURCE} is damaged: {error}") from None


@contextmanager
def replacing_folder(folder: Path, marks: tuple[str, ...]) -> Iterator[Path]:
    """Yield a new folder that takes the place of ``folder`` when the block is done, and of nothing if it raises.

    A folder that is there is only replaced when it is empty or holds all of ``marks``, by which ours are known.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not all((folder / mark).exists() for mark in marks):
        raise ValueError(f"{folder} holds other files: name another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{word}") for word in ("partial", "old"))
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for file in partial.iterdir():
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
        sync_directory(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write(folder: Path, embedded: Embedded, space: Space, source: Source) -> None:
    """Write vectors-MODALITY.npy, rows-MODALITY.jsonl, space.json and source.json; the folder appears whole."""
    with replacing_folder(folder, (SPACE, SOURCE)) as partial:
        for modality, vectors in embedded.vectors.items():
            np.save(partial / f"vectors-{modality}.npy", vectors)
            with open(partial / f"rows-{modality}.jsonl", "w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in embedded.rows[modality])
        (partial / SPACE).write_text(space.to_json() + "\n", encoding="utf-8")
        source.write(partial)


def read_space(folder: Path) -> Space:
    """The space of a folder of vectors. Raises ValueError when it is none."""
    try:
        return Space.from_json((folder / SPACE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{folder} holds no vectors; make them: avssl embed RUN MANIFEST -o {folder}") from None
    except ValueError as error:
        raise ValueError(f"{folder / SPACE}: {error}") from None


def read(folder: Path) -> Iterator[tuple[Vectors, list[dict[str, Any]]]]:
    """Vectors [N, D] and rows, a modality at a time. Raises ValueError for damaged files."""
    for path in sorted(folder.glob("vectors-*.npy")):
        rows = path.with_name(path.name.replace("vectors-", "rows-", 1)).with_suffix(".jsonl")
        try:
            vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path} is damaged: {error}") from None
        with open(rows, encoding="utf-8") as file:
            try:
                held = [json.loads(line) for line in file]
            except ValueError as error:
                raise ValueError(f"{rows} is damaged: {error}") from None
        yield vectors, held
