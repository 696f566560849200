"""The one threshold of a checkpoint and a kind of query: from which score on a place is lit, where the colours end.

Scores of sounds and of texts are on different scales, so each kind has its own, chosen on validation recordings.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avssl.inputs import Inputs
from avssl.localize.masks import as_scores

FILE = "localization.json"
KINDS = ("audio", "text")
SHARE = 0.9
"""of the validation pairs of a recording and its own query, lit at the threshold at least"""
BEST = f"tells own {{}} from others best, among those that light {SHARE:.0%} of validation clips"
"""how a threshold was chosen, for these queries"""
NONSENSE, WORDS = 8, 5
"""texts that mean nothing, each of so many pieces of the vocabulary"""
NOISE_SECONDS = 60.0
"""of white noise; of a longer sound than a window the loudest part is taken"""

Maps = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """The scale on which maps of one checkpoint are read.

    Attributes:
        threshold: places with a score >= this are lit.
        ceiling: the score at which the colour scale ends.
        digest: of the checkpoint it was chosen for.
        chosen: how it was chosen, for people.
    """

    threshold: float
    ceiling: float
    digest: str
    chosen: str

    def __post_init__(self) -> None:
        check_ends(self.threshold, self.ceiling)

    def save(self, folder: Path, kind: str = "audio") -> Path:
        """Write it into a run's folder, beside the other kind's of the same checkpoint."""
        path = folder / FILE
        held = {name: found for name in KINDS if (found := load(folder, self.digest, name)) and name != kind}
        write_json(path, {name: asdict(scale) for name, scale in [*held.items(), (kind, self)]})
        return path


def check_ends(threshold: float | None, ceiling: float | None) -> None:
    """Raise ValueError, one line, for ends of a scale, as far as they are given, that no map can be read on."""
    for name, value in (("threshold", threshold), ("ceiling", ceiling)):
        if value is not None and not math.isfinite(value):
            raise ValueError(f"the {name} of the scale is {value:g}; it must be a finite number, such as 0.5")
    if threshold is not None and ceiling is not None and not ceiling > threshold:
        raise ValueError(f"the ceiling {ceiling:g} of the scale is not above its threshold {threshold:g}")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all, durably."""
    write_whole(path, json.dumps(content, indent=1).encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, durably."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def load(folder: Path, digest: str, kind: str = "audio") -> Calibration | None:
    """The scale of this kind of query in a run's folder; None when there is none, or only that of other weights."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        told = {"audio": held} if "threshold" in held else held  # earlier runs kept that of sounds alone
        found = Calibration(**told[kind]) if kind in told else None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); avssl evaluate writes it anew") from None
    return found if found is not None and found.digest == digest else None


def stored(run: Path, digest: str, kind: str = "audio") -> Calibration | None:
    """The scale of a run, named by its folder or by one of its checkpoints."""
    return next((found for at in (run, run.parent.parent) if (found := load(at, digest, kind))), None)


def kind_of(query: object) -> str:
    """Which scale a query is read on: a str is a text, anything else a sound."""
    return "text" if isinstance(query, str) else "audio"


def from_peaks(sounding: NDArray[np.float64] | Any, threshold: float, digest: str, chosen: str) -> Calibration:
    """The scale with this threshold that ends where the strongest 5 % of sounding validation clips begin.

    `sounding` holds the highest score of each such clip [N].
    """
    ceiling = float(np.quantile(np.asarray(sounding, dtype=np.float64), 0.95))
    return Calibration(threshold, max(ceiling, _just_above(threshold)), digest, chosen)


def deaf(kind: str, inputs: Inputs) -> list[str] | list[NDArray[np.float32]]:
    """Queries that mean nothing: for sounds silence and white noise [S] of a window, for texts words in no order."""
    if kind == "text":
        words = [] if inputs.vocabulary is None else inputs.vocabulary.words()
        if not words:
            raise ValueError("this run has no vocabulary of words: it takes no text")
        chosen = np.random.default_rng(0).choice(len(words), (NONSENSE, WORDS))
        return [" ".join(words[place] for place in row) for row in chosen]
    samples = round(NOISE_SECONDS * inputs.cfg.hz)
    noise = np.random.default_rng(0).normal(scale=0.1, size=samples).astype(np.float32)
    return [np.zeros(samples, dtype=np.float32), noise]


def stand_in(kind: str, maps: Maps, nothing: Sequence[Maps], digest: str) -> Calibration:
    """A scale where none was chosen on validation recordings, from the recording that is looked at itself.

    The threshold lies just above the highest score that queries which mean nothing (`deaf`) reach on its pictures,
    their maps being `nothing`, so that what is lit answers to the query more than to any of them. The colours end at
    the highest of the query's own `maps` [T, h, w].
    """
    threshold = float(np.nextafter(max(float(as_scores(heard, (3,)).max()) for heard in nothing), np.inf))
    meant = "texts of words in no order" if kind == "text" else "silence and white noise"
    chosen = f"just above the highest score of {meant} on this recording"
    return Calibration(threshold, max(float(as_scores(maps, (3,)).max()), _just_above(threshold)), digest, chosen)


def settle(
    found: Calibration | None, maps: Maps, threshold: float | None, ceiling: float | None, digest: str
) -> Calibration:
    """A scale with what a person asked for in place of what was found. Without `found` a threshold must be given; the
    colours then end at the highest of the `maps` [T, h, w]."""
    assert found is not None or threshold is not None
    lit, chosen = (threshold, "as given") if threshold is not None else (found.threshold, found.chosen)  # type: ignore[union-attr]
    end = found.ceiling if found is not None else float(as_scores(maps, (3,)).max())
    return Calibration(lit, max(end, _just_above(lit)) if ceiling is None else ceiling, digest, chosen)


def in_sizes(found: Calibration, sizes: Sequence[float]) -> Calibration:
    """A run's own scale, for pictures looked at in these sizes: it says that it was chosen at one, the run's.

    The highest score of several sizes tends to be higher, so that more may be lit than where the threshold was chosen.
    """
    if tuple(sizes) == (1.0,):
        return found
    told = ", ".join(f"{size:g}" for size in sizes)
    return replace(found, chosen=f"{found.chosen}; chosen at one size, the run's own, and used for sizes {told}")


def _just_above(threshold: float) -> float:
    """A ceiling for scales on which nothing is higher than the threshold."""
    return threshold + max(1e-6, 0.01 * abs(threshold))
