"""FAISS indexes of a store: built from its vectors, kept beside them, refused when they do not fit."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrieval.files import sha256_of
from retrieval.segment import Ids, Vectors
from retrieval.store import Store

if TYPE_CHECKING:
    from retrieval.manifest import IndexEntry

Blocks = Iterator[tuple[Ids, Vectors]]


def import_faiss() -> Any:
    """The faiss module; ImportError, in one line, tells how to get it."""
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            f"faiss cannot be imported ({error}): pip install avssl[cpu] or, for an NVIDIA GPU, avssl[gpu], not both"
        ) from None
    return faiss


class Index:
    """A loaded index. `covered` names the vector files whose vectors it holds."""

    def __init__(self, kind: str, faiss_index: Any, covered: tuple[str, ...]) -> None:
        self.kind = kind
        self.covered = covered
        self.width = int(faiss_index.d)
        self._index = faiss_index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def nearest(
        self, queries: Vectors, k: int, *, only: Ids | None = None, without: Ids | None = None
    ) -> tuple[NDArray[np.float32], Ids]:
        """The k largest inner products per query and their ids, both [Q, k]; id -1 where there are fewer.

        only: the ids that may be found. without: ids that may not. At most one of the two.
        """
        faiss = import_faiss()
        assert only is None or without is None
        parameters = None
        if only is not None:
            selector = faiss.IDSelectorBatch(only)
            parameters = faiss.SearchParameters(sel=selector)
        elif without is not None and len(without):
            inner = faiss.IDSelectorBatch(without)
            selector = faiss.IDSelectorNot(inner)
            parameters = faiss.SearchParameters(sel=selector)
        scores, ids = self._index.search(queries, k, params=parameters)
        return scores, ids

    def vectors(self, ids: Ids) -> Vectors:
        """The indexed vectors of these ids, [N, width]."""
        found: Vectors = self._index.reconstruct_batch(ids)
        return found


def _exact(blocks: Blocks, width: int) -> Any:
    faiss = import_faiss()
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(width))
    for ids, vectors in blocks:
        index.add_with_ids(vectors, ids)
    return index


# A further kind is one more function from the store's (ids, vectors) to a FAISS index with ids.
KINDS: dict[str, Callable[[Blocks, int], Any]] = {"exact": _exact}


def build(store: Store, kind: str = "exact") -> Index:
    """Index all of a store's vectors by inner product and list the index in its manifest.

    Raises ValueError for an unknown kind or a busy store, ImportError without faiss.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of index {kind!r}; there is {', '.join(KINDS)}")
    faiss = import_faiss()
    with store.locked():
        built = KINDS[kind](store.blocks(), store.space.width)
        try:
            entry = store.put_index(kind, int(built.ntotal), lambda path: faiss.write_index(built, str(path)))
        except RuntimeError as error:  # FAISS's word for a full disk
            raise OSError(f"the index cannot be written: {error}") from None
    return Index(kind, built, tuple(entry["segments"]))


def load(store: Store, kind: str = "exact") -> Index:
    """Load the index that `build` made.

    Raises ValueError, one line, if there is none, if rows were added since, or if the file is not what was written:
    FAISS itself reads some damaged files without complaint.
    """
    while True:
        entry = _entry(store, kind)
        path = store.directory / entry["file"]
        listed = store.manifest["files"][entry["file"]]
        version = store.version
        try:
            with open(path, "rb") as file:
                if sha256_of(file.fileno()) != listed["sha256"]:
                    raise ValueError(f"{path} is damaged: its content is not what was written; build the index again")
                loaded = _read(path, file)
        except FileNotFoundError:
            # Another process may have built anew and deleted this file.
            store.refresh()
            if store.version == version:
                raise ValueError(f"{path} is missing; build the index again") from None
            continue
        if loaded.ntotal != entry["ntotal"] or loaded.d != store.space.width:
            raise ValueError(
                f"{path} holds {loaded.ntotal} vectors of width {loaded.d}, the manifest says {entry['ntotal']} "
                f"of {store.space.width}; build the index again"
            )
        return Index(kind, loaded, tuple(entry["segments"]))


def _read(path: Path, file: Any) -> Any:
    """From the file that was hashed, not from its name, which may meanwhile be another's."""
    faiss = import_faiss()
    reader = faiss.PyCallbackIOReader(file.read)
    try:
        return faiss.read_index(reader)
    except RuntimeError:
        raise ValueError(f"{path} is no FAISS index; build the index again") from None


def _entry(store: Store, kind: str) -> "IndexEntry":
    command = f"python -m retrieval build {store.directory}"
    for entry in store.manifest["indexes"]:
        if entry["kind"] == kind:
            check_covers(store, tuple(entry["segments"]))
            return entry
    raise ValueError(f"{store.directory} has no index of kind {kind}: {command}")


def check_covers(store: Store, covered: tuple[str, ...]) -> None:
    """Raise ValueError unless an index of these vector files holds exactly what the store holds."""
    if list(covered) != [entry["vectors"] for entry in store.manifest["segments"]]:
        raise ValueError(
            f"{store.directory} has changed since its index was built: python -m retrieval build {store.directory}"
        )
