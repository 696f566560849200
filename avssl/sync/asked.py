"""How confident a verdict must be: chosen for a checkpoint on validation recordings, given sounds of others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from avssl.data.manifest import write_whole

FILE = "sync.json"
FOREIGN = 0.05
"""share of foreign sounds that may be called in sync, and share that may be called shifted"""
FEWEST = 20
"""recordings; of fewer no share of one in twenty can be told"""
CONFIDENT = 0.5
"""where nothing was chosen: about what GRID's flagship runs ask for, on clips of 2.4 s"""

Found = tuple[float, float]
"""the offset of a recording and the confidence in it"""


@dataclass(frozen=True)
class Asked:
    """Least confidence, where the best offset is within the tolerance and where it is not.

    The former may be lower: the best offset of a foreign sound is anywhere, and seldom near 0.
    """

    in_sync: float = CONFIDENT
    shifted: float = CONFIDENT

    def verdict(self, offset: float, confidence: float, tolerance_seconds: float) -> str:
        """``in sync``, ``shifted``, or ``dubbed`` where the confidence does not do for either."""
        near = abs(offset) <= tolerance_seconds
        if confidence < (self.in_sync if near else self.shifted):
            return "dubbed"
        return "in sync" if near else "shifted"


@dataclass(frozen=True)
class Chosen:
    """What was chosen for a checkpoint, and how well it tells own sounds from foreign ones on the same recordings."""

    in_sync: float
    shifted: float
    reach_seconds: float
    tolerance_seconds: float
    digest: str
    """of the checkpoint"""
    recordings: int
    own_flagged: float
    """share of recordings that are called shifted or dubbed with the sound they have"""
    foreign_flagged: float
    """share that are with another's"""

    @property
    def asked(self) -> Asked:
        """What verdicts need."""
        return Asked(self.in_sync, self.shifted)

    def save(self, folder: Path) -> Path:
        """Write it into a run's folder."""
        write_whole(folder / FILE, json.dumps(asdict(self), indent=1) + "\n")
        return folder / FILE


def chosen(
    own: Sequence[Found], foreign: Sequence[Found], reach_seconds: float, tolerance_seconds: float, digest: str
) -> Chosen:
    """The least confidences with which at most :data:`FOREIGN` of foreign sounds are called in sync, and shifted.

    But none of these recordings that is in place with its own sound is called dubbed, even if more foreign ones pass.

    Args:
        own: of recordings with the sound they have.
        foreign: of recordings with another's.
        reach_seconds: greatest offset that was looked for.
        tolerance_seconds: greatest offset that is called in sync.
        digest: of the checkpoint.

    Raises ValueError for too few.
    """
    if min(len(own), len(foreign)) < FEWEST:
        raise ValueError(f"{min(len(own), len(foreign))} could be compared, and at least {FEWEST} are needed")
    offsets, confidences = np.array(foreign).T  # how sure foreign sounds are does not depend on where they fit best
    near = float((np.abs(offsets) <= tolerance_seconds).mean())
    least = [
        round(float(np.quantile(confidences, max(0.0, 1 - FOREIGN / share))) if share else 0.0, 4)
        for share in (near, 1 - near)
    ]
    in_place = [sure for offset, sure in own if abs(offset) <= tolerance_seconds]
    least[0] = min([least[0], *in_place])
    asked = Asked(*least)
    flagged = [
        sum(asked.verdict(offset, sure, tolerance_seconds) != "in sync" for offset, sure in found) / len(found)
        for found in (own, foreign)
    ]
    return Chosen(
        in_sync=least[0], shifted=least[1], reach_seconds=reach_seconds, tolerance_seconds=tolerance_seconds,
        digest=digest, recordings=len(own), own_flagged=flagged[0], foreign_flagged=flagged[1],
    )  # fmt: skip


def stored(run: Path, digest: str) -> Chosen | None:
    """What was chosen for a checkpoint of a run, named by its folder or by one of its checkpoints.

    Raises ValueError for a damaged file.
    """
    path = (run.parent.parent if run.parent.name == "checkpoints" else run) / FILE
    if not path.is_file():
        return None
    try:
        found = Chosen(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); avssl sync --choose writes it anew") from None
    return found if found.digest == digest else None
