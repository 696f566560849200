"""What clusters of moments hold: how many, of which recordings, what they are called, which are in their middle."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from avssl.nn.clusters import kmeans
from avssl.words import counted

EXAMPLES = 5
"""moments shown of a cluster, each of another recording"""
WORDS = 3
STARTS = 4
"""k-means begins so often, and the tightest clusters are taken"""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """A cluster of moments. ``label`` is the commonest value of the label, ``share`` how many moments have it."""

    number: int
    moments: int
    recordings: int
    cosine: float
    """mean cosine of its moments with its middle"""
    label: str
    share: float
    words: tuple[str, ...]
    """said in it more often than elsewhere"""
    examples: tuple[Row, ...]
    """rows of the moments nearest to its middle"""

    def row(self) -> dict[str, Any]:
        """As plain values, the examples by where they are."""
        keys = ("recording", "path", "start", "end")
        shown = [{key: example[key] for key in keys} for example in self.examples]
        return {**vars(self), "words": list(self.words), "examples": shown}


def clusters_of(vectors: NDArray[np.float32], count: int, seed: int = 0) -> NDArray[np.int64]:
    """k-means of unit vectors [N, D] around their mean: the number of each one's cluster, [N].

    Raises ValueError for more clusters than vectors, or fewer than 1.
    """
    if not 1 <= count <= len(vectors):
        told = f"{counted(count, 'cluster')} of {counted(len(vectors), 'moment')}"
        raise ValueError(f"{told}: ask for 1 to {len(vectors)}")
    x = torch.from_numpy(vectors - vectors.mean(0))
    best: tuple[float, NDArray[np.int64]] | None = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(STARTS):
            centers, labels = kmeans(x, count, 100)
            loose = float((x - centers[labels]).square().sum())
            if best is None or loose < best[0]:
                best = loose, labels.numpy()
    assert best is not None
    return best[1]


def number_for(recordings: int) -> int:
    """How many clusters to look for among so many recordings, where nobody says: a page that can be looked through."""
    return min(20, max(2, round(math.sqrt(recordings / 2))))


def label_of(rows: Sequence[Row]) -> str:
    """The label that clusters are named by: ``kind`` where there is one, else the first in the alphabet, else ""."""
    names = {name for row in rows for name, value in row["extra"].items() if value} - {"split", "case"}
    return "kind" if "kind" in names else min(names, default="")


def grouped(vectors: NDArray[np.float32], rows: Sequence[Row], numbers: NDArray[np.int64], label: str) -> list[Group]:
    """The clusters, the greatest first.

    Args:
        vectors: unit vectors [N, D].
        rows: of each, as :class:`avssl.embedding.Embedded` has them.
        numbers: [N], each one's cluster.
        label: name of a label; "" for none.
    """
    everywhere = Counter(word for row in rows for word in _words(row["narration"]))
    found = []
    for number in np.unique(numbers).tolist():
        places = np.flatnonzero(numbers == number).tolist()
        middle = vectors[places].mean(0)
        cosines = vectors[places] @ (middle / max(float(np.linalg.norm(middle)), 1e-12))
        held = [rows[place] for place in places]
        names = Counter(str(row["extra"].get(label) or "") for row in held) if label else Counter({"": 1})
        name, most = next(iter(names.most_common(1)))
        nearest: dict[str, Row] = {}
        for place in np.argsort(-cosines, kind="stable").tolist():
            nearest.setdefault(held[place]["recording"], held[place])
        found.append(
            Group(
                number, len(held), len(nearest), float(cosines.mean()), name, most / len(held) if name else 0.0,
                _telling(held, everywhere, len(rows)), tuple(nearest.values())[:EXAMPLES],
            )
        )  # fmt: skip
    return sorted(found, key=lambda group: (-group.moments, group.number))


def agreement(rows: Sequence[Row], numbers: NDArray[np.int64], label: str) -> float | None:
    """Adjusted mutual information of clusters and labels: 0 by chance, 1 the same; None without two labels."""
    from sklearn.metrics import adjusted_mutual_info_score

    names = [str(row["extra"].get(label) or "") for row in rows] if label else []
    known = [place for place, name in enumerate(names) if name]
    if len({names[place] for place in known}) < 2:
        return None
    return float(adjusted_mutual_info_score([names[place] for place in known], numbers[known]))


def _words(said: str) -> set[str]:
    return {word for word in re.findall(r"[^\W\d_]+", said.lower()) if len(word) > 2}


def _telling(held: Sequence[Row], everywhere: Mapping[str, int], count: int) -> tuple[str, ...]:
    """Words that are said here in more moments than elsewhere would make one expect, the most telling first."""
    here = Counter(word for row in held for word in _words(row["narration"]))
    scores = {
        word: times * math.log(times * count / (len(held) * everywhere[word]))
        for word, times in here.items()
        if times > 1 and times * count > 1.5 * len(held) * everywhere[word]
    }
    return tuple(sorted(scores, key=lambda word: (-scores[word], word))[:WORDS])
