"""From windows to moments: neighbours joined around their peak, near-identical ones left out.

Windows are taken best first, and each floods the ground around a peak: one that touches no moment is a new peak; one
that touches a moment belongs to it if it scores at least half way from what unrelated windows score up to the peak,
and else is its shoulder, which is no hit. So a moment ends where its score has fallen by half, also in a recording
whose windows all touch, and two peaks with a valley between them stay two moments.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.columns import Name
from retrieval.rows import Row
from retrieval.segment import Vectors

HALF_WAY = 0.5
SLACK = 1e-9  # seconds by which rounding may part what touches: 1.1 - 0.6 is more than 0.5

Box = tuple[float, float, float, float]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Hit:
    """A moment found: `start` to `end` seconds of a recording.

    score: inner product with the query. peak: start, in seconds, of the window that scored it, where a player should
    begin; equal to `start` unless windows were merged. id: of that window. scores: modality -> score of the best of
    its vectors at the time of that window; its own modality alone unless `each_modality` was asked for. calibrated:
    standard deviations above unrelated pairs, where asked for. box: where in the picture it is (left, top, right,
    bottom as fractions of width and height), where the store has regions and they were asked for.
    """

    id: int
    recording: str
    path: str
    start: float
    end: float
    peak: float
    score: float
    modality: str
    narration: str
    extra: Mapping[str, Any]
    content: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    calibrated: float | None = None
    box: Box | None = None


def hit_of(row: Row, score: float, calibrated: float | None = None) -> Hit:
    """The hit that one window is."""
    return Hit(
        id=row.id,
        recording=row.recording,
        path=row.path,
        start=row.start,
        end=row.end,
        peak=row.start,
        score=score,
        modality=row.modality,
        narration=row.narration,
        extra=row.extra,
        content=row.content,
        scores={row.modality: score},
        calibrated=calibrated,
    )


@dataclass
class _Peak:
    """A moment, its best window, the least score of its windows, and the ground it has flooded, shoulders included."""

    place: int
    start: float
    end: float
    least: float
    left: float
    right: float

    def flood(self, start: float, end: float) -> None:
        self.left, self.right = min(self.left, start), max(self.right, end)

    def take_in(self, start: float, end: float) -> None:
        self.start, self.end = min(self.start, start), max(self.end, end)


Span = tuple[str, str, float, float, float]  # recording, modality, start, end, score


def merged(windows: Sequence[Hit], seconds: float, unrelated: Mapping[str, float], most: int) -> list[Hit]:
    """At most `most` moments of windows, both best first; the arguments are those of `peaks`."""
    spans = [(hit.recording, hit.modality, hit.start, hit.end, hit.score) for hit in windows]
    found, _ = peaks(spans, seconds, unrelated, most)
    return [replace(windows[place], start=start, end=end) for place, start, end in found]


def peaks(
    windows: Iterable[Span], seconds: float, unrelated: Mapping[str, float], most: int
) -> tuple[list[tuple[int, float, float]], bool]:
    """At most `most` moments of windows, both best first: the place of the best window, start and end; and whether
    that is all, which no further windows would change.

    seconds: windows of one recording and modality that overlap or are no farther apart touch. unrelated: modality ->
    the mean score of unrelated windows. What comes after the window that would begin one moment too many is not
    looked at.
    """
    grounds: dict[tuple[str, str], list[_Peak]] = {}
    reach = seconds + SLACK
    count, settled = 0, False
    for place, (recording, modality, start, end, score) in enumerate(windows):
        ground = grounds.setdefault((recording, modality), [])
        touching = [peak for peak in ground if start - peak.right <= reach and peak.left - end <= reach]
        if not touching:
            if count == most:
                settled = True
                break
            count += 1
            floor = min(unrelated.get(modality, 0.0), score)
            ground.append(_Peak(place, start, end, floor + HALF_WAY * (score - floor), start, end))
            continue
        for peak in touching:
            peak.flood(start, end)
        joined = [peak for peak in touching if score >= peak.least]
        for peak in joined[1:]:
            joined[0].flood(peak.left, peak.right)
            joined[0].take_in(peak.start, peak.end)
            ground.remove(peak)
            count -= 1
        if joined:
            joined[0].take_in(start, end)
    found = sorted((peak for ground in grounds.values() for peak in ground), key=lambda peak: peak.place)
    return [(peak.place, peak.start, peak.end) for peak in found], settled


def as_one(found: Sequence[Sequence[Hit]], most: int, join: bool) -> list[Hit]:
    """What several queries found as one list, best first: what the windows of a clip found is what the clip found.

    Each window is there once; with `join` moments of one recording and modality that overlap become one.
    """
    moments: list[Hit] = []
    for hit in sorted((hit for hits in found for hit in hits), key=_rank):
        moment, before = hit, -1
        while before != len(moments):  # what has grown may overlap what it did not before
            before = len(moments)
            touching = [other for other in moments if _same(moment, other, join)]
            moments = [other for other in moments if not _same(moment, other, join)]
            together = [*touching, moment]
            start, end = min(one.start for one in together), max(one.end for one in together)
            moment = replace(min(together, key=_rank), start=start, end=end)
        moments.append(moment)
    return sorted(moments, key=_rank)[:most]


def _same(one: Hit, other: Hit, join: bool) -> bool:
    """Whether two moments are one: of one window, or overlapping where those are joined."""
    alike = (one.recording, one.modality) == (other.recording, other.modality)
    return one.id == other.id or (join and alike and one.start <= other.end + SLACK and other.start <= one.end + SLACK)


def _rank(hit: Hit) -> tuple[float, int]:
    """Best first."""
    return -(hit.score if hit.calibrated is None else hit.calibrated), hit.id


def distinct(names: Sequence[Name], starts: Sequence[float], vectors: Vectors, cosine: float, most: int) -> list[int]:
    """Places of the first `most` hits, best first, without those that a better one stands for already.

    names, starts, vectors [N, width]: of the hits' best windows. One stands for another of its modality when their
    vectors have at least this cosine, or when they are the same seconds of the same content under two names.
    """
    # In double precision the cosine of a vector with its copy may miss 1 by a few units in the last place.
    bound = min(cosine, 1.0 - 1e-9)
    units: dict[str, list[Floats]] = {}
    seen: set[tuple[str, float, str]] = set()
    kept: list[int] = []
    for place, (name, start, vector) in enumerate(zip(names, starts, vectors.astype(np.float64), strict=True)):
        if len(kept) == most:
            break
        better = units.setdefault(name.modality, [])
        unit = vector / np.linalg.norm(vector)
        copy = (name.content, start, name.modality)
        if (name.content and copy in seen) or (better and (np.stack(better) @ unit).max() >= bound):
            continue
        seen.add(copy)
        better.append(unit)
        kept.append(place)
    return kept
