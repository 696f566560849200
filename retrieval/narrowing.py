"""In how few directions the nearest are still found: what an approximate index looks at, before scoring the whole."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.originals import Scores
from retrieval.segment import Vectors
from retrieval.tuning import TIE, K, Queries

Basis = NDArray[np.float32]  # orthonormal directions, [d, width]
WIDTHS = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
CANDIDATES = 2 * K  # nearest in few directions, among which the K nearest must be
SAMPLE = 1 << 16  # vectors that are looked at, at most
EACH = 4  # every so manyth query is asked with


def basis(sample: Vectors, asked: Sequence[Queries], share: float) -> Basis | None:
    """The first of the sample's principal directions that suffice; None where more than half of the width is needed.

    sample: [n, width], without the queries. asked: what is asked with, of every modality. Directions suffice when of
    each modality's queries this share of the K nearest is among the CANDIDATES nearest by what is seen of them there.
    The directions are those of the second moment, not of the covariance: products keep the mean, which all may share.
    """
    width = sample.shape[1]
    tried = [few for few in WIDTHS if 2 * few <= width]
    if not tried or not asked or len(sample) <= CANDIDATES:
        return None
    every = -(-len(sample) // SAMPLE)
    held = np.ascontiguousarray(sample[::every])
    turned = np.linalg.eigh((held.T @ held).astype(np.float64))[1][:, ::-1].T.astype(np.float32)
    turned = np.ascontiguousarray(turned[: tried[-1]])
    queries = {one.modality: np.ascontiguousarray(one.vectors[::EACH]) for one in asked}
    true = {name: vectors @ held.T for name, vectors in queries.items()}
    worst = {name: np.partition(scores, -K, axis=1)[:, -K] - np.float32(TIE) for name, scores in true.items()}
    narrow = held @ turned.T
    for few in tried:
        seen = np.ascontiguousarray(narrow[:, :few])
        shares = [
            _found(vectors @ turned[:few].T @ seen.T, true[name], worst[name]) for name, vectors in queries.items()
        ]
        if min(shares) >= share:
            return turned[:few].copy()
    return None


def _found(seen: Scores, true: Scores, worst: Scores) -> float:
    """Share of the K nearest among the CANDIDATES that seem nearest; any of equally near ones counts."""
    candidates = np.argpartition(-seen, CANDIDATES - 1, axis=1)[:, :CANDIDATES]
    right = (np.take_along_axis(true, candidates, 1) >= worst[:, None]).sum(axis=1)
    return float(np.minimum(right, K).mean() / K)
