"""What an encoder of pictures knows: every question of scripts/compare.py, asked of one network.

Answers are kept by what the network makes of the first pictures, so networks that see alike (the same trunk untrained,
whatever method it waits for) are examined once, and an interrupted examination goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avssl.methods.base import Method
from avssl.probe import features, finetune, knn, linear, spread, stages
from avssl.probe.corrupted import worse
from avssl.probe.decoded import Decoded
from avssl.probe.examples import Examples
from avssl.probe.rounds import Numbers, Round, rounds
from avssl.train.checkpoint import replace_text

MAIN = "cifar"
"""the label set of all questions; the others are asked for transfer"""
STAGE_VALUES = 512
PENALTIES = tuple(10.0**power for power in range(1, -6, -1))
STAGE_PENALTIES = PENALTIES[:5]
"""a stage has more values than a vector, and weak penalties take the most time; ``at_edge`` tells where one is due"""
PATIENCE = 1
"""a penalty ten times weaker that is surely worse is the last; weaker ones take most of the time"""
SEARCH = [PATIENCE, linear.ERRORS]
"""how penalties are searched; answers of another search are not taken"""
FRACTIONS = {"labels_1": 0.01, "labels_10": 0.1}
"""share of the labels that the linear probe is given"""
CORRUPTED = ("blur 2", "noise 3", "contrast 4")
RATE = 0.1
"""of fine-tuning, one for all; better than 0.03 and 0.3 on validation pictures, of a short run of rotation"""
FINGERS = 64
"""pictures by which networks are told apart"""
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class LabelSet:
    """Pictures with labels, decoded at the runs' size; ``flip`` where a mirrored picture is of the same class."""

    data: Examples
    decoded: Decoded
    flip: bool = True

    def cut(self, seed: int, fraction: float = 1.0) -> Round:
        """Which pictures are fitted on, which choose, which judge."""
        return rounds(self.data, seed, fraction)[0]

    def truth(self, seed: int) -> Numbers:
        """Classes of the pictures that judge."""
        return self.data.labels[self.cut(seed).test]

    def about(self, seed: int) -> dict[str, Any]:
        """What a row says of it."""
        cut = self.cut(seed)
        return {
            "digest": self.data.digest, "classes": len(self.data.classes), "fitted": len(cut.both),
            "of_them_choose": len(cut.val), "judged": len(cut.test),
        }  # fmt: skip


class Answer(NamedTuple):
    """Class numbers of the judged pictures, and what was chosen on validation pictures."""

    predicted: Numbers
    chosen: dict[str, Any]


@dataclass
class Examination:
    """One network before all label sets.

    Args:
        method: the network; its encoder of pictures is asked.
        sets: name -> label set, :data:`MAIN` among them.
        seed: of what is held back, which labels are kept, and fine-tuning's batches.
        steps: of fine-tuning.
        kept: folder of answers.
        tell: called with (what, done, of how many).
    """

    method: Method[Any]
    sets: Mapping[str, LabelSet]
    seed: int
    steps: int
    kept: Path
    tell: Tell
    _vectors: dict[tuple[str, str], NDArray[np.float32]] = field(default_factory=dict)
    _maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    _probes: dict[tuple[str, float], linear.Probe] = field(default_factory=dict)

    def answers(self) -> dict[str, Answer]:
        """Question -> answer, asked or found."""
        finger = fingerprint(self.method, self.sets[MAIN].decoded)
        questions = list(self.questions())
        found = {}
        for done, (name, which, settings, ask) in enumerate(questions):
            self.tell("examining", done, len(questions))
            digest = self.sets[which].data.digest
            about = json.dumps([finger, name, settings, digest, self.seed])
            path = self.kept / f"{name}-{hashlib.sha256(about.encode()).hexdigest()[:24]}.json"
            if path.is_file():
                held = json.loads(path.read_text(encoding="utf-8"))
                found[name] = Answer(np.array(held["predicted"], np.int64), held["chosen"])
                continue
            found[name] = ask()
            self.kept.mkdir(parents=True, exist_ok=True)
            told = {"predicted": found[name].predicted.tolist(), "chosen": found[name].chosen}
            replace_text(path, json.dumps(told))
        self.tell("examining", len(questions), len(questions))
        return found

    def questions(self) -> Iterator[tuple[str, str, Any, Callable[[], Answer]]]:
        """(name, label set, settings, how it is asked)."""
        row = stages.stages(features.encoder_of(self.method, "image"))
        for number in range(1, len(row.names) + 1):
            settings = [STAGE_VALUES, STAGE_PENALTIES, *SEARCH]
            yield f"stage{number}", MAIN, settings, partial(self.stage, number)
        yield "linear", MAIN, [PENALTIES, *SEARCH], partial(self.linear, MAIN)
        yield "knn", MAIN, knn.NEIGHBORS, self.knn
        for name, share in FRACTIONS.items():
            yield name, MAIN, [share, PENALTIES, *SEARCH], partial(self.linear, MAIN, share)
        for under in CORRUPTED:
            yield under.split()[0], MAIN, [under, PENALTIES, *SEARCH], partial(self.linear, MAIN, 1.0, under)
        for which in self.sets:
            if which != MAIN:
                yield f"{which}_linear", which, [PENALTIES, *SEARCH], partial(self.linear, which)
            name = "tuned" if which == MAIN else f"{which}_tuned"
            # what is tuned starts from the weights, which the fingerprint's pictures tell
            yield name, which, [self.steps, RATE, "standardized"], partial(self.tuned, which)

    def vectors(self, which: str, under: str = "") -> NDArray[np.float32]:
        """The encoder's vectors [N, D] of a label set, those that are judged seen under a corruption."""
        if (which, under) not in self._vectors:
            held = self.sets[which]
            if not under:
                found = features.vectors(self.method, held.decoded)
            else:
                test = held.cut(self.seed).test
                seen = worse(held.decoded, under, self.seed).windows(test).numpy()
                found = self.vectors(which).copy()
                part = replace(held.decoded, x=seen, owner=np.arange(len(test)))
                found[test] = features.vectors(self.method, part)
            self._vectors[which, under] = found
        return self._vectors[which, under]

    def linear(self, which: str, fraction: float = 1.0, under: str = "") -> Answer:
        """A linear probe on vectors, fitted on clean pictures."""
        data, cut = self.sets[which].data, self.sets[which].cut(self.seed, fraction)
        if (which, fraction) not in self._probes:
            classes = len(data.classes)
            self._probes[which, fraction] = linear.fit(
                self.vectors(which), data.labels, cut, classes, PENALTIES, PATIENCE
            )
        probe = self._probes[which, fraction]
        return Answer(probe.predict(self.vectors(which, under)[cut.test]), _chosen(probe, linear.TOLD))

    def knn(self) -> Answer:
        """Nearest neighbors of vectors."""
        data, cut = self.sets[MAIN].data, self.sets[MAIN].cut(self.seed)
        held = knn.fit(self.vectors(MAIN), data.labels, cut, len(data.classes))
        return Answer(held.predict(self.vectors(MAIN)[cut.test]), _chosen(held, ("k", "validation")))

    def stage(self, number: int) -> Answer:
        """A linear probe on a stage's map."""
        data, cut = self.sets[MAIN].data, self.sets[MAIN].cut(self.seed)
        if not self._maps:
            self._maps = stages.features(self.method, self.sets[MAIN].decoded, STAGE_VALUES)
        x = self._maps[f"stage{number}"]
        probe = linear.fit(x, data.labels, cut, len(data.classes), STAGE_PENALTIES, PATIENCE)
        return Answer(probe.predict(x[cut.test]), {**_chosen(probe, linear.TOLD), "values": x.shape[1]})

    def tuned(self, which: str) -> Answer:
        """The encoder trained on the labels for a few steps."""
        held = self.sets[which]
        cut = held.cut(self.seed)
        plan = finetune.Plan(steps=self.steps, rates=(RATE,), flip=held.flip)
        told = finetune.fit(
            self.method, self.method, held.decoded, held.data.labels, cut, len(held.data.classes), plan=plan,
            seed=self.seed,
        )  # fmt: skip
        return Answer(told.predicted, {"rate": RATE, "steps": self.steps})


def _chosen(fitted: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(fitted, name) for name in names}


def fingerprint(method: Method[Any], decoded: Decoded) -> str:
    """A digest of what every stage makes of the first pictures."""
    few = replace(decoded, x=decoded.x[:FINGERS], owner=decoded.owner[:FINGERS])
    told = hashlib.sha256()
    for x in (*stages.features(method, few, STAGE_VALUES).values(), features.vectors(method, few)):
        told.update(np.ascontiguousarray(x).tobytes())
    return told.hexdigest()


def figures(
    trained: Mapping[str, Answer], untrained: Mapping[str, Answer], sets: Mapping[str, LabelSet], seed: int
) -> dict[str, Any]:
    """Question -> accuracy with its interval beside the untrained network's, and the gain.

    ``best`` is the stage that validation pictures prefer, trained and untrained each its own.
    """
    told = {}
    truth = {name: held.truth(seed) for name, held in sets.items()}
    for name, answer in trained.items():
        right = truth[_set_of(name, sets)]
        told[name] = _figure(answer.predicted == right, untrained[name].predicted == right, answer.chosen)
    pair = [max(_stages(who), key=lambda name: float(who[name].chosen["validation"])) for who in (trained, untrained)]
    right = truth[MAIN]
    best = _figure(
        trained[pair[0]].predicted == right,
        untrained[pair[1]].predicted == right,
        {"stage": pair[0], "untrained_stage": pair[1]},
    )
    return {**told, "best": best}


def _stages(who: Mapping[str, Answer]) -> list[str]:
    return [name for name in who if name.startswith("stage")]


def _set_of(question: str, sets: Mapping[str, LabelSet]) -> str:
    return next((name for name in sets if question.startswith(f"{name}_")), MAIN)


def _figure(right: NDArray[np.bool_], other: NDArray[np.bool_], chosen: Mapping[str, Any]) -> dict[str, Any]:
    value, low, high = spread.wilson(int(right.sum()), len(right))
    return {
        "trained": value, "interval": [low, high], "untrained": float(other.mean()),
        "gain": list(spread.gain(right, other)), "chosen": dict(chosen),
    }  # fmt: skip
