"""The pieces of an index: one FAISS structure for the vectors of one modality, in files of the store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.files import TEMPORARY
from retrieval.kinds import import_faiss, inverted
from retrieval.originals import Originals, Scores
from retrieval.segment import Ids, Vectors

GPU_MOST = 2048  # results per query that FAISS gives on a GPU
SHARD = 1 << 20  # vectors that are in memory at once while lists on disk are made


@dataclass(frozen=True)
class Part:
    """Rows of one modality with `first` <= id < `below`; where there are lists, `probes` of them are looked at and
    `refine` times k candidates are scored again, or for queries of a known modality what `sources` says. Never changed
    once it is made, so threads may share it.
    """

    modality: str
    first: int
    below: int
    structure: Any
    probes: int = 0
    refine: int = 1
    on_gpu: Any = None
    digests: tuple[str, ...] = ()  # SHA-256 of its files
    sources: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Vectors in it, those that were removed since included."""
        return int(self.structure.ntotal)

    @cached_property
    def inverted(self) -> Any:
        """FAISS's index of inverted lists, without the turn before it; None where every vector is looked at."""
        return inverted(self.structure)

    @property
    def lists(self) -> int:
        """How many inverted lists it has; 0 where every vector is looked at."""
        return 0 if self.inverted is None else int(self.inverted.nlist)

    def effort(self, source: str) -> tuple[int, int]:
        """`probes` and `refine` for queries of a modality, "" where it is not known."""
        return self.sources.get(source, (self.probes, self.refine))

    @property
    def code_bytes(self) -> int:
        """Bytes that are read of each vector that is looked at."""
        return 4 * int(self.structure.d) if self.inverted is None else int(self.inverted.code_size)

    @property
    def memory(self) -> int:
        """Bytes of memory for each vector, its id included; what stays on disk is not counted."""
        faiss = import_faiss()
        on_disk = self.inverted is not None and isinstance(
            faiss.downcast_InvertedLists(self.inverted.invlists), faiss.OnDiskInvertedLists
        )
        return 0 if on_disk else 8 + self.code_bytes

    def ids(self) -> Ids:
        """All ids in it, in no order."""
        faiss = import_faiss()
        if self.inverted is None:
            held: Ids = faiss.vector_to_array(self.structure.id_map).astype(np.int64)
            return held
        lists = self.inverted.invlists
        sizes = [(number, lists.list_size(number)) for number in range(self.lists)]
        found = [faiss.rev_swig_ptr(lists.get_ids(number), size).copy() for number, size in sizes if size]
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def search(self, queries: Vectors, k: int, probes: int, selector: Any = None) -> tuple[Scores, Ids]:
        """FAISS's k nearest, [Q, k], in its own precision; id -1 where it found fewer."""
        faiss = import_faiss()
        structure = self.structure
        if self.on_gpu is not None and selector is None and k <= GPU_MOST:
            structure = self.on_gpu
        if self.inverted is None:
            parameters = None if selector is None else faiss.SearchParameters(sel=selector)
        else:
            parameters = faiss.SearchParametersIVF(nprobe=min(max(probes, 1), self.lists), sel=selector)
            if self.inverted is not self.structure:
                parameters = faiss.SearchParametersPreTransform(index_params=parameters)
        scores, ids = structure.search(queries, k, params=parameters)
        return scores, ids

    def nearest(
        self, originals: Originals, queries: Vectors, k: int, probes: int, refine: int, selector: Any = None
    ) -> tuple[Scores, Ids]:
        """The k nearest, maybe more, in any order, scored with the stored vectors; -inf and -1 where it found fewer."""
        if not self.lists:
            return self.search(queries, k, 0, selector)
        _, ids = self.search(queries, min(k * refine, self.count), probes, selector)
        return originals.products(queries, ids), ids


def fill(structure: Any, originals: Originals, ids: Ids) -> None:
    """Add these vectors to a FAISS structure."""
    for part, vectors in originals.blocks(ids):
        structure.add_with_ids(vectors, part)


def lists_on_disk(empty: Any, originals: Originals, ids: Ids, path: Path) -> None:
    """Write the lists of these vectors to one file, with no more than SHARD of them in memory at once.

    List after list: its codes, then its ids; at the end the sizes of all lists.
    """
    faiss = import_faiss()
    shards: list[Path] = []
    within = inverted(empty)
    try:
        for start in range(0, len(ids), SHARD):
            fill(empty, originals, ids[start : start + SHARD])
            shards.append(path.with_name(f"{TEMPORARY}shard-{len(shards)}.faiss"))
            write_structure(empty, shards[-1])
            empty.reset()
        flags = faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY
        opened = [faiss.read_index(str(shard), flags) for shard in shards]
        filled = [inverted(shard).invlists for shard in opened]
        total = np.zeros(within.nlist, np.uint64)
        with open(path, "wb") as file:
            for number in range(within.nlist):
                held = [(lists, lists.list_size(number)) for lists in filled]
                held = [(lists, size) for lists, size in held if size]
                for lists, size in held:
                    file.write(faiss.rev_swig_ptr(lists.get_codes(number), size * within.code_size).data)
                for lists, size in held:
                    file.write(faiss.rev_swig_ptr(lists.get_ids(number), size).data)
                total[number] = sum(size for _, size in held)
            file.write(total.data)
    finally:
        for shard in shards:
            shard.unlink(missing_ok=True)


def with_lists(empty: Any, path: Path) -> Any:
    """The structure with the lists in this file, which stay there. Raises ValueError for a file of another length."""
    faiss = import_faiss()
    within = inverted(empty)
    sizes = np.fromfile(path, np.uint64, offset=max(0, path.stat().st_size - 8 * within.nlist))
    lists = faiss.OnDiskInvertedLists()
    lists.read_only, lists.filename = True, str(path)
    lists.nlist, lists.code_size = within.nlist, within.code_size
    lists.totsize = int(sizes.sum()) * (within.code_size + 8)
    if len(sizes) != within.nlist or path.stat().st_size != lists.totsize + 8 * within.nlist:
        raise ValueError(f"{path} does not hold {within.nlist} lists; build the index again")
    lists.lists.resize(within.nlist)
    lists.set_all_lists_sizes(faiss.swig_ptr(sizes))
    lists.do_mmap()
    within.replace_invlists(lists, True)
    lists.this.disown()  # the structure owns them now
    within.ntotal = empty.ntotal = int(sizes.sum())
    return empty


def read_structure(path: Path, file: Any) -> Any:
    """A FAISS structure from an open file. Raises ValueError, one line, if FAISS cannot read it."""
    faiss = import_faiss()
    try:
        return faiss.read_index(faiss.PyCallbackIOReader(file.read))
    except RuntimeError:
        raise ValueError(f"{path} is no FAISS index; build the index again") from None


def write_structure(structure: Any, path: Path) -> None:
    """Write a FAISS structure. Raises OSError for a full disk, which FAISS itself notices too late and only prints."""
    faiss = import_faiss()
    with open(path, "wb") as file:
        faiss.write_index(structure, faiss.PyCallbackIOWriter(file.write))


def copy_to_gpus(structure: Any) -> Any:
    """The same on all GPUs, with ids. Raises RuntimeError, as FAISS does, where their memory is too small."""
    faiss = import_faiss()
    if inverted(structure) is not None:
        return faiss.index_cpu_to_all_gpus(structure)
    ids = faiss.vector_to_array(structure.id_map).astype(np.int64)
    return _Numbered(faiss.index_cpu_to_all_gpus(faiss.downcast_index(structure.index)), ids)


class _Numbered:
    """Positions to ids, which an exact index on a GPU does not know."""

    def __init__(self, structure: Any, ids: Ids) -> None:
        self._structure, self._ids = structure, ids

    def search(self, queries: Vectors, k: int, params: Any = None) -> tuple[Scores, Ids]:
        scores, places = self._structure.search(queries, k, params=params)
        return scores, np.where(places >= 0, self._ids[places], -1)
