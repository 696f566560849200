"""What a run's encoders know: linear probes on held-out recordings, beside the same encoders untrained and none at all.

Used by scripts/audiovisual.py. Decoded recordings and answers are kept; answers by what the encoder makes of the first
recordings, so encoders that see alike (the same one untrained, whatever method it waits for) are asked once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from examiner import PATIENCE, PENALTIES, SEARCH

from avssl.cli._counting import counting
from avssl.data.manifest import Manifest
from avssl.evaluation import in_sight
from avssl.probe import decoded, features, importers, linear, spread
from avssl.probe.decoded import Decoded
from avssl.probe.examples import Examples
from avssl.probe.rounds import Floats, Numbers, rounds
from avssl.train.build import Loaded
from avssl.train.checkpoint import replace_text

MODALITIES = ("image", "video", "audio", "text")
FINGERS = 8
"""windows by which encoders are told apart"""
ESC10 = "esc10"


@dataclass(frozen=True)
class Asked:
    """Label -> label set, all of the same recordings in the same order, and the encoders that are asked."""

    sets: Mapping[str, Examples]
    modalities: tuple[str, ...] = MODALITIES

    def of(self, modality: str) -> dict[str, Examples]:
        """The recordings that have this modality; {} where a label is left with too few classes."""
        try:
            return {
                label: Examples(one.name, tuple(each for each in one.examples if modality in each.kinds))
                for label, one in self.sets.items()
            }
        except ValueError:  # none, or of one class
            return {}


def of_manifest(listed: Path, labels: tuple[str, ...]) -> Asked:
    """Labels of a manifest's recordings, without those whose label says that nothing in the picture is heard."""
    whole = Manifest.load(listed)
    kept = tuple(in_sight(whole.recordings))
    held = Manifest(kept, root=whole.root)
    return Asked({label: importers.manifest(held, listed.stem, label, None) for label in labels})


def of_esc10(folder: Path, room: Path) -> Asked:
    """ESC-10 by its five folds; sounds alone."""
    return Asked({ESC10: importers.read(str(folder), room)}, ("audio",))


@dataclass
class Probing:
    """All that is asked of the encoders of one run after the other.

    Args:
        room: folder of decoded recordings and answers.
        groups: what is asked.
    """

    room: Path
    groups: tuple[Asked, ...]
    _decoded: dict[str, Decoded] = field(default_factory=dict)

    def digests(self) -> dict[str, str]:
        """Label -> what is asked, in short."""
        return {label: one.digest[:16] for group in self.groups for label, one in group.sets.items()}

    def figures(
        self, networks: Mapping[str, Loaded], seed: int, tell: Callable[[int, int], None]
    ) -> dict[str, dict[str, Any]]:
        """Encoder -> label -> accuracy, trained and untrained, of features without an encoder, and of guessing.

        ``networks``: trained, untrained. ``seed``: of what chooses a penalty where a label set has no part that does.
        """
        asked = [
            (modality, sets)
            for group in self.groups
            for modality in networks["trained"].method.encoders
            if modality in group.modalities and (sets := group.of(modality))
        ]
        found: dict[str, dict[str, Any]] = {modality: {} for modality, _ in asked}
        total, done = sum(len(sets) for _, sets in asked), 0
        for modality, sets in asked:
            seen = self.read(next(iter(sets.values())), networks["trained"], modality)
            sources = dict(_sources(networks, seen))
            for label, data in sets.items():
                cuts = rounds(data, seed)
                truth = data.labels[np.concatenate([cut.test for cut in cuts])]
                right = {who: self._answer(*source, data, seed) == truth for who, source in sources.items()}
                found[modality][label] = {
                    **{who: float(one.mean()) for who, one in right.items()},
                    "interval": list(spread.wilson(int(right["trained"].sum()), len(truth))[1:]),
                    "gain": list(spread.gain(right["trained"], right["untrained"])),
                    "chance": 1 / len(data.classes),
                    "judged": len(truth),
                }
                done += 1
                tell(done, total)
        return found

    def read(self, data: Examples, one: Loaded, modality: str) -> Decoded:
        """Windows of the recordings, decoded once for all runs of these inputs. All must be there: label sets share
        them."""
        if modality == "text":  # words are numbered by each run's own vocabulary
            return decoded.decode(data, one.inputs, modality, self.room)[1]
        key = f"{data.digest} {modality} {one.cfg.inputs}"
        if key not in self._decoded:
            room = self.room / "decoded"
            room.mkdir(parents=True, exist_ok=True)
            with counting(f"decoding {data.name}, {modality}") as tell:
                _, self._decoded[key] = decoded.decode(data, one.inputs, modality, room, tell, bad_budget=0.0)
        return self._decoded[key]

    def _answer(self, finger: str, vectors: Callable[[], Floats], data: Examples, seed: int) -> Numbers:
        """Class numbers of the judged recordings of all rounds, asked or found."""
        about = json.dumps([finger, data.digest, seed, PENALTIES, *SEARCH])
        path = self.room / "answers" / f"{hashlib.sha256(about.encode()).hexdigest()[:24]}.json"
        if path.is_file():
            return np.array(json.loads(path.read_text(encoding="utf-8")), np.int64)
        x, classes = vectors(), len(data.classes)
        told = [
            linear.fit(x, data.labels, cut, classes, PENALTIES, PATIENCE).predict(x[cut.test])
            for cut in rounds(data, seed)
        ]
        answer = np.concatenate(told)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, json.dumps(answer.tolist()))
        return answer


Source = tuple[str, Callable[[], Floats]]
"""(what it makes of the first windows, as a digest; its vectors [N, D], computed when first asked for)"""


def _sources(networks: Mapping[str, Loaded], seen: Decoded) -> Iterator[tuple[str, Source]]:
    few = replace(seen, x=seen.x[:FINGERS], owner=np.arange(min(FINGERS, len(seen.owner))))
    for who, one in networks.items():
        yield who, _source(partial(features.vectors, one.method), few, seen)
    yield "trivial", _source(lambda data: features.raw(data)[1], few, seen)


def _source(look: Callable[[Decoded], Floats], few: Decoded, seen: Decoded) -> Source:
    cfg = few.inputs.cfg.model_dump_json()
    finger = hashlib.sha256(f"{few.modality} {cfg}".encode() + np.ascontiguousarray(look(few)).tobytes())
    held: list[Floats] = []

    def vectors() -> Floats:
        if not held:
            held.append(look(seen))
        return held[0]

    return finger.hexdigest(), vectors
