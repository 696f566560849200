"""One scale for scores of different directions, so that a text hit and a sound hit can stand in one list.

In a space learned by contrast, modalities lie apart ("modality gap"): a clip scores higher with any other clip than
with the sentence that tells of it. So raw scores of text -> video and video -> video do not compare. A score is
therefore told as a standard score: how many standard deviations it stands above what unrelated pairs of its direction
score,

    z = (score - mean) / spread,

where mean and spread belong to the direction (modality of the query -> modality of the hit). They are taken from
the store itself: from a sample of its vectors of both modalities, without pairs of one recording, which are related.
Where a query's modality is not known or not in the store, or the query is a mixture, its own scores with the sample
stand in for the direction's. This is the "z-norm" of speaker verification (Auckenthaler, Carey, Lloyd-Thomas: Score
Normalization for Text-Independent Speaker Verification Systems, 2000). Nothing is stored: the sample is a function of
the store's content, and taking it costs some tens of milliseconds once per version of the store.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from retrieval.index import Index
from retrieval.manifest import Manifest
from retrieval.segment import Ids, Vectors
from retrieval.store import Store

SAMPLE = 512  # vectors of each modality
ENOUGH = 64  # of a modality in the common sample, else it is sampled on its own
LEAST_SPREAD = 1e-6
LEAST_LENGTH = 1e-6  # of what is left of a unit vector; less is rounding

Floats = NDArray[np.float64]


class Scale(NamedTuple):
    """What unrelated pairs score: both [Q]."""

    mean: Floats
    spread: Floats


class Background:
    """A sample of a store's vectors, by modality, and what they score among each other."""

    def __init__(self, vectors: Mapping[str, Vectors], recordings: Mapping[str, Sequence[str]]) -> None:
        """vectors: modality -> [N, width]; recordings: modality -> the N recordings they come from."""
        self._vectors = {name: np.asarray(held, np.float64) for name, held in vectors.items() if len(held)}
        self._recordings = {name: np.asarray(recordings[name], dtype=object) for name in self._vectors}
        self._means = {name: held.mean(axis=0) for name, held in self._vectors.items()}
        self._directions: dict[tuple[str, str], tuple[float, float]] = {}

    def scale(self, queries: Vectors, source: str, target: str) -> Scale:
        """Mean and spread of unrelated scores, both [Q], of queries [Q, width] of modality `source` with `target`.

        source: "" for a mixture, or where it is not known. target: "" for all modalities together. A store without
        `target` has mean 0 and spread 1.
        """
        wanted = [target] if target else list(self._vectors)
        if not any(name in self._vectors for name in wanted):
            return Scale(np.zeros(len(queries)), np.ones(len(queries)))
        if target and source in self._vectors:
            mean, spread = self._direction(source, target)
            return Scale(np.full(len(queries), mean), np.full(len(queries), spread))
        sample = np.concatenate([self._vectors[name] for name in wanted if name in self._vectors])
        scores = np.asarray(queries, np.float64) @ sample.T
        return Scale(scores.mean(axis=1), _spread(scores.std(axis=1)))

    def means(self, queries: Vectors, target: str) -> NDArray[np.float64]:
        """Mean score [Q] of queries [Q, width] with modality `target`, 0 where there is none; cheaper than `scale`."""
        mean = self._means.get(target)
        if mean is None:
            return np.zeros(len(queries))
        found: NDArray[np.float64] = (queries.astype(np.float64) * mean).sum(axis=1)
        return found

    def centered(self, queries: Vectors, source: str) -> Vectors:
        """Queries [Q, width] of modality `source` without what those of the store have in common, of length 1.

        For recordings unlike those that the network learnt from: what all sounds of one voice, or all pictures of one
        camera, share says nothing about which of them is meant, yet draws all queries to the same few hits. Raises
        ValueError where the store has none of `source`, and where nothing is left.
        """
        if source not in self._means:
            raise ValueError(f"the store holds no {source or 'vectors of an unnamed modality'} to center by")
        left = np.asarray(queries, np.float64) - self._means[source]
        length = np.linalg.norm(left, axis=1, keepdims=True)
        if (length <= LEAST_LENGTH).any():
            raise ValueError(f"the query is what all {source} of the store has in common: nothing is left to look for")
        unit: Vectors = (left / length).astype(np.float32)
        return unit

    def _direction(self, source: str, target: str) -> tuple[float, float]:
        if (source, target) not in self._directions:
            scores = self._vectors[source] @ self._vectors[target].T
            strangers = self._recordings[source][:, None] != self._recordings[target][None, :]
            # A store of a single recording has no unrelated pairs: then all there are must do.
            unrelated = scores[strangers] if strangers.any() else scores.ravel()
            self._directions[source, target] = float(unrelated.mean()), float(_spread(unrelated.std()))
        return self._directions[source, target]


def _spread(deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(deviation > LEAST_SPREAD, deviation, 1.0)


_known: "WeakKeyDictionary[Index, tuple[Manifest, Background]]" = WeakKeyDictionary()


def background(store: Store, index: Index) -> Background:
    """The background of a store, taken once for each version of it (and kept with the index that searches it)."""
    held = _known.get(index)
    if held is None or held[0] is not store.manifest:
        held = store.manifest, _sampled(store)
        _known[index] = held
    return held[1]


def _sampled(store: Store) -> Background:
    modalities = store.space.modalities
    ids = _evenly(store.ids(), SAMPLE * len(modalities))
    rows = {name: [row for row in store.rows(ids) if row.modality == name] for name in modalities}
    for name in modalities:
        if len(rows[name]) < ENOUGH:
            rows[name] = store.rows(_evenly(store.ids("modality = ?", [name]), SAMPLE))
    return Background(
        {name: store.vectors([row.id for row in held]) for name, held in rows.items()},
        {name: [row.recording for row in held] for name, held in rows.items()},
    )


def _evenly(ids: Ids, count: int) -> Ids:
    """At most `count` of the ids, the same ones each time, from all over."""
    if len(ids) <= count:
        return ids
    # Not every n-th: rows come in cycles (modality after modality, window after window).
    return np.sort(np.random.default_rng(0).choice(ids, count, replace=False))
