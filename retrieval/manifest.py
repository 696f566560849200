"""The one file that says what a store is: every data file with size and hash, what is removed, which indexes exist."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from retrieval.files import replacing
from retrieval.space import Space

NAME = "manifest.json"
FORMAT = "retrieval store 3"
READABLE = (FORMAT, "retrieval store 2")  # the latter has no files of columns
DATA_FILE = re.compile(
    r"((vectors|ids)-\d+\.npy|(rows|regions)-\d+(-\d+)?\.sqlite|columns-\d+(-\d+)?\.bin"
    r"|index-\d+-\d+\.(faiss|lists))\Z"
)


class FileEntry(TypedDict):
    """How a file was written."""

    sha256: str
    bytes: int


class SegmentEntry(TypedDict):
    """Files that belong together, and how many vectors they hold."""

    vectors: str
    ids: str
    rows: str
    columns: NotRequired[str]
    count: int


class PartEntry(TypedDict):
    """A piece of an index: rows of one modality with first <= id < below."""

    modality: str
    first: int
    below: int
    file: str
    apart: str  # file of its inverted lists when they stay on disk, else ""
    ntotal: int
    memory: int  # bytes for each vector
    lists: int  # how many inverted lists; 0 where every vector is looked at
    probes: int  # how many of them are looked at
    refine: int  # times k candidates scored again
    sources: NotRequired[dict[str, list[int]]]  # modality of a query -> both for such queries


class RecallEntry(TypedDict):
    """What an approximate index finds, measured when it was built."""

    target: float
    at: int
    queries: int  # of each modality
    vectors: int  # in the store then
    directions: dict[str, float]  # "text -> video": share of the true nearest that were found


class IndexEntry(TypedDict):
    """An index and what it was built from."""

    kind: str
    parts: list[PartEntry]
    below: int  # it holds every row with an id below this
    segments: list[str]  # names of the vector files there were
    recall: RecallEntry | None


class SideEntry(TypedDict):
    """A file that says more of some rows than a store must hold, such as their regions."""

    kind: str
    file: str
    gone: NotRequired[list[list[int]]]  # runs of ids whose rows are in no segment any more: others may get them


class Manifest(TypedDict):
    """The whole of `manifest.json` but its checksum."""

    format: str
    version: int  # grows by one with every change; names of new files carry it
    space: dict[str, Any]
    dtype: str  # of the vectors on disk: "float32" or "float16"
    next_id: int  # ids are given once, also after their rows are gone
    segments: list[SegmentEntry]
    removed: list[list[int]]  # first and last of each run of removed ids
    indexes: list[IndexEntry]
    sides: list[SideEntry]
    files: dict[str, FileEntry]


def empty(space: Space, dtype: str = "float32") -> Manifest:
    """Of a store that holds nothing yet."""
    return Manifest(
        format=FORMAT,
        version=0,
        space=json.loads(space.to_json()),
        dtype=dtype,
        next_id=0,
        segments=[],
        removed=[],
        indexes=[],
        sides=[],
        files={},
    )


def successor(manifest: Manifest) -> Manifest:
    """A copy to change, one version later; entries are replaced, not changed."""
    later = manifest.copy()
    later["format"] = FORMAT
    later["version"] += 1
    later["segments"], later["indexes"] = list(manifest["segments"]), list(manifest["indexes"])
    later["sides"], later["files"] = list(manifest["sides"]), dict(manifest["files"])
    return later


def write(directory: Path, manifest: Manifest) -> None:
    """Replace the manifest at once; files it no longer needs may be deleted afterwards."""
    parts = [part for entry in manifest["indexes"] for part in entry["parts"]]
    used = [name for part in parts for name in (part["file"], part["apart"]) if name]
    used += [entry["file"] for entry in manifest["sides"]]
    used += [name for entry in manifest["segments"] for name in names_of(entry)]
    manifest["files"] = {name: manifest["files"][name] for name in used}
    with replacing(directory / NAME) as temporary:
        temporary.write_bytes(_encode(manifest))


def names_of(entry: SegmentEntry) -> list[str]:
    """The files of a segment."""
    return [entry["vectors"], entry["ids"], entry["rows"], *([entry["columns"]] if "columns" in entry else [])]


def read(directory: Path) -> Manifest:
    """Raises ValueError, one line, if there is none or any of its bytes is not as written."""
    path = directory / NAME
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{directory} is not a store: it holds no {NAME}") from None
    head, body = raw[:HEAD_BYTES], raw[HEAD_BYTES:]
    intact = head == _head(body)
    try:
        data = json.loads(raw)
        other = data["format"] if data["format"] not in READABLE else None
        del data["checksum"]
    except (ValueError, KeyError, TypeError, RecursionError):
        intact, other = False, None
    if other is not None:
        raise ValueError(f"{path} is of format {other!r:.60}, this version reads {FORMAT!r}: make the store again")
    if not intact:
        raise ValueError(f"{path} is damaged: its checksum does not fit its content")
    for name in data["files"]:
        if not DATA_FILE.match(name):
            raise ValueError(f"{path} lists {name!r}, which is no file of a store")
    manifest: Manifest = data
    return manifest


def _encode(manifest: Manifest) -> bytes:
    """A line per key; the first holds the checksum of the others, so that every changed byte shows."""
    # Keys apart: with an indent Python's encoder is slow, and `removed` may hold hundreds of thousands of numbers.
    lines = [f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in sorted(manifest.items())]
    body = (",\n".join(lines) + "\n}\n").encode()
    return _head(body) + body


def _head(body: bytes) -> bytes:
    return b'{\n"checksum": "' + hashlib.sha256(body).hexdigest().encode() + b'",\n'


HEAD_BYTES = len(_head(b""))


def to_runs(ids: NDArray[np.int64]) -> list[list[int]]:
    """Sorted unique ids as [first, last] of each run."""
    if not len(ids):
        return []
    breaks = np.flatnonzero(np.diff(ids) != 1)
    firsts = ids[np.concatenate([[0], breaks + 1])]
    lasts = ids[np.concatenate([breaks, [len(ids) - 1]])]
    return [[int(first), int(last)] for first, last in zip(firsts, lasts, strict=True)]


def from_runs(runs: list[list[int]]) -> NDArray[np.int64]:
    """Inverse of `to_runs`."""
    if not runs:
        return np.empty(0, np.int64)
    firsts, lasts = np.array(runs, np.int64).T
    counts = lasts - firsts + 1
    starts = np.cumsum(counts) - counts
    return np.repeat(firsts - starts, counts) + np.arange(counts.sum())
