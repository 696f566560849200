"""Nearest neighbors: the class of the training examples most like a test example. Nothing is fitted.

Cosines, each neighbor votes with exp(cosine / 0.1), as weighted nearest neighbors are used to judge self-supervised
features (k = 200, and 20); how many neighbors vote is chosen on validation examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avssl.probe.rounds import Floats, Numbers, Round
from avssl.probe.study import Row, Study

NEIGHBORS = (1, 5, 20, 200)
TEMPERATURE = 0.1
ROWS = 1024
"""test examples that are compared at once"""


@dataclass(frozen=True)
class Neighbors:
    """Training features as unit vectors [M, D], their classes [M], and the chosen number of neighbors."""

    held: Floats
    labels: Numbers
    classes: int
    k: int
    validation: float

    def predict(self, x: Floats) -> Numbers:
        """Class numbers [N] of features [N, D]."""
        return _votes(_unit(x), self.held, self.labels, self.classes, (self.k,))[0]


def fit(x: Floats, y: Numbers, cut: Round, classes: int, choices: tuple[int, ...] = NEIGHBORS) -> Neighbors:
    """Choose k on ``cut.val``; then all that is not judged is held. Arguments as in :func:`avssl.probe.linear.fit`."""
    train, val = _unit(x[cut.train]), _unit(x[cut.val])
    told = _votes(val, train, y[cut.train], classes, choices)
    accuracies = [float((one == y[cut.val]).mean()) for one in told]
    best = int(np.argmax(accuracies))
    return Neighbors(_unit(x[cut.both]), y[cut.both], classes, choices[best], accuracies[best])


def _unit(x: Floats) -> Floats:
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.maximum(norms, 1e-12), np.float32)


def _votes(x: Floats, held: Floats, labels: Numbers, classes: int, ks: tuple[int, ...]) -> list[Numbers]:
    """Class numbers [N] for each k: unit vectors [N, D] against [M, D] of classes [M]."""
    most = min(max(ks), len(held))
    found: list[list[Numbers]] = [[] for _ in ks]
    for first in range(0, len(x), ROWS):
        cosines = x[first : first + ROWS] @ held.T  # [R, M]
        near = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
        order = np.take_along_axis(cosines, near, 1).argsort(1)[:, ::-1]
        near = np.take_along_axis(near, order, 1)
        weights = np.exp(np.take_along_axis(cosines, near, 1) / TEMPERATURE)
        for votes, k in zip(found, ks, strict=True):
            total: NDArray[np.float64] = np.zeros((len(near), classes))
            for place in range(min(k, most)):
                total[np.arange(len(near)), labels[near[:, place]]] += weights[:, place]
            votes.append(total.argmax(1))
    return [np.concatenate(votes) for votes in found]


def evaluate(study: Study, question: Mapping[str, Any]) -> list[Row]:
    """One row: the encoder's vectors, beside those of the untrained one and what there is without any.

    What is judged may be ``under`` a corruption; what is fitted on and what chooses stays clean.
    """
    return [study.row(question, {}, study.judged(question, fit, ("k", "validation")))]
