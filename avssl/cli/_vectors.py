"""Vectors on disk: shards, each with a .npy and a JSON-lines file of rows per modality, and what space they live in.

A shard is a folder that appears whole; its done.json says that it is, and holds the hashes of its files.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avssl.cli._placing import swap
from avssl.embedding import Embedded
from avssl.embedding.network import Vectors
from retrieval.files import replacing, sha256_of, sync_directory
from retrieval.space import Space

SPACE, SOURCE, PLAN, DONE = "space.json", "source.json", "plan.json", "done.json"
MARKS = (SPACE, SOURCE)
"""by which a whole folder of vectors is known"""
SHARD = "shard-{:05d}"
BLOCK_BYTES = 64 << 20
"""vectors of several shards are given out together until they are that many"""


@dataclass(frozen=True)
class Source:
    """What made the vectors, so that queries can be made alike: a run's folder, or a config with changes to it.

    ``new_for``: the index that lacked what the folder holds, where it holds nothing else; "" for whole collections.
    ``augment``: sounds were heard at several speeds (`avssl.embedding.network.SPEEDS`).
    """

    run: str
    window_seconds: float
    hop_seconds: float
    changes: tuple[str, ...] = ()
    new_for: str = ""
    augment: bool = False

    @property
    def windows(self) -> str:
        """In words, what must be the same of vectors that are kept together."""
        heard = ", sounds at several speeds" if self.augment else ""
        return f"windows of {self.window_seconds:g} s every {self.hop_seconds:g} s{heard}"

    def alike(self, other: "Source") -> bool:
        """Whether vectors of the same network may be kept together."""
        mine, theirs = ((one.window_seconds, one.hop_seconds, one.augment) for one in (self, other))
        return mine == theirs

    def write(self, folder: Path) -> None:
        """Into a folder that is not yet in its place."""
        (folder / SOURCE).write_text(json.dumps(self.told(), indent=1) + "\n", encoding="utf-8")

    def told(self) -> dict[str, Any]:
        """As JSON tells it; without what is not so, as before there was any, so that plans stay the same."""
        told = asdict(self)
        for name in ("new_for", "augment"):
            if not told[name]:
                del told[name]
        return told

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


def write_shard(folder: Path, embedded: Embedded) -> None:
    """Write vectors-MODALITY.npy, rows-MODALITY.jsonl and done.json; the folder appears whole, and only once."""
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)  # of a rank that was killed
    partial.mkdir()
    held = {}
    for modality, vectors in embedded.vectors.items():
        rows = embedded.rows[modality]
        np.save(partial / f"vectors-{modality}.npy", vectors)
        with open(partial / f"rows-{modality}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        recordings = len({row["recording"] for row in rows})
        held[modality] = {"vectors": len(vectors), "width": vectors.shape[1], "recordings": recordings}
    hashes = {}
    for path in sorted(partial.iterdir()):
        with open(path, "rb") as written:
            os.fsync(written.fileno())
            hashes[path.name] = sha256_of(written.fileno())
    done = {"files": hashes, "held": held, "skipped": dict(embedded.skipped)}
    with replacing(partial / DONE) as temporary:
        temporary.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, folder)
    sync_directory(folder.parent)


def seal(partial: Path, folder: Path, space: Space, source: Source) -> None:
    """Add space.json and source.json to a folder of shards, and put it in the place of ``folder``."""
    (partial / SPACE).write_text(space.to_json() + "\n", encoding="utf-8")
    source.write(partial)
    for name in (SPACE, SOURCE):
        with open(partial / name, "rb") as written:
            os.fsync(written.fileno())
    sync_directory(partial)
    swap(partial, folder)


def shards(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The shards of a folder that are done, in order, with what their done.json says. Raises ValueError for damage."""
    for path in sorted(folder.glob("shard-*")):
        try:
            done = json.loads((path / DONE).read_text(encoding="utf-8"))
            intact = set(done) == {"files", "held", "skipped"}
        except (OSError, ValueError, TypeError):
            intact = False
        if not intact:
            raise ValueError(f"{path} is damaged: its {DONE} is not what was written; delete {folder} and embed again")
        yield path, done


def check_intact(folder: Path) -> None:
    """Raise ValueError when a file of a folder of vectors is not as it was written."""
    for path, done in shards(folder):
        for name in done["files"]:
            _intact(path / name, done)


def read_space(folder: Path) -> Space:
    """The space of a folder of vectors. Raises ValueError when it is none."""
    try:
        return Space.from_json((folder / SPACE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{folder} holds no vectors; make them: avssl embed RUN MANIFEST -o {folder}") from None
    except ValueError as error:
        raise ValueError(f"{folder / SPACE}: {error}") from None


def read(folder: Path) -> Iterator[tuple[Vectors, list[dict[str, Any]]]]:
    """Vectors [N, D] and rows, one modality after the other, of some shards at a time.

    Raises ValueError for files that are not as they were written.
    """
    if not (folder / PLAN).exists():
        raise ValueError(f"{folder} holds no {PLAN}: it was made by an earlier version, embed again")
    found = list(shards(folder))
    for modality in sorted({modality for _, done in found for modality in done["held"]}):
        vectors: list[Vectors] = []
        rows: list[dict[str, Any]] = []
        for path, done in found:
            if modality not in done["held"]:
                continue
            vectors.append(np.load(io.BytesIO(_intact(path / f"vectors-{modality}.npy", done)), allow_pickle=False))
            lines = _intact(path / f"rows-{modality}.jsonl", done).decode().split("\n")
            rows += [json.loads(line) for line in lines if line]
            if sum(part.nbytes for part in vectors) >= BLOCK_BYTES:
                yield np.concatenate(vectors), rows
                vectors, rows = [], []
        if vectors:
            yield np.concatenate(vectors), rows


def _intact(path: Path, done: dict[str, Any]) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; delete {path.parent.parent} and embed again") from None
    if hashlib.sha256(data).hexdigest() != done["files"].get(path.name):
        raise ValueError(f"{path} is damaged: its content is not what was written; delete it all and embed again")
    return data
