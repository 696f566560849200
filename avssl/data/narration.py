"""What is said about a recording and when: subtitle files, word alignments and embedded subtitles as timed phrases."""

from __future__ import annotations

import heapq
import html
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pysubs2

SUFFIXES = (".vtt", ".srt", ".ass", ".ssa", ".align")
ALIGN_UNITS_PER_SECOND = 25000
PAUSES = frozenset({"sil", "sp"})
MAX_BYTES = 32 << 20
_TIME = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")


@dataclass(frozen=True)
class Phrase:
    """A piece of narration: ``start`` and ``end`` in seconds of presentation time, and what is said.

    ``words`` are (start, end, word) where the source times every word, else empty.
    """

    start: float
    end: float
    text: str
    words: tuple[tuple[float, float, str], ...] = ()

    @property
    def middle(self) -> float:
        """Seconds of presentation time."""
        return (self.start + self.end) / 2


@dataclass(frozen=True)
class Cleaned:
    """Phrases in order of time, and how many cues were dropped or changed, by reason."""

    phrases: tuple[Phrase, ...]
    counts: dict[str, int] = field(default_factory=dict)


def read(path: Path) -> list[Phrase]:
    """Phrases of a .vtt, .srt, .ass, .ssa or .align file in order of time.

    Raises ValueError, one line, when the file is none of these or cannot be understood.
    """
    return list(clean(cues(path)).phrases)


def cues(path: Path) -> list[Phrase]:
    """Everything the file says, uncleaned. Raises ValueError."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: not a narration file; its name should end in {' '.join(SUFFIXES)}")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path}: {size >> 20} MB of narration; at most {MAX_BYTES >> 20} MB are read")
    text = _decoded(path.read_bytes())
    if path.suffix.lower() == ".align":
        return _aligned(text, path)
    if not text.strip():
        return []
    if path.suffix.lower() in (".ass", ".ssa"):
        return list(_dialogue(text))
    form = path.suffix.lower().removeprefix(".")
    try:
        events = pysubs2.SSAFile.from_string(text, format_=form).events
        return [Phrase(event.start / 1000, event.end / 1000, event.text) for event in events if not event.is_comment]
    except (pysubs2.exceptions.Pysubs2Error, ValueError, IndexError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: not understood as {form} subtitles ({' '.join(str(error).split())})") from None


def clean(found: Iterable[Phrase], seconds: float | None = None) -> Cleaned:
    """Tags and entities removed, empty and impossible cues dropped, the rest clipped to 0..``seconds`` and sorted.

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
            kept[-1] = Phrase(last.start, max(last.end, end), text, last.words)
            continue
        kept.append(Phrase(start, end, text, cue.words))
    return Cleaned(tuple(kept), counts)


def plain(text: str) -> str:
    """The words of a cue: no tags, no entities, no line breaks, single spaces."""
    text = text.replace("\\N", " ").replace("\\n", " ").replace("\\h", " ")
    text = html.unescape(_TAG.sub("", text))
    return " ".join("".join(c for c in text if c.isprintable() or c.isspace()).replace("\ufeff", "").split())


def beside(path: Path, names: Collection[str] | None = None) -> Path | None:
    """The narration file that belongs to a recording, or None.

    It has the same stem and lies in the same folder (``clip.vtt``, or with a language, ``clip.en.vtt``); a ``.align``
    file may also lie in a sibling folder named ``align``. ``names`` are the file names of the recording's folder,
    where they are known.
    """
    if names is None:
        names = set(os.listdir(path.parent))
    for suffix in SUFFIXES:
        if path.stem + suffix in names:
            return path.with_name(path.stem + suffix)
    aligned = path.parent.parent / "align" / f"{path.stem}.align"
    if aligned.is_file():
        return aligned
    head = path.stem + "."
    spoken = [name for name in names if name.startswith(head) and name.lower().endswith(SUFFIXES)]
    spoken = [name for name in spoken if 0 < len(Path(name).stem) - len(head) <= 10]
    return path.with_name(min(spoken)) if spoken else None


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
            kept.append(Phrase(words[0][0], max(word[1] for word in words), text, words))
    return kept


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    # UTF-16 without a mark: every other byte of Latin text is zero.
    if len(data) >= 4 and data[:2].count(0) == 1 and data[2:4].count(0) == 1:
        return data.decode("utf-16-be" if data[0] == 0 else "utf-16-le", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _dialogue(text: str) -> Iterator[Phrase]:
    # Fields come in the order of the file's own Format line, which pysubs2 does not follow. Broken lines say nothing.
    names = ["layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text"]
    for line in text.splitlines():
        kind, _, rest = line.partition(":")
        if kind.strip() == "Format" and "text" in rest.lower():
            names = [name.strip().lower() for name in rest.split(",")]
        elif kind.strip() == "Dialogue":
            fields = dict(zip(names, rest.split(",", len(names) - 1), strict=False))
            times = [_TIME.fullmatch(fields.get(name, "").strip()) for name in ("start", "end")]
            if all(times) and "text" in fields:
                start, end = (int(t[1]) * 3600 + int(t[2]) * 60 + float(t[3]) for t in times if t)
                yield Phrase(start, end, fields["text"])


def _aligned(text: str, path: Path) -> list[Phrase]:
    words: list[tuple[float, float, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split()
        if not parts:
            continue
        try:
            start, end, word = int(parts[0]), int(parts[1]), parts[2]
        except (ValueError, IndexError):
            raise ValueError(f"{path}, line {number}: expected 'start end word', got {line.strip()!r}") from None
        if word not in PAUSES:
            words.append((start / ALIGN_UNITS_PER_SECOND, end / ALIGN_UNITS_PER_SECOND, word))
    if not words:
        return []
    return [Phrase(words[0][0], max(word[1] for word in words), " ".join(word[2] for word in words), tuple(words))]
