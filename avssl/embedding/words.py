"""How well windows agree with a sentence that is tried at other moments than the one it is given."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avssl.data.narration import Phrase
from avssl.embedding.network import Embedder, Vectors

AT_ONCE = 256
"""texts that go through the encoder together"""
FRESH_SECONDS = 0.2
"""windows nearer together than this tell the same again"""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Words:
    """A phrase, and the texts that windows over it may be about.

    A network that was trained on the words said inside a window is asked about those, where words are timed: which
    words a window should hold tells the moment far more sharply than the sentence as a whole does. ``rows`` [n + 1,
    n + 1] numbers the vector of the words i to j - 1 of n, -1 where they do not fit into a window. Without timed words
    there is one vector, and no ``rows``.
    """

    phrase: Phrase
    vectors: Vectors
    middles: Floats
    rows: NDArray[np.int64] | None
    window_seconds: float
    hop_seconds: float

    @classmethod
    def of(cls, phrase: Phrase, embedder: Embedder, hop_seconds: float) -> Words:
        """The phrase for this network; windows are ``hop_seconds`` apart."""
        said = sorted(phrase.words)
        middles = np.array([(start + end) / 2 for start, end, _ in said])
        seconds = embedder.window.seconds
        if not said or embedder.inputs.cfg.narration != "window":
            return cls(phrase, embedder.text([phrase.text]), middles, None, seconds, hop_seconds)
        rows, texts = np.full((len(said) + 1, len(said) + 1), -1), dict[str, int]()
        for i in range(len(said)):
            for j in range(i + 1, len(said) + 1):
                if middles[j - 1] - middles[i] < seconds:
                    text = " ".join(word for *_, word in said[i:j])
                    rows[i, j] = texts.setdefault(text, len(texts))
        listed = list(texts)
        parts = [embedder.text(listed[k : k + AT_ONCE]) for k in range(0, len(listed), AT_ONCE)]
        return cls(phrase, np.concatenate(parts), middles, rows, seconds, hop_seconds)

    def at(self, middle: float, seconds: float) -> Words:
        """The same with the phrase's middle at this moment, or as near to it as a recording of ``seconds`` allows."""
        length = self.phrase.end - self.phrase.start
        shift = max(0.0, min(middle - length / 2, seconds - length)) - self.phrase.start
        phrase = replace(self.phrase, start=self.phrase.start + shift, end=self.phrase.end + shift)
        return replace(self, phrase=phrase, middles=self.middles + shift)


def evidence(words: Words, agreement: Vectors, begins: Floats, ends: Floats, shifts: Floats, at: str) -> Floats:
    """How much speaks for each shift [S], in standard deviations.

    Args:
        words: the phrase.
        agreement: [texts, W] of its texts with a recording's windows, in standard deviations of what is usual.
        begins, ends: [W] of the windows, in seconds.
        shifts: [S] seconds.
        at: middle, or begin: the agreement within a window's length after the phrase's middle less that before it.
    """
    if words.rows is not None:
        return _said(words, agreement, begins, ends, shifts)
    middles = (begins + ends) / 2
    course = agreement[0].astype(np.float64)
    if at == "middle":
        return np.asarray(np.mean([np.interp(point + shifts, middles, course) for point in _points(words)], 0))
    fine = np.linspace(0.0, 1.0, 13)[:, None] * words.window_seconds
    moment = words.phrase.middle + shifts
    after, before = (np.interp(moment + side * fine, middles, course).mean(0) for side in (1, -1))
    return np.asarray(after - before)


def _said(words: Words, agreement: Vectors, begins: Floats, ends: Floats, shifts: Floats) -> Floats:
    """Each window is asked about the words that it would hold; windows without a word say nothing."""
    assert words.rows is not None
    moments = words.middles + shifts[:, None]  # [S, n]
    first = (moments[:, None] < begins[:, None] - 1e-9).sum(2)  # [S, W]
    last = (moments[:, None] < ends[:, None] - 1e-9).sum(2)
    row = words.rows[first, last]
    told = np.where(row >= 0, agreement[row, np.arange(len(begins))], 0.0)
    return np.asarray(told.sum(1) * (words.hop_seconds / FRESH_SECONDS))


def _points(words: Words) -> Floats:
    """Moments of a phrase at which windows are looked at: its middle, or several where it is longer than a window."""
    start, end = words.phrase.start, words.phrase.end
    rest = end - start - words.window_seconds
    count = max(1, math.ceil((end - start) / words.window_seconds))
    if rest <= 0 or count == 1:
        return np.array([words.phrase.middle])
    return np.linspace(words.phrase.middle - rest / 2, words.phrase.middle + rest / 2, count)
