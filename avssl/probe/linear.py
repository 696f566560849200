"""A linear probe: logistic regression on frozen features.

The linear protocol of Ting Chen, Simon Kornblith, Mohammad Norouzi, Geoffrey Hinton: A Simple Framework for
Contrastive Learning of Visual Representations, ICML 2020, arXiv:2002.05709: multinomial logistic regression
with an L2 penalty by L-BFGS, no augmentation, the penalty chosen on validation examples, then a fit on both.

Deviations: features are standardized on what is fitted on; fewer penalties; they are tried from the strongest down,
each from the solution before, and no more once the validation accuracy has been behind the best by more than two
standard errors three times: of few validation examples a lower accuracy is chance, and strong penalties may tell
nothing.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avssl.probe.rounds import Floats, Numbers, Round
from avssl.probe.study import Row, Study

PENALTIES = tuple(float(10**power) for power in np.arange(1.0, -6.01, -0.5))
"""weights of half the squared norm beside the mean loss of an example; scikit-learn's C is 1 / (penalty x examples)"""
PATIENCE = 3
ERRORS = 2.0
"""standard errors by which a validation accuracy is worse than the best"""
SEARCH = [PATIENCE, ERRORS]
"""how penalties are searched, for rows"""
STEPS = 400
TOLERANCE = 1e-4
TOLD = ("penalty", "validation", "at_edge", "converged")


@dataclass(frozen=True)
class Probe:
    """A fitted probe: class scores are ``x @ weights.T + bias`` on features as they come, [N, D] -> [N, K].

    ``penalty`` is the chosen one, ``validation`` the accuracy it was chosen for; ``at_edge`` says that it is the first
    or last of those tried, ``converged`` that the last fit came to rest.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    penalty: float
    validation: float
    at_edge: bool
    converged: bool

    def scores(self, x: Floats) -> NDArray[np.float64]:
        """Class scores [N, K] of features [N, D]."""
        scores: NDArray[np.float64] = x.astype(np.float64) @ self.weights.T + self.bias
        return scores

    def predict(self, x: Floats) -> Numbers:
        """Class numbers [N] of features [N, D]."""
        return np.asarray(self.scores(x).argmax(1), np.int64)


def fit(
    x: Floats, y: Numbers, cut: Round, classes: int, penalties: tuple[float, ...] = PENALTIES, patience: int = PATIENCE
) -> Probe:
    """Choose the penalty on ``cut.val``, then fit on all that is not judged.

    Args:
        x: features [N, D]; rows of ``cut.test`` are never read.
        y: class numbers [N]; those of ``cut.test`` are never read.
        cut: places of the parts.
        classes: K; a class without a training example gets a score that never wins.
        penalties: tried in this order, the strongest first.
        patience: how many that are surely worse than the best before are tried until no more are.
    """
    mean, deviation = _statistics(x[cut.train])
    train, val = (x[cut.train] - mean) / deviation, (x[cut.val] - mean) / deviation
    best, chosen, worse = -1.0, 0, 0
    path = _Path(train, y[cut.train])
    for place, penalty in enumerate(penalties):
        found, offsets, names = path.solve(penalty)
        accuracy = float((names[(val @ found.T + offsets).argmax(1)] == y[cut.val]).mean())
        if accuracy > best:
            best, chosen, worse = accuracy, place, 0
        else:
            likely = min(best, (len(val) + 1) / (len(val) + 2))  # nobody is sure to be right
            worse += best - accuracy > ERRORS * math.sqrt(likely * (1 - likely) / len(val))
        if worse == patience:
            break
    both = cut.both
    mean, deviation = _statistics(x[both])
    path = _Path((x[both] - mean) / deviation, y[both])
    for penalty in penalties[: chosen + 1 : 2] + penalties[chosen : chosen + 1]:
        found, offsets, names = path.solve(penalty)
    weights = np.zeros((classes, x.shape[1]))
    bias = np.full(classes, -np.inf)
    weights[names] = found / deviation
    bias[names] = offsets - weights[names] @ mean
    edge = chosen in (0, len(penalties) - 1)
    return Probe(weights, bias, penalties[chosen], best, edge, path.converged)


def _statistics(x: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean, deviation = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    deviation[deviation < 1e-6 * max(1e-12, float(deviation.max(initial=0.0)))] = np.inf  # tells nothing
    deviation[deviation == 0] = np.inf
    return mean.astype(np.float32), deviation.astype(np.float32)


class _Path:
    """Solutions for one penalty after the other, each started from the one before."""

    def __init__(self, x: Floats, y: Numbers):
        from sklearn.linear_model import LogisticRegression

        self.x, self.y = np.ascontiguousarray(x, np.float32), y
        self.only = int(y[0]) if len(np.unique(y)) == 1 else None
        self.model = LogisticRegression(solver="lbfgs", max_iter=STEPS, tol=TOLERANCE, warm_start=True)
        self.converged = True

    def solve(self, penalty: float) -> tuple[NDArray[np.float64], NDArray[np.float64], Numbers]:
        """Weights [K', D], offsets [K'], and the numbers of the K' classes there are."""
        from sklearn.exceptions import ConvergenceWarning

        if self.only is not None:
            return np.zeros((1, self.x.shape[1])), np.zeros(1), np.array([self.only])
        self.model.set_params(C=1 / (penalty * len(self.y)))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", ConvergenceWarning)
            self.model.fit(self.x, self.y)
        self.converged = not any(issubclass(one.category, ConvergenceWarning) for one in told)
        weights, offsets = self.model.coef_.astype(np.float64), self.model.intercept_.astype(np.float64)
        if len(self.model.classes_) == 2:  # one row says both
            weights, offsets = np.concatenate([-weights, weights]) / 2, np.concatenate([-offsets, offsets]) / 2
        return weights, offsets, self.model.classes_


def evaluate(study: Study, question: Mapping[str, Any]) -> list[Row]:
    """One row: the encoder's vectors, beside those of the untrained one and what there is without any.

    What is judged may be ``under`` a corruption; what is fitted on and what chooses stays clean.
    """
    return [study.row(question, {}, study.judged(question, fit, TOLD))]
