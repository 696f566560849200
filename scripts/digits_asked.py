"""How often an unheard voice's digit is found, from sounds to pictures and back: what scripts/digits.py asks."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avssl.data.manifest import Manifest
from avssl.embedding.network import Embedder
from avssl.embedding.recordings import Embedded, embed_recordings
from avssl.probe import linear
from avssl.probe.rounds import Round
from avssl.train.build import Loaded
from retrieval.calibration import Background

WAYS = (("audio", "video"), ("video", "audio"))
KINDS = {"video": "video", "image": "video", "audio": "audio"}
"""a picture is one whether a method sees one of a window or all of them"""
FEW = 20
"""recordings, of those that a voice is told by when it is told by few"""


def best(queries: NDArray[Any], answers: NDArray[Any], found: NDArray[Any]) -> NDArray[Any]:
    """The digit ([M] are the answers') of the best answer among [M, D] to each query [N, D]; [N]."""
    told: NDArray[Any] = found[(queries @ answers.T).argmax(1)]
    return told


def right(queries: NDArray[Any], answers: NDArray[Any], asked: NDArray[Any], found: NDArray[Any]) -> float:
    """Share of queries [N, D] whose best answer among [M, D] is of their digit ([N] and [M])."""
    return float((best(queries, answers, found) == asked).mean())


def less_mean(vectors: NDArray[Any], of: NDArray[Any] | None = None) -> NDArray[Any]:
    """Vectors [N, D] centered as a search does it, by themselves or by the ones at the places ``of``."""
    known = vectors if of is None else vectors[of]
    return Background({"": known}, {"": [""] * len(known)}).centered(vectors, "")


def each_less_mean(vectors: NDArray[Any], speakers: NDArray[Any]) -> NDArray[Any]:
    """Vectors [N, D], those of each speaker [N] centered by themselves."""
    found = np.empty_like(vectors)
    for speaker in np.unique(speakers):
        found[speakers == speaker] = less_mean(vectors[speakers == speaker])
    return found


def by_few(sounds: NDArray[Any], pictures: NDArray[Any], said: NDArray[Any], shown: NDArray[Any]) -> dict[str, float]:
    """Right from sounds to pictures where few sounds tell the voice: any, or of one digit alone; a mean over draws."""
    random, digits = np.random.default_rng(0), np.unique(said)
    draws = {
        "any": [random.permutation(len(said))[:FEW] for _ in digits],
        "one_digit": [random.permutation(np.flatnonzero(said == digit))[:FEW] for digit in digits],
    }
    return {
        name: float(np.mean([right(less_mean(sounds, of), pictures, said, shown) for of in every]))
        for name, every in draws.items()
    }


def mistaken(
    sounds: NDArray[Any], pictures: NDArray[Any], said: NDArray[Any], shown: NDArray[Any], most: int = 3
) -> dict[str, int]:
    """Which digit is oftenest taken for which, "6 for 7", by the best picture of each sound."""
    pairs = zip(said.tolist(), best(sounds, pictures, shown).tolist(), strict=True)
    wrong = Counter(f"{a} for {b}" for a, b in pairs if a != b)
    return dict(wrong.most_common(most))


def judged(loaded: Loaded, held: Manifest) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """Both directions on the test split, plain, centered, augmented and both; heard voices; and a reader of labels.

    With it which digit is oftenest taken for which, centered and augmented.
    Heard voices are asked about on takes that were held back. The reader is told the digits of heard speakers, which
    nobody else is: logistic regression on the vectors of sound, plain, asked about this one.
    """
    plain, augmented = (Embedder(loaded.method, loaded.inputs, augment=each) for each in (False, True))
    parts = {split: embed_recordings(plain, held, split=split) for split in ("train", "val", "test")}
    told = {
        split: {KINDS[name]: np.array([row["extra"]["digit"] for row in rows], int) for name, rows in seen.rows.items()}
        for split, seen in parts.items()
    }

    def heard(split: str) -> dict[str, dict[str, NDArray[Any]]]:
        """How sounds are heard -> vectors by kind."""
        seen = {KINDS[name]: vectors for name, vectors in parts[split].vectors.items()}
        slower = embed_recordings(augmented, held, split=split, modalities=["audio"]).vectors
        return {"": seen, "_augmented": {**seen, **slower}}

    ways = [(how, _ways(vectors, vectors, told["val"])) for how, vectors in heard("val").items()]
    found = {"heard_voices": {f"{name}{how}": share for how, shares in ways for name, share in shares.items()}}
    asked, tested = told["test"], heard("test")
    said, shown = asked["audio"], asked["video"]
    for how, vectors in tested.items():
        centered = {name: less_mean(each) for name, each in vectors.items()}
        found[f"right_digit_first{how}"] = _ways(vectors, vectors, asked)
        found[f"right_digit_first_centered{how}"] = _ways(centered, vectors, asked)
        found[f"sounds_centered_by_{FEW}{how}"] = by_few(vectors["audio"], vectors["video"], said, shown)
    last = tested["_augmented"]
    wrong = mistaken(less_mean(last["audio"]), last["video"], said, shown)
    return {**found, "told_the_digits": _told(parts, told)}, wrong


def _ways(
    queries: dict[str, NDArray[Any]], vectors: dict[str, NDArray[Any]], asked: dict[str, NDArray[Any]]
) -> dict[str, float]:
    """:func:`right` in both directions."""
    return {f"{a}_to_{b}": right(queries[a], vectors[b], asked[a], asked[b]) for a, b in WAYS}


def _told(parts: dict[str, Embedded], told: dict[str, dict[str, NDArray[Any]]]) -> dict[str, float]:
    """Right digits of test sounds by logistic regression on all others, plain and each voice centered by itself."""
    ends = np.cumsum([0, *(len(one["audio"]) for one in told.values())])
    cut = Round(*(np.arange(begin, end) for begin, end in itertools.pairwise(ends)))
    heard = np.concatenate([one.vectors["audio"] for one in parts.values()])
    digits = np.concatenate([one["audio"] for one in told.values()])
    speakers = np.array([row["extra"]["speaker"] for one in parts.values() for row in one.rows["audio"]])
    read = {}
    for name, vectors in (("audio", heard), ("audio_centered", each_less_mean(heard, speakers))):
        probe = linear.fit(vectors, digits, cut, classes=10)
        read[name] = float((probe.predict(vectors[cut.test]) == digits[cut.test]).mean())
    return read
