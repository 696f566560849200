"""What is said about a recording and when: timed phrases, cleaned, and those near a moment."""

from __future__ import annotations

import heapq
import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

FAR_SECONDS = 15.0
"""words further than this from a window's middle are not about it"""
_TAG = re.compile(
    r"</?[A-Za-z][\w:.-]*(?:\s+[\w:-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s<>]+))*\s*/?>"  # <i>, </font>, <font color=red>
    r"|<(?:v|lang|c)[.\s][^<>]*>"  # <v Anna>
    r"|<[\d:.]+>"  # <00:02.000>
    r"|\{\\[^{}]*\}"  # {\i1}
)
"""what is markup and not said; "5 < 6 and 7 > 3" is said"""


@dataclass(frozen=True)
class Phrase:
    """A piece of narration: ``start`` and ``end`` in seconds of presentation time, and what is said.

    ``words`` are (start, end, word) where the source times every word, else empty; ``language`` is a tag in small
    letters (en, de-at), empty where nobody tells it.
    """

    start: float
    end: float
    text: str
    words: tuple[tuple[float, float, str], ...] = ()
    language: str = ""

    @property
    def middle(self) -> float:
        """Seconds of presentation time."""
        return (self.start + self.end) / 2

    def row(self, language: bool = True) -> list[Any]:
        """Start, end, text; then the words where they are timed, and the language where it is known and asked for."""
        words = [[list(word) for word in self.words]] if self.words else []
        return [self.start, self.end, self.text, *words, *([self.language] if language and self.language else [])]

    @classmethod
    def of(cls, row: Sequence[Any]) -> Phrase:
        """What :meth:`row` gave. Raises ValueError or TypeError for anything else."""
        start, end, text, *rest = row
        language = rest.pop() if rest and isinstance(rest[-1], str) else ""
        timed = rest.pop() if rest else ()
        if rest:
            raise ValueError(f"a phrase has start, end, text, words and language, not {len(row)} parts")
        words = tuple((float(a), float(b), str(word)) for a, b, word in timed)
        return cls(float(start), float(end), str(text), words, language)


@dataclass(frozen=True)
class Cleaned:
    """Phrases in order of time, and how many cues were dropped or changed, by reason."""

    phrases: tuple[Phrase, ...]
    counts: dict[str, int] = field(default_factory=dict)


def clean(found: Iterable[Phrase], seconds: float | None = None) -> Cleaned:
    """Tags and entities removed, empty and impossible cues dropped, the rest clipped to 0..``seconds`` and sorted; the
    times of words are kept within their cue's, and in order, and words outside the recording are dropped.

    A cue that says the same as the one before it and overlaps or touches it is joined to it; others may overlap.
    """
    counts: dict[str, int] = {}

    def note(reason: str) -> None:
        counts[reason] = counts.get(reason, 0) + 1

    limit = float("inf") if seconds is None else seconds
    kept: list[Phrase] = []
    for cue in sorted(found, key=lambda phrase: (phrase.start, phrase.end)):
        text = plain(cue.text)
        if not text:
            note("empty")
            continue
        if not cue.end > cue.start:
            note("no length")
            continue
        start, end = max(0.0, cue.start), min(cue.end, limit)
        if end <= start:
            note("outside the recording")
            continue
        if (start, end) != (cue.start, cue.end):
            note("clipped to the recording")
        last = kept[-1] if kept else None
        if last is not None and last.text == text and start <= last.end + 1e-3:
            note("repeated")
            kept[-1] = replace(last, end=max(last.end, end))
            continue
        words = _inside(cue.words, start, end, limit)
        if len(words) < len(cue.words):
            text = " ".join(word for *_, word in words)
        if not text:
            note("outside the recording")
            continue
        kept.append(replace(cue, start=start, end=end, text=text, words=words))
    return Cleaned(tuple(kept), counts)


def _inside(
    words: Sequence[tuple[float, float, str]], start: float, end: float, limit: float
) -> tuple[tuple[float, float, str], ...]:
    """Words of a cue between its start and its end, none before the one ahead of it; files may tell anything. Those
    that are said before the recording begins or after it ends (``limit``) are not in it."""
    kept = []
    for begin, stop, word in words:
        if (begin < 0 and stop <= 0) or begin >= limit:
            continue
        start = min(max(begin, start), end)
        kept.append((start, min(max(stop, start), end), word))
    return tuple(kept)


def plain(text: str) -> str:
    """The words of a cue: no tags, no entities, no line breaks, single spaces."""
    text = text.replace("\\N", " ").replace("\\n", " ").replace("\\h", " ")
    text = html.unescape(_TAG.sub("", text))
    return " ".join("".join(c for c in text if c.isprintable() or c.isspace()).replace("\ufeff", "").split())


def nearest(phrases: Sequence[Phrase], middle: float, k: int, within_seconds: float = float("inf")) -> tuple[str, ...]:
    """The texts of :func:`nearest_phrases`, padded with empty text."""
    texts = tuple(phrase.text for phrase in nearest_phrases(phrases, middle, k, within_seconds))
    return texts + ("",) * (k - len(texts))


def nearest_phrases(
    phrases: Sequence[Phrase], middle: float, k: int, within_seconds: float = float("inf")
) -> list[Phrase]:
    """The ``k`` phrases nearest in time to ``middle`` (seconds), nearest first; fewer where there are fewer.

    A phrase that is being said at ``middle`` has distance 0; of several, that whose own middle is nearer comes first.
    Those further away than ``within_seconds`` do not count.
    """

    def distance(phrase: Phrase) -> tuple[float, float]:
        return max(phrase.start - middle, middle - phrase.end, 0.0), abs(phrase.middle - middle)

    near = (phrase for phrase in phrases if distance(phrase)[0] <= within_seconds)
    return heapq.nsmallest(k, near, key=distance)


def said_inside(phrases: Sequence[Phrase], start: float, end: float) -> list[Phrase]:
    """Phrases cut to the words whose middle lies in ``start`` to ``end`` seconds; without such words they are left out.

    A phrase whose words are not timed stays whole: nobody knows when they were said.
    """
    kept: list[Phrase] = []
    for phrase in phrases:
        if not phrase.words:
            kept.append(phrase)
            continue
        words = tuple(word for word in phrase.words if start <= (word[0] + word[1]) / 2 < end)
        if words:
            text = " ".join(word for _, _, word in words)
            last = max(word[1] for word in words)
            kept.append(replace(phrase, start=words[0][0], end=last, text=text, words=words))
    return kept
