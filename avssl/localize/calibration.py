"""The one threshold of a checkpoint: from which score on a place counts as sounding, and where the colours end."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avssl.localize.masks import as_scores

FILE = "localization.json"


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
        if not self.ceiling > self.threshold:
            raise ValueError(f"the ceiling {self.ceiling:g} of the scale is not above its threshold {self.threshold:g}")

    def save(self, folder: Path) -> Path:
        """Write it into a run's folder."""
        path = folder / FILE
        write_json(path, asdict(self))
        return path


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


def load(folder: Path, digest: str) -> Calibration | None:
    """The scale stored in a run's folder; None when there is none, or only that of another checkpoint."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        found = Calibration(**json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); avssl evaluate writes it anew") from None
    return found if found.digest == digest else None


def from_peaks(sounding: NDArray[np.float64] | Any, threshold: float, digest: str, chosen: str) -> Calibration:
    """The scale with this threshold that ends where the strongest 5 % of sounding validation clips begin.

    `sounding` holds the highest score of each such clip [N].
    """
    ceiling = float(np.quantile(np.asarray(sounding, dtype=np.float64), 0.95))
    return Calibration(threshold, max(ceiling, _just_above(threshold)), digest, chosen)


def from_noise(
    maps: NDArray[np.float64], heat_of: Callable[[NDArray[np.float32]], NDArray[np.float64]], samples: int, digest: str
) -> Calibration:
    """A stand-in where nothing was chosen on validation clips, from the recording that is looked at itself.

    The threshold lies just above the highest score that silence or white noise reach on its pictures, so that what
    is lit answers to the query more than to either; the colours end at the highest of its own `maps` [T, h, w].
    `heat_of` gives the recording's maps for a sound [S].
    """
    noise = np.random.default_rng(0).normal(scale=0.1, size=samples).astype(np.float32)
    deaf = [as_scores(heat_of(sound), (3,)) for sound in (np.zeros(samples, dtype=np.float32), noise)]
    threshold = float(np.nextafter(max(heard.max() for heard in deaf), np.inf))
    chosen = "just above the highest score of silence and white noise on this recording"
    return Calibration(threshold, max(float(as_scores(maps, (3,)).max()), _just_above(threshold)), digest, chosen)


def settle(
    found: Calibration | None, maps: NDArray[np.float64], threshold: float | None, ceiling: float | None, digest: str
) -> Calibration:
    """A scale with what a person asked for in place of what was found. Without `found` a threshold must be given; the
    colours then end at the highest of the `maps` [T, h, w]."""
    assert found is not None or threshold is not None
    lit, chosen = (threshold, "as given") if threshold is not None else (found.threshold, found.chosen)  # type: ignore[union-attr]
    end = found.ceiling if found is not None else float(as_scores(maps, (3,)).max())
    return Calibration(lit, max(end, _just_above(lit)) if ceiling is None else ceiling, digest, chosen)


def _just_above(threshold: float) -> float:
    """A ceiling for scales on which nothing is higher than the threshold."""
    return threshold + max(1e-6, 0.01 * abs(threshold))
