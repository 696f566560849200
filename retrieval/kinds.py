"""Kinds of FAISS index: which for how many vectors and why, and how an empty one is trained."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT_BELOW = 100_000
MEMORY_BELOW = 10_000_000
FLAT_PART = 1_000
"""a modality with fewer vectors than this is looked at whole in every kind"""
ROUNDS = 5  # of k-means; as many again change the recall by less than its noise
TRAINING_PER_LIST = 40  # FAISS's least; more made lists no better and builds longer
SEED = 0


def import_faiss() -> Any:
    """The faiss module; ImportError, in one line, tells how to get it."""
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            f"faiss cannot be imported ({error}): pip install avssl[cpu] or, for an NVIDIA GPU, avssl[gpu], not both"
        ) from None
    return faiss


def gpus() -> int:
    """How many GPUs the installed FAISS can use."""
    faiss = import_faiss()
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


@dataclass(frozen=True)
class Kind:
    """A structure and what it costs.

    code_bytes: width -> most bytes of memory per vector beside its id. empty: (width, lists) -> an untrained FAISS
    index.
    refine: how many times k are fetched and scored again with the stored vectors; the first that reaches the recall is
    taken. instead: the kind that a modality gets for which this one does not reach the recall. on_gpu: whether FAISS
    knows it there.
    """

    code_bytes: Callable[[int], int]
    empty: Callable[[int, int], Any] | None
    refine: tuple[int, ...] = (1,)
    instead: str = ""
    on_disk: bool = False
    on_gpu: bool = False


def _codes(width: int, lists: int, codes: int) -> Any:
    faiss = import_faiss()
    return faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(width), width, lists, codes, faiss.METRIC_INNER_PRODUCT)


def _bytes(width: int, lists: int) -> Any:
    return _codes(width, lists, import_faiss().ScalarQuantizer.QT_8bit)


def _halves(width: int, lists: int) -> Any:
    """Near copies lie closer together than a byte's steps: with these, fewer must be scored again."""
    return _codes(width, lists, import_faiss().ScalarQuantizer.QT_fp16)


def _product(width: int, lists: int) -> Any:
    faiss = import_faiss()
    quantizer = faiss.IndexFlatIP(width)
    index = faiss.IndexIVFPQFastScan(quantizer, width, lists, pieces(width), 4, faiss.METRIC_INNER_PRODUCT)
    # What is left after the center of the list: near copies, such as windows that overlap, stay apart.
    index.by_residual = True
    return index


def pieces(width: int) -> int:
    """Into how many equal pieces a vector is cut for product quantization: the most of at least two numbers each."""
    return max(count for count in range(1, max(2, width // 2 + 1)) if width % count == 0)


RESCORED = (2, 4, 8, 16, 32)

KINDS: Mapping[str, Kind] = {
    "exact": Kind(lambda width: 4 * width, None, on_gpu=True),
    "ivf-fp16": Kind(lambda width: 2 * width, _halves, refine=RESCORED, on_gpu=True),
    "ivf-sq8": Kind(lambda width: width, _bytes, refine=RESCORED, on_gpu=True),
    "ivf-pq4": Kind(lambda width: (pieces(width) + 1) // 2, _product, refine=RESCORED, instead="ivf-sq8"),
    "ivf-disk": Kind(lambda width: 0, _bytes, refine=RESCORED, on_disk=True),
}


@dataclass(frozen=True)
class Choice:
    """A kind, and one sentence that says why."""

    kind: str
    why: str


def choose(count: int, width: int) -> Choice:
    """The kind for so many vectors of this width."""
    if count < EXACT_BELOW:
        return Choice("exact", f"exact: {count:,} vectors are fewer than {EXACT_BELOW:,}, so looking at all is quick")
    if count <= MEMORY_BELOW:
        size = KINDS["ivf-fp16"].code_bytes(width) + 8
        return Choice(
            "ivf-fp16",
            f"ivf-fp16: at {count:,} vectors looking at all is slow; at most {size} bytes of memory each, and the "
            "nearest are scored again with the stored vectors",
        )
    return Choice(
        "ivf-disk", f"ivf-disk: {count:,} vectors are more than {MEMORY_BELOW:,}, so their lists stay on disk"
    )


def check_kind(kind: str) -> None:
    """Raise ValueError, one line, for a kind there is not."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of index {kind!r}; there is {', '.join(KINDS)}")


def bytes_read(kind: str, width: int) -> int:
    """Of each vector that a kind with lists looks at in so many directions, in memory or on disk."""
    make = KINDS[kind].empty
    assert make is not None, kind
    return int(make(width, 1).code_size)


def lists_for(count: int) -> int:
    """How many inverted lists so many vectors get: 8 sqrt(n), with vectors enough to train each, also without a tenth
    that is kept apart. In few directions finding the nearest lists is cheap, so many small ones are read least."""
    return max(1, min(int(8 * math.sqrt(count)), count // 44))


def flat(width: int) -> Any:
    """An index that looks at every vector; it takes ids."""
    faiss = import_faiss()
    return faiss.IndexIDMap(faiss.IndexFlatIP(width))


def trained(kind: str, lists: int, sample: NDArray[np.float32], basis: NDArray[np.float32] | None = None) -> Any:
    """An empty index of a kind with lists, trained on a sample [n, width]; the same sample gives the same index.

    basis: directions [d, width], in which alone it looks at vectors and queries; None for the whole.
    """
    faiss, make = import_faiss(), KINDS[kind].empty
    assert make is not None, kind
    index = make(sample.shape[1] if basis is None else len(basis), lists)
    index.cp.seed = SEED
    index.cp.max_points_per_centroid = TRAINING_PER_LIST
    index.cp.niter = ROUNDS
    if hasattr(index, "pq"):
        index.pq.cp.min_points_per_centroid = 1  # a small sample is no news to who asked for it
    index.train(sample if basis is None else np.ascontiguousarray(sample @ basis.T))
    return index if basis is None else faiss.IndexPreTransform(_turn(basis), index)


def inverted(structure: Any) -> Any:
    """The index of inverted lists that a FAISS structure is or has inside; None where there are no lists."""
    faiss = import_faiss()
    if isinstance(structure, faiss.IndexPreTransform):
        structure = faiss.downcast_index(structure.index)
    return structure if hasattr(structure, "nlist") else None


def emptied(structure: Any) -> Any:
    """A structure trained like this one, without its vectors; the given one is only read."""
    faiss, within = import_faiss(), inverted(structure)
    scalar = hasattr(within, "sq")
    copy = _codes(within.d, within.nlist, within.sq.qtype) if scalar else _product(within.d, within.nlist)
    copy.quantizer.add(within.quantizer.reconstruct_n(0, within.nlist))
    learned, place = (within.sq.trained, copy.sq.trained) if scalar else (within.pq.centroids, copy.pq.centroids)
    faiss.copy_array_to_vector(faiss.vector_to_array(learned), place)
    copy.is_trained = True
    if within is structure:
        return copy
    learned = faiss.downcast_VectorTransform(structure.chain.at(0)).A
    return faiss.IndexPreTransform(_turn(faiss.vector_to_array(learned).reshape(within.d, structure.d)), copy)


def _turn(basis: NDArray[np.float32]) -> Any:
    """FAISS's word for the products with each direction of a basis, [d, width]."""
    faiss = import_faiss()
    turn = faiss.LinearTransform(basis.shape[1], basis.shape[0], False)
    faiss.copy_array_to_vector(basis.reshape(-1), turn.A)
    turn.is_trained = True
    return turn
