"""One run on one label set: features computed once, answers judged beside those of a network without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avssl.methods.base import Method
from avssl.probe import features, spread
from avssl.probe.decoded import Decoded
from avssl.probe.examples import Examples
from avssl.probe.rounds import Floats, Numbers, Round, rounds
from avssl.train.build import Loaded, dump

Row = dict[str, Any]
Tell = Callable[[str, int, int], None]
"""(what, done, of how many)"""


class Answers(NamedTuple):
    """Class numbers of the judged examples of all rounds, and what was chosen in each round."""

    predicted: Numbers
    chosen: list[dict[str, Any]]


def quiet(what: str, done: int, total: int) -> None:
    """Where nobody watches."""


@dataclass
class Study:
    """A run and its untrained self on one decoded label set.

    ``run`` names the run for people. ``seed`` draws what is held back and which labels are kept.
    """

    run: str
    loaded: Loaded
    fresh: Method[Any]
    data: Examples
    decoded: Decoded
    seed: int = 0
    tell: Tell = quiet
    _vectors: dict[str, Floats] = field(default_factory=dict)
    _raw: tuple[str, Floats] | None = None

    @property
    def method(self) -> Method[Any]:
        """The trained method."""
        return self.loaded.method

    def who(self, name: str) -> Method[Any]:
        """The method, ``trained`` or ``untrained``."""
        return self.method if name == "trained" else self.fresh

    def vectors(self, name: str) -> Floats:
        """Encoder vectors [N, D], trained or untrained."""
        if name not in self._vectors:
            self._vectors[name] = features.vectors(
                self.who(name), self.decoded, lambda done, total: self.tell(f"features, {name}", done, total)
            )
        return self._vectors[name]

    def raw(self) -> tuple[str, Floats]:
        """What there is without an encoder: its name, [N, D]."""
        if self._raw is None:
            self._raw = features.raw(self.decoded)
        return self._raw

    def rounds(self, fraction: float) -> list[Round]:
        """The rounds, with a share of the labels."""
        return rounds(self.data, self.seed, fraction)

    def answers(self, fraction: float, answer: Callable[[Round], tuple[Numbers, dict[str, Any]]]) -> Answers:
        """Every round's answers, one after the other."""
        told = [answer(cut) for cut in self.rounds(fraction)]
        return Answers(np.concatenate([predicted for predicted, _ in told]), [chosen for _, chosen in told])

    def row(self, question: Mapping[str, Any], part: Mapping[str, Any], answers: Mapping[str, Answers]) -> Row:
        """A result with all that must be known about it.

        Args:
            question: the evaluator (``probe``) and its settings, ``fraction`` among them.
            part: what of the answer this row is, such as the stage.
            answers: of ``trained``, and of whatever is put beside it.
        """
        cuts = self.rounds(question["fraction"])
        judged: NDArray[np.int64] = np.concatenate([cut.test for cut in cuts])
        truth = self.data.labels[judged]
        trained = answers["trained"]
        right = trained.predicted == truth
        shares = [spread.majority(self.data.labels[cut.both], self.data.labels[cut.test]) for cut in cuts]
        beside: dict[str, Any] = {
            name: _score(one.predicted == truth) for name, one in answers.items() if name != "trained"
        }
        beside["majority"] = {"accuracy": float(np.average(shares, weights=[len(cut.test) for cut in cuts]))}
        beside["chance"] = {"accuracy": 1 / len(self.data.classes)}
        row = {
            **question, "part": dict(part), "run": self.run, "method": self.loaded.cfg.method.name,
            "config": dump(self.loaded.cfg), "digest": self.loaded.digest, "step": self.loaded.step,
            "pretraining_data": self.loaded.manifest_digest, "data": self.data.name, "data_digest": self.data.digest,
            "modality": self.decoded.modality, "seed": self.seed, "classes": len(self.data.classes),
            "fitted": [len(cut.both) for cut in cuts], "judged": len(judged), **_score(right),
            "per_class": spread.per_class(trained.predicted, truth), "intervals": spread.INTERVALS,
            "chosen": trained.chosen, "beside": beside,
        }  # fmt: skip
        if "untrained" in answers:
            row["gain"] = list(spread.gain(right, answers["untrained"].predicted == truth))
        if len(cuts) > 1:
            ends = np.cumsum([len(cut.test) for cut in cuts])[:-1]
            row["by_round"] = [float(one.mean()) for one in np.split(right, ends)]
        return row


def _score(right: NDArray[np.bool_]) -> dict[str, Any]:
    told = spread.wilson(int(right.sum()), len(right))
    return {"accuracy": told.value, "interval": [told.low, told.high]}


def asked(row: Mapping[str, Any], question: Mapping[str, Any], study: Study) -> bool:
    """Whether a row answers this question about this run and label set."""
    same = {
        **question, "digest": study.loaded.digest, "data_digest": study.data.digest,
        "modality": study.decoded.modality, "seed": study.seed,
    }  # fmt: skip
    return all(row.get(name) == value for name, value in same.items())


def compared(study: Study, fraction: float, who: Mapping[str, Floats], fit: Callable[..., Any], told: Sequence[str]
             ) -> dict[str, Answers]:  # fmt: skip
    """The same probe on several features [N, D] of the same examples: name -> answers.

    ``fit`` is called with (features, labels, round, number of classes); ``told`` are the attributes of what it gives
    that are recorded as chosen.
    """
    labels, classes = study.data.labels, len(study.data.classes)
    found = {}
    for done, (name, x) in enumerate(who.items()):
        study.tell("probes", done, len(who))

        def answer(cut: Round, x: Floats = x) -> tuple[Numbers, dict[str, Any]]:
            fitted = fit(x, labels, cut, classes)
            return fitted.predict(x[cut.test]), {key: getattr(fitted, key) for key in told}

        found[name] = study.answers(fraction, answer)
    study.tell("probes", len(who), len(who))
    return found
