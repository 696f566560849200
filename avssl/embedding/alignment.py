"""When was it said, and was it about this? Narration is placed by a network's own agreement of words and windows.

A sentence is tried at moments around the one it is given; how well the windows there agree with it, in picture and in
sound, is weighed against how far off narration usually is. One that neither view can place any better than it places
it in other recordings is dropped. This is the self-correction of temporal alignment networks (Han, Xie, Zisserman,
CVPR 2022, arXiv:2204.02968) for any network that has text in one space with pictures or sound.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avssl.data.audit import SILENT_DB
from avssl.data.manifest import Manifest, Recording
from avssl.data.narration import Phrase
from avssl.data.sentences import timed
from avssl.embedding import chatter
from avssl.embedding.network import Embedder, Vectors
from avssl.embedding.recordings import embed_recordings
from avssl.embedding.words import Words, evidence

Floats = NDArray[np.float64]
Course = tuple[Vectors, Floats, Floats]
"""agreement [texts, W] with windows, and where they begin and end, [W] each"""

PANEL = 40
"""other recordings in which a sentence is tried"""
FEWEST = 8
"""of them, without which nothing is dropped"""
SAMPLE = 2048
"""windows that tell what agreement is usual for a text"""
EDGE_SECONDS = 0.1
"""from the ends of a recording, no phrase's middle is nearer"""
LEAST_HOP_SECONDS = 0.08
"""between windows, unless another is asked for"""


@dataclass(frozen=True)
class Rule:
    """How narration may move, and when it goes. Seconds, but for ``weight`` and ``standing``."""

    most_seconds: float = 1.5
    """greatest move"""
    step_seconds: float = 0.04
    """between the moments that are tried"""
    jitter_seconds: float = 0.5
    """how far off narration usually is (a standard deviation)"""
    weight: float = 1.0
    """of agreement, in its own standard deviations, against the distance, in those of the jitter"""
    standing: float = 0.8
    """least share of other recordings that a sentence must fit worse than its own, by picture or by sound"""
    at: Literal["middle", "begin"] = "middle"
    """what a sentence's middle is moved to: middle, where agreement is greatest; begin, where it sets in"""
    share: bool = False
    """words without times share their sentence's, by their length: where what is told is what is heard"""

    def __post_init__(self) -> None:
        for name in ("most_seconds", "step_seconds", "jitter_seconds", "weight"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name.removesuffix('_seconds')} is {getattr(self, name)}; it must be above 0")
        if not 0 <= self.standing <= 1:
            raise ValueError(f"standing is {self.standing}; it is a share, 0 (drop nothing) to 1")
        if self.at not in ("middle", "begin"):
            raise ValueError(f"at is {self.at}; one of middle, begin")


class Placed(NamedTuple):
    """What became of a phrase: ``after`` is None where it was dropped.

    ``standing`` is the share of other recordings that it fits worse than its own, by the view that says most; nan where
    there are too few to tell, or where its recording has neither picture nor sound.
    """

    before: Phrase
    after: Phrase | None
    standing: float
    alignable: float = math.nan
    """probability that it can be seen where it was moved to; nan where nobody was asked"""
    by_view: tuple[tuple[str, float], ...] = ()
    """its standing by each view that can tell"""
    rank: float = math.nan
    """share of other recordings whose standing, each taken for the sentence's own, is below this; anywhere between 0
    and 1 where the sentence is foreign"""
    chatter: float = math.nan
    """probability that it is said in many recordings and about none; nan where nobody was asked"""

    @property
    def shift(self) -> float:
        """Seconds by which its middle moved; 0 where it was dropped."""
        return 0.0 if self.after is None else round(self.after.middle - self.before.middle, 3)


class Fit(NamedTuple):
    """The share of other recordings that sentences fit worse than their own, the mean over recordings, and its standard
    error; by chance it is 0.5."""

    mean: float
    error: float

    @property
    def is_chance(self) -> bool:
        """Whether it is not above chance by more than two standard errors."""
        return self.mean - 0.5 <= 2 * self.error


@dataclass(frozen=True)
class View:
    """All windows of one modality: vectors [N, D], where they begin and end [N], and each recording's rows."""

    vectors: Vectors
    begins: Floats
    ends: Floats
    rows: dict[str, slice]

    def usual(self, texts: Vectors) -> tuple[Vectors, Vectors]:
        """Mean and deviation [K, 1] of the agreement of texts [K, D] with windows of all recordings."""
        some = np.linspace(0, len(self.vectors) - 1, min(SAMPLE, len(self.vectors))).astype(int)
        found: Vectors = texts @ self.vectors[some].T  # [K, SAMPLE]
        return found.mean(1, keepdims=True), found.std(1, keepdims=True) + 1e-6

    def near(self, key: str, start: float, end: float) -> slice:
        """Rows of the windows of a recording that reach into this time; at least one."""
        rows = self.rows[key]
        first = rows.start + int(np.searchsorted(self.ends[rows], start))
        last = rows.start + int(np.searchsorted(self.begins[rows], end, "right"))
        first = min(first, rows.stop - 1)
        return slice(first, max(last, first + 1))


class Aligner:
    """Windows of all recordings with narration, ready to place what is said in them.

    Args:
        embedder: of a space that holds text, and video or audio.
        manifest: the recordings.
        rule: how narration may move.
        hop_seconds: between windows; None is a twentieth of a window, at least ``LEAST_HOP_SECONDS``.
        split: of the manifest; None takes all recordings.
        progress: told (recordings done, of how many) while windows are embedded.

    Raises ValueError for a space without text or without anything to compare it with, and when nothing is said.
    """

    def __init__(
        self,
        embedder: Embedder,
        manifest: Manifest,
        rule: Rule,
        *,
        hop_seconds: float | None = None,
        split: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ):
        views = [name for name in embedder.modalities if name in ("video", "audio")]
        if "text" not in embedder.modalities or not views:
            raise ValueError(
                f"{embedder.method.cfg.name} cannot align narration: its space {embedder.space_name} holds "
                f"{', '.join(embedder.modalities)}, and it takes text beside video or audio"
            )
        found = manifest.recordings if split is None else manifest.split(split)
        self.recordings = [one for one in found if one.narration and not one.is_picture]
        if not self.recordings:
            raise ValueError(f"nothing is said in any of the {len(found)} recordings: there is nothing to align")
        self.embedder, self.rule = embedder, rule
        hop = max(embedder.window.seconds / 20, LEAST_HOP_SECONDS) if hop_seconds is None else hop_seconds
        self.hop = min(hop, embedder.window.seconds)
        spoken = replace(manifest, recordings=tuple(self.recordings))
        held = embed_recordings(embedder, spoken, hop_seconds=self.hop, modalities=views, progress=progress)
        self.views = {name: _view(held.vectors[name], held.rows[name]) for name in held.vectors}
        for one in self.recordings:  # silence agrees with everything alike: in it nothing can be told by sound
            if "audio" in self.views and one.loudness_db is not None and one.loudness_db < SILENT_DB:
                self.views["audio"].rows.pop(one.key, None)
        self.texts = {one.key: {phrase.text for phrase in one.narration} for one in self.recordings}

    def saying(self, recordings: Sequence[Recording], rule: Rule | None = None) -> Aligner:
        """The same windows with other narration: recordings that were there, with what is said in them now."""
        other = copy.copy(self)
        other.recordings, other.rule = list(recordings), rule or self.rule
        other.texts = {one.key: {phrase.text for phrase in one.narration} for one in recordings}
        return other

    def place(self, progress: Callable[[int, int], None] | None = None) -> Iterator[tuple[Recording, list[Placed]]]:
        """Every recording with narration, in order, and what became of each of its phrases."""
        for number, recording in enumerate(self.recordings):
            yield recording, [self._placed(number, phrase) for phrase in recording.narration]
            if progress:
                progress(number + 1, len(self.recordings))

    def _placed(self, number: int, phrase: Phrase) -> Placed:
        recording, rule = self.recordings[number], self.rule
        words = Words.of(timed(phrase) if rule.share else phrase, self.embedder, self.hop)
        shifts = _shifts(words.phrase, recording.seconds, rule)
        total, standings, bests = np.zeros(len(shifts)), dict[str, float](), list[Floats]()
        panel = self._panel(number, phrase.text)
        for name, view in self.views.items():
            if recording.key not in view.rows:
                continue
            usual = view.usual(words.vectors)
            own = self._course(view, usual, words, recording)
            total += evidence(words, *own, shifts, rule.at)
            best = evidence(words, *own, shifts, "middle").max()
            others = np.full(len(panel), math.nan)
            for place, (other, anchor) in enumerate(panel):
                if other.key in view.rows:
                    there = words.at(anchor, other.seconds)
                    course = self._course(view, usual, there, other)
                    others[place] = evidence(there, *course, _shifts(there.phrase, other.seconds, rule), "middle").max()
            if np.count_nonzero(~np.isnan(others)) >= FEWEST:
                bests.append(np.append(best, others))
                standings[name] = float(chatter.below(bests[-1])[0])
        standing = max(standings.values(), default=math.nan)
        shift = shifts[int((rule.weight * total - shifts**2 / (2 * rule.jitter_seconds**2)).argmax())]
        after = None if standing < rule.standing else moved(phrase, float(shift), recording.seconds)
        return Placed(phrase, after, standing, by_view=tuple(standings.items()), rank=chatter.rank(bests, FEWEST))

    def _course(self, view: View, usual: tuple[Vectors, Vectors], words: Words, recording: Recording) -> Course:
        """How a phrase's texts agree with the windows of a recording that it can reach."""
        reach = self.rule.most_seconds + self.embedder.window.seconds
        rows = view.near(recording.key, words.phrase.start - reach, words.phrase.end + reach)
        middle, spread = usual
        agreement = (words.vectors @ view.vectors[rows].T - middle) / spread  # [K, W]
        return agreement, view.begins[rows], view.ends[rows]

    def _panel(self, number: int, text: str) -> list[tuple[Recording, float]]:
        """Other recordings in which this is not said, and a moment of each at which something is."""
        count = len(self.recordings)
        others = [self.recordings[(number + k) % count] for k in range(1, count)]
        others = [one for one in others if text not in self.texts[one.key]]
        chosen = [others[k] for k in np.linspace(0, len(others) - 1, min(PANEL, len(others))).astype(int)]
        return [(one, one.narration[(number + k) % len(one.narration)].middle) for k, one in enumerate(chosen)]


def moved(phrase: Phrase, shift: float, seconds: float) -> Phrase:
    """The phrase and its words, so many seconds later; what sticks out of the recording is cut off on both sides."""
    if not shift:
        return phrase
    if phrase.words:
        words = tuple((round(a + shift, 3), round(b + shift, 3), word) for a, b, word in phrase.words)
        return replace(phrase, start=round(phrase.start + shift, 3), end=round(phrase.end + shift, 3), words=words)
    middle = phrase.middle + shift
    half = min((phrase.end - phrase.start) / 2, max(middle, 0.0), max(seconds - middle, 0.0))
    return replace(phrase, start=round(middle - half, 3), end=round(middle + half, 3))


def without(placed: Mapping[str, Sequence[Placed]], gone: Callable[[Placed], bool]) -> dict[str, list[Placed]]:
    """With those sentences dropped too."""
    return {key: [one._replace(after=None) if gone(one) else one for one in said] for key, said in placed.items()}


def aligned(manifest: Manifest, placed: Mapping[str, Sequence[Placed]]) -> Manifest:
    """The manifest with narration moved and dropped; recordings that are not in ``placed`` stay as they are."""

    def change(recording: Recording) -> Recording:
        if recording.key not in placed:
            return recording
        kept = [one.after for one in placed[recording.key] if one.after is not None]
        return replace(recording, narration=tuple(sorted(kept, key=lambda phrase: (phrase.start, phrase.end))))

    return replace(manifest, recordings=tuple(change(one) for one in manifest.recordings))


def fits(placed: Mapping[str, Sequence[Placed]]) -> dict[str, Fit]:
    """How well what is said fits its own recording, by each view that can tell of two recordings or more.

    Not by ``standing``, which is the greatest of all views' and so above one half by chance, too. Sentences of one
    recording share its windows: only recordings are drawn independently of each other.
    """
    means: dict[str, list[float]] = {}
    for said in placed.values():
        for name in {name for one in said for name, _ in one.by_view}:
            told = [share for one in said for view, share in one.by_view if view == name]
            means.setdefault(name, []).append(float(np.mean(told)))
    return {
        name: Fit(float(np.mean(each)), float(np.std(each, ddof=1)) / math.sqrt(len(each)))
        for name, each in sorted(means.items()) if len(each) > 1
    }  # fmt: skip


def _shifts(phrase: Phrase, seconds: float, rule: Rule) -> Floats:
    """Moves that keep a phrase inside its recording, and none at all.

    Without times of its words only its middle must stay inside: what it is about may happen at once, or at the end.
    """
    count = math.floor(rule.most_seconds / rule.step_seconds + 1e-9)
    found = np.arange(-count, count + 1) * rule.step_seconds
    edge = EDGE_SECONDS if not phrase.words else (phrase.end - phrase.start) / 2
    inside = (phrase.middle + found >= edge - 1e-6) & (phrase.middle + found <= seconds - edge + 1e-6)
    kept: Floats = found[inside | (np.arange(len(found)) == count)]
    return kept


def _view(vectors: Vectors, rows: Sequence[dict[str, object]]) -> View:
    keys = [str(row["recording"]) for row in rows]
    firsts = [k for k, key in enumerate(keys) if k == 0 or keys[k - 1] != key]
    spans = {keys[a]: slice(a, b) for a, b in zip(firsts, [*firsts[1:], len(keys)], strict=True)}
    begins, ends = (np.array([float(str(row[name])) for row in rows]) for name in ("start", "end"))
    return View(vectors, begins, ends, spans)
