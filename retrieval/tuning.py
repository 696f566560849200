"""How many lists to look at, so that a stated recall is met in every direction, measured on queries kept apart."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from retrieval.originals import Originals, Scores, top
from retrieval.parts import Part
from retrieval.segment import Ids, Vectors

Shares = NDArray[np.float64]  # of each query's true nearest, [Q]
K = 10
QUERIES = 256  # of each modality; the structures are not trained on them
SEED = 0
NEAR = 0.005  # of the recall that all lists would give, where they give too little
TIE = 1e-6  # single precision may order nearer scores either way


@dataclass(frozen=True)
class Queries:
    """Vectors of one modality [Q, width] and their ids, [Q]: none counts as found for itself."""

    modality: str
    vectors: Vectors
    ids: Ids


def aim(recall: float) -> float:
    """What is asked of our own queries so that others, which differ, find this much: a third less may be missed."""
    return recall + (1 - recall) / 3


def held_out(held: Mapping[str, Ids], originals: Originals) -> list[Queries]:
    """Some vectors of each modality to ask with; the structures are not trained on them."""
    found = []
    for name, ids in held.items():
        if len(ids):
            chosen = np.sort(np.random.default_rng(SEED).choice(ids, min(QUERIES, max(1, len(ids) // 10)), False))
            found.append(Queries(name, np.ascontiguousarray(originals.vectors(chosen)), chosen))
    return found


def truth(queries: Queries, originals: Originals, ids: Ids) -> Scores:
    """Score of the last of the K true nearest of each query among these ids, [Q], or of the last there is."""
    scores, found = originals.nearest(queries.vectors, K + 1, ids)
    scores, found = _without_self(queries, scores, found)
    real = (found >= 0).sum(axis=1)
    worst: Scores = scores[np.arange(len(scores)), np.maximum(real, 1) - 1]
    return worst


def recalls(part: Part, originals: Originals, queries: Queries, worst: Scores, probes: int, refine: int) -> Shares:
    """Share of each query's true K nearest that the part finds, [Q]. Any of equally near ones counts."""
    scores, found = part.nearest(originals, queries.vectors, K + 1, probes, refine)
    scores, found = _without_self(queries, scores, found)
    known = part.count - bool(queries.modality == part.modality)
    right = (found >= 0) & (scores >= worst[:, None] - TIE)
    share: Shares = right.sum(axis=1) / max(1, min(K, known))
    return np.minimum(share, 1.0)


def _without_self(queries: Queries, scores: Scores, found: Ids) -> tuple[Scores, Ids]:
    own = found == queries.ids[:, None]
    return top(np.where(own, -np.inf, scores).astype(np.float32), np.where(own, -1, found), K)


def truths(asked: Sequence[Queries], originals: Originals, ids: Ids) -> dict[str, Scores]:
    """Modality of queries -> their `truth` among these ids: a pass over all vectors, so it is made once."""
    return {queries.modality: truth(queries, originals, ids) for queries in asked}


def tune(
    part: Part,
    factors: Sequence[int],
    originals: Originals,
    asked: Sequence[Queries],
    true: Mapping[str, Scores],
    target: float,
) -> tuple[Part, dict[str, float]]:
    """The part with the fewest probes that meet the target, of each modality's queries, and the recall of each
    direction.

    factors: how many times k may be scored again, rising; of each modality's queries the one that makes a search read
    the fewest bytes is taken.
    true: what `truths` says of the ids in the part. In every direction each half of the queries must meet the target,
    so that a lucky half does not decide. Where even looking at all lists does not, what comes near to these is used,
    and the figures say so.
    """
    sources: dict[str, tuple[int, int]] = {}
    found: dict[str, Shares] = {}
    for one in asked:

        @cache
        def measured(probes: int, refine: int, step: int = 1, one: Queries = one) -> Shares:
            some = Queries(one.modality, np.ascontiguousarray(one.vectors[::step]), one.ids[::step])
            return recalls(part, originals, some, true[one.modality][::step], probes, refine)

        if part.lists:
            sources[one.modality] = _effort(part, factors, 4.0 * K * originals.width, measured, target)
        found[one.modality] = measured(*sources.get(one.modality, (0, 1)), 1)
    if sources:
        probes, refined = (max(column) for column in zip(*sources.values(), strict=True))
        part = replace(part, probes=probes, refine=refined, sources=sources)
    return part, {
        f"{name} -> {part.modality}": round(float(values.mean()), 4) for name, values in found.items() if len(values)
    }


def _effort(
    part: Part, factors: Sequence[int], bytes_each: float, measured: Callable[..., Shares], target: float
) -> tuple[int, int]:
    """Lists to look at, and times k to score again, for one modality's queries.

    bytes_each: what is read to score K candidates again. measured: (lists, times k, every so manyth query) -> recall.
    """

    def reach(lists: int, refine: int, step: int = 1) -> float:
        return _least(measured(lists, refine, step))

    ladder, ample = list(_ladder(part.lists)), max(16, part.lists // 8)
    best: tuple[bool, float] | None = None
    chosen = (part.lists, factors[-1])
    for refine in factors:
        rescoring = bytes_each * refine
        if best is not None and best[0] and -best[1] <= rescoring:
            break
        more = best is None and refine != factors[-1]
        # With lists enough, what is missed is missed by the codes.
        if more and reach(ample, refine, 4) < reach(ample, factors[-1], 4) - (1 - target) / 4:
            continue
        # More lists never find less, so the fewest that do is found by halving. What all lists miss is missed by the
        # codes: then the fewest that come near to all.
        key = partial(reach, refine=refine)
        rung = bisect_left(ladder, target, key=key, hi=len(ladder) - 1)
        if rung == len(ladder) - 1 and (most := key(ladder[-1])) < target:
            rung = bisect_left(ladder, most - NEAR, key=key, hi=len(ladder) - 1)
        scanned = ladder[rung] / part.lists * part.count * part.code_bytes
        reached = (reach(ladder[rung], refine) >= target, -(scanned + rescoring))
        if best is None or reached > best:
            best, chosen = reached, (ladder[rung], refine)
    return chosen


def _ladder(most: int) -> Iterator[int]:
    """Growing by an eighth from 1 to the most."""
    step = 1
    while step < most:
        yield step
        step = max(step + 1, step * 9 // 8)
    yield most


def _least(found: Shares) -> float:
    """Mean recall of the worse half."""
    return min((float(half.mean()) for half in (found[::2], found[1::2]) if len(half)), default=1.0)
