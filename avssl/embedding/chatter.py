"""What is said in many recordings and is about none: greetings, thanks, small talk. A probability, without a label.

To a sentence that is about something else its own recording is like any other, so the share of others that it fits
worse, its rank, lies anywhere between 0 and 1; where it belongs, ranks lie near 1. How many there are of either kind,
and how near to 1, is fitted to all sentences: the two groups of Efron, Tibshirani, Storey, Tusher (Empirical Bayes
Analysis of a Microarray Experiment, JASA 96, 2001), whose local false discovery rate this is; how many are foreign is
asked of the sentences of other recordings that share most words. Chatter is what is foreign where most of these are.
What is foreign by its rank alone is no better known than the network is good: ranks of what it cannot see lie anywhere
too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from avssl.embedding.alignment import Placed

Floats = NDArray[np.float64]

FEWEST = 30
"""sentences with a rank, without which nothing is told"""
KIN = 20
"""sentences of other recordings, sharing most words, that are asked whether they are foreign"""
TOGETHER = 200
"""sentences of its own recording, at most, that are passed over in search of them"""
ROUNDS = 300
"""of expectation and maximization"""
MOST = 0.5
"""share of its kin above which, when they are foreign, a sentence may be chatter"""
CLEARER = 6.0
"""by how much two kinds must be likelier than ranks anywhere (logarithm); less happens by chance once in a thousand"""


def below(values: Floats) -> Floats:
    """Of each value [n] the share of the others that are below it, an equal one counted half; nan takes no part."""
    known = np.sort(values[~np.isnan(values)])
    places = np.searchsorted(known, values) + np.searchsorted(known, values, "right") - 1
    return np.where(np.isnan(values), math.nan, places / 2 / max(1, len(known) - 1))


def rank(fits: Sequence[Floats], fewest: int) -> float:
    """A sentence's own recording among others: the share of those whose standing, by the view that says most, is lower.

    Args:
        fits: by each view how well it fits its own recording and others [1 + P]; nan where one lacks the view.
        fewest: others that have all views, without which it is nan.

    Never quite 0 or 1.
    """
    standings = np.max([below(one) for one in fits], axis=0) if fits else np.zeros(0)
    count = np.count_nonzero(~np.isnan(standings))
    return float((below(standings)[0] * (count - 1) + 0.5) / count) if count > fewest else math.nan


def chatter(ranks: Floats, kin: NDArray[np.int64]) -> Floats | None:
    """The probability of each sentence [n] to be chatter: to be foreign, and 0 where most of its kin belong.

    Args, Returns:
        as :func:`foreign`.
    """
    found = foreign(ranks, kin)
    return None if found is None else np.where(found[1] <= MOST, 0.0, found[0])


def foreign(ranks: Floats, kin: NDArray[np.int64]) -> tuple[Floats, Floats] | None:
    """What ranks tell about who is foreign.

    Args:
        ranks: [n], above 0 and below 1; nan where nothing is known.
        kin: [n, K] sentences that are alike in words, -1 where there are fewer; see :func:`alike`.

    Returns:
        The probability of each to be foreign, and the share of its kin that are, one more counted who is not: [n] each,
        nan for one without rank. None where there are fewer than ``FEWEST`` ranks, or where they lie anywhere: then
        nothing can be told.
    """
    known = np.flatnonzero(~np.isnan(ranks))
    if len(known) < FEWEST:
        return None
    ours, place = ranks[known], np.full(len(ranks) + 1, -1)  # the last is who -1 means
    place[known] = np.arange(len(known))
    kin = place[kin[known]]
    shares, near = np.full(len(ours), 0.5), 5.0
    for _ in range(ROUNDS):
        odds, near = _round(ours, shares, near)
        shares = np.full_like(shares, odds.mean())
    if np.log(_densities(ours, shares, near).sum(0)).sum() < CLEARER:
        return None
    has = kin >= 0
    for _ in range(ROUNDS):
        odds, near = _round(ours, shares, near)
        kindred = np.where(has, odds[kin], 0).sum(1)
        shares = (kindred + odds.mean()) / (has.sum(1) + 1)
    found = np.full((2, len(ranks)), math.nan)
    found[:, known] = odds, kindred / (has.sum(1) + 1)
    return found[0], found[1]


def _densities(ranks: Floats, shares: Floats, near: float) -> Floats:
    """Of foreign sentences, 1, and of those that belong, ``near * rank**(near - 1)``, each times its share [2, n]."""
    return np.stack([shares, (1 - shares) * near * ranks ** (near - 1)])


def _round(ranks: Floats, shares: Floats, near: float) -> tuple[Floats, float]:
    """Probability of each to be foreign [n], and what ``near`` is likeliest then; at least 1, where both are alike."""
    both = _densities(ranks, shares, near)
    odds = both[0] / both.sum(0)
    return odds, max(1.0, float((1 - odds).sum() / max(((1 - odds) * -np.log(ranks)).sum(), 1e-9)))


def alike(texts: Sequence[str], recordings: Sequence[str]) -> NDArray[np.int64]:
    """Of each text the ``KIN`` texts [n, KIN] of other recordings that share most words, rare ones above all (cosine of
    TF-IDF); -1 where fewer share any."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import NearestNeighbors

    found = np.full((len(texts), KIN), -1)
    if not any(any(letter.isalnum() for letter in text) for text in texts):
        return found
    words = TfidfVectorizer(token_pattern=r"\w+").fit_transform(texts)
    together = min(TOGETHER, int(np.unique(recordings, return_counts=True)[1].max()))
    nearest = NearestNeighbors(n_neighbors=min(KIN + together, len(texts)), metric="cosine").fit(words)
    apart, rows = nearest.kneighbors(words)
    named = np.array(recordings)
    for own, (far, near) in enumerate(zip(apart, rows, strict=True)):
        kept = near[(far < 1 - 1e-9) & (named[near] != named[own])][:KIN]
        found[own, : len(kept)] = kept
    return found


def told(placed: Mapping[str, Sequence[Placed]]) -> dict[str, list[Placed]]:
    """Recording -> its sentences with the probability of each to be chatter, where that can be told."""
    every = [(key, one) for key, said in placed.items() for one in said]
    kin = alike([one.before.text for _, one in every], [key for key, _ in every])
    found = chatter(np.array([one.rank for _, one in every]), kin)
    odds = itertools.repeat(math.nan) if found is None else iter(found.tolist())
    return {key: [one._replace(chatter=next(odds)) for one in said] for key, said in placed.items()}
