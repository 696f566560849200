"""In how few directions the nearest are still found: what an approximate index looks at, before scoring the whole.

Pictures, sounds and texts lie apart in a space they share, and fill directions of it that the others do not: what a
stored vector has in a direction in which no query has anything moves no product. So directions count by what queries
and stored vectors have there both, not by how much the stored vary (their principal directions, of which texts that
ask for sounds needed several times as many).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.kinds import RESCORED
from retrieval.originals import Originals, Scores
from retrieval.segment import Ids, Vectors
from retrieval.tuning import TIE, K, Queries

Basis = NDArray[np.float32]  # orthonormal directions, [d, width]
Moment = NDArray[np.float64]  # [width, width]
WIDTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
CANDIDATES = tuple(K * factor for factor in RESCORED)  # nearest in few directions, among which the K nearest may be
LOOKED = 5000  # vectors that a search usually looks at, of 10^5 as of 10^6
SAMPLE = 1 << 16  # vectors that are looked at, at most
ASKING = 1 << 13  # vectors of each modality that tell where queries lie
EACH = 4  # every so manyth query is asked with
FLOOR = 1e-5  # of the largest: what a moment is taken to have at least in every direction


def asking(present: Mapping[str, Ids], originals: Originals) -> Moment:
    """Second moment of what may be asked with, every modality alike, [width, width].

    present: ids of each modality.
    """
    moments = []
    for ids in filter(len, present.values()):
        some = originals.vectors(ids[:: -(-len(ids) // ASKING)])
        moments.append((some.T @ some).astype(np.float64) / len(some))
    mean: Moment = np.mean(moments, axis=0)
    return mean


def basis(
    sample: Vectors,
    count: int,
    moment: Moment,
    asked: Sequence[Queries],
    share: float,
    size: Callable[[int], int],
) -> Basis | None:
    """The directions that suffice and make the slowest search read the fewest bytes; None where the whole needs fewer.

    sample: [n, width] of `count` vectors, without the queries. moment: what `asking` says. asked: what is asked with,
    of every modality. size: bytes of a vector in so many directions. Directions suffice when of each modality's queries
    this share of the K nearest is among some of the CANDIDATES that are nearest by what is seen of them there; the
    fewest that do must be scored again. All lie as many times denser than the part of the sample that is looked at.
    Directions are the principal ones of the geometric mean of the queries' second moment and the sample's covariance:
    differences of products depend on both alike.
    """
    width = sample.shape[1]
    tried = [few for few in WIDTHS if 2 * few <= width]
    if not tried or not asked or len(sample) <= CANDIDATES[-1]:
        return None
    every = -(-len(sample) // SAMPLE)
    held = np.ascontiguousarray(sample[::every])
    centered = held - held.mean(0)
    both = _between((centered.T @ centered).astype(np.float64) / len(held), moment)
    turned = np.ascontiguousarray(np.linalg.eigh(both)[1][:, ::-1].T[: tried[-1]], np.float32)
    queries = {one.modality: np.ascontiguousarray(one.vectors[::EACH]) for one in asked}
    true = {name: vectors @ held.T for name, vectors in queries.items()}
    worst = {name: np.partition(scores, -K, axis=1)[:, -K] - np.float32(TIE) for name, scores in true.items()}
    narrow = held @ turned.T
    best, least = None, float(LOOKED * size(width))
    for few in tried:
        if LOOKED * size(few) >= least:
            break
        seen = np.ascontiguousarray(narrow[:, :few])
        again = [
            _candidates(vectors @ turned[:few].T @ seen.T, true[name], worst[name], share, len(held) / count)
            for name, vectors in queries.items()
        ]
        cost = LOOKED * size(few) + 4 * width * max(again)
        if cost < least:
            best, least = few, cost
    return None if best is None else turned[:best].copy()


def _between(one: Moment, other: Moment) -> Moment:
    """The geometric mean of two moments: one^(1/2) (one^(-1/2) other one^(-1/2))^(1/2) one^(1/2)."""
    root, inverse = _power(one, 0.5), _power(one, -0.5)
    return root @ _power(inverse @ other @ inverse, 0.5) @ root


def _power(moment: Moment, exponent: float) -> Moment:
    values, vectors = np.linalg.eigh(moment)
    values = np.maximum(values, FLOOR * max(values[-1], np.finfo(np.float64).tiny))
    powered: Moment = (vectors * values**exponent) @ vectors.T
    return powered


def _candidates(seen: Scores, true: Scores, worst: Scores, share: float, part: float) -> float:
    """How many of those that seem nearest hold this share of the K nearest; infinity where the most do not.

    part: how much of all is looked at here. Any of equally near ones counts.
    """
    most = np.argpartition(-seen, CANDIDATES[-1] - 1, axis=1)[:, : CANDIDATES[-1]]
    order = np.argsort(-np.take_along_axis(seen, most, 1), axis=1)
    right = np.take_along_axis(true, np.take_along_axis(most, order, 1), 1) >= worst[:, None]
    found = np.minimum(right.cumsum(axis=1), K).mean(axis=0) / K
    return next((count for count in CANDIDATES if found[max(K, round(count * part)) - 1] >= share), np.inf)
