"""One run on one label set: features computed once, answers judged beside those of a network without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avssl.methods.base import Method
from avssl.probe import features, spread
from avssl.probe.corrupted import worse
from avssl.probe.decoded import Decoded
from avssl.probe.examples import Examples
from avssl.probe.rounds import Floats, Numbers, Round, rounds
from avssl.train.build import Loaded, dump

Row = dict[str, Any]
Tell = Callable[[str, int, int], None]
"""(what, done, of how many)"""


LATER = {"pooled": "mean"}
"""settings that older rows do not tell, and what theirs was"""


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
    _vectors: dict[tuple[str, str, str], Floats] = field(default_factory=dict)
    _raw: dict[str, tuple[str, Floats]] = field(default_factory=dict)
    _fits: dict[tuple[str, float, str, str, int], Any] = field(default_factory=dict)

    @property
    def method(self) -> Method[Any]:
        """The trained method."""
        return self.loaded.method

    def who(self, name: str) -> Method[Any]:
        """The method, ``trained`` or ``untrained``."""
        return self.method if name == "trained" else self.fresh

    def windows(self, under: str = "") -> Decoded:
        """The label set as it is, or under a corruption (:func:`avssl.probe.corrupted.worse`)."""
        return worse(self.decoded, under, self.seed) if under else self.decoded

    def vectors(self, name: str, under: str = "", pooled: str = "mean") -> Floats:
        """Encoder vectors [N, D], trained or untrained; ``pooled`` as :func:`avssl.probe.features.vectors` has it."""
        key = (name, under, pooled)
        if key not in self._vectors:
            tell = partial(self.tell, f"features, {name}")
            self._vectors[key] = features.vectors(self.who(name), self.windows(under), tell, pooled)
        return self._vectors[key]

    def raw(self, under: str = "") -> tuple[str, Floats]:
        """What there is without an encoder: its name, [N, D]."""
        if under not in self._raw:
            self._raw[under] = features.raw(self.windows(under))
        return self._raw[under]

    def seen(self, under: str = "", pooled: str = "mean") -> dict[str, tuple[Floats, Floats]]:
        """Name -> features [N, D] that are fitted on, and those of the same examples that are judged."""
        name = self.raw()[0]
        both = ("trained", "untrained")
        who = {one: (self.vectors(one, "", pooled), self.vectors(one, under, pooled)) for one in both}
        return {**who, name: (self.raw()[1], self.raw(under)[1])}

    def rounds(self, fraction: float) -> list[Round]:
        """The rounds, with a share of the labels."""
        return rounds(self.data, self.seed, fraction)

    def answers(self, fraction: float, answer: Callable[[Round], tuple[Numbers, dict[str, Any]]]) -> Answers:
        """Every round's answers, one after the other."""
        told = [answer(cut) for cut in self.rounds(fraction)]
        return Answers(np.concatenate([predicted for predicted, _ in told]), [chosen for _, chosen in told])

    def judged(self, question: Mapping[str, Any], fit: Callable[..., Any], told: Sequence[str]) -> dict[str, Answers]:
        """:func:`compared` on the encoder's vectors; what was fitted on clean ones is used again under corruptions."""
        fraction, name, pooled = question["fraction"], question["probe"], question.get("pooled", "mean")
        seen = self.seen(question["under"], pooled)
        clean = {who: x for who, (x, _) in seen.items()}

        def once(who: str, place: int, *given: Any) -> Any:
            key = (name, fraction, pooled, who, place)
            if key not in self._fits:
                self._fits[key] = fit(*given)
            return self._fits[key]

        return compared(self, fraction, clean, once, told, {who: x for who, (_, x) in seen.items()})

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
    return all(row.get(name, LATER.get(name)) == value for name, value in same.items())


def compared(
    study: Study,
    fraction: float,
    who: Mapping[str, Floats],
    fit: Callable[..., Any],
    told: Sequence[str],
    judged: Mapping[str, Floats] | None = None,
) -> dict[str, Answers]:
    """The same probe on several features of the same examples: name -> answers.

    Args:
        study: whose labels and rounds.
        fraction: of the labels.
        who: name -> features [N, D] that are fitted on.
        fit: called with (name, number of the round, features, labels, round, number of classes).
        told: attributes of what ``fit`` gives that are recorded as chosen.
        judged: name -> features [N, D] of the same examples that are judged; the same unless given.
    """
    labels, classes, found = study.data.labels, len(study.data.classes), {}
    for done, (name, x) in enumerate(who.items()):
        study.tell("probes", done, len(who))
        shown, predicted, chosen = (judged or who)[name], [], []
        for place, cut in enumerate(study.rounds(fraction)):
            fitted = fit(name, place, x, labels, cut, classes)
            predicted.append(fitted.predict(shown[cut.test]))
            chosen.append({key: getattr(fitted, key) for key in told})
        found[name] = Answers(np.concatenate(predicted), chosen)
    study.tell("probes", len(who), len(who))
    return found
