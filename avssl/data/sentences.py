"""Cues are cut where a screen is full: joined and split again, they are sentences."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from avssl.data.narration import Phrase

GAP_SECONDS = 1.0
"""a longer pause ends a sentence, whatever its punctuation"""
MOST_SECONDS = 15.0
"""recognizers without punctuation never end one"""
OVERLAP_SECONDS = 0.3
"""cues that overlap by no more are one after the other, and carelessly timed"""
ROLLING = 3
"""where so many cues, and more than half, begin within the one before and do not end before it, captions roll, unless
they read better as two who talk at once"""
SHORTEST_SECONDS = 0.1
"""what a sentence lasts whose words are told without any length"""
TOUCH_SECONDS = 0.05
"""cues this near follow each other without a pause"""
AROUND = 8
"""cues before one, of which it may be the next"""
_ANOTHERS = ("-", "–", "—", ">>")
"""what marks that somebody else begins to talk"""
_CLOSING = r"[\"'”’)\]»」』）]*"
_END = re.compile(rf"[.!?…。！？।]+{_CLOSING}$")
_UNSPACED = re.compile(rf"[。！？]+{_CLOSING}")
"""what ends a sentence where scripts leave no space after it"""
_NUMBER = re.compile(r"\d+\.")
_ABBREVIATIONS = frozenset(
    [
        "mr.",
        "mrs.",
        "ms.",
        "dr.",
        "prof.",
        "st.",
        "vs.",
        "etc.",
        "e.g.",
        "i.e.",
        "no.",
        "z.b.",
        "bzw.",
        "ca.",
        "jr.",
        "sr.",
    ]
)
_BEFORE_ORDINALS = frozenset(["der", "die", "das", "den", "dem", "des", "im", "vom", "zum"])
_MONTHS = frozenset([
    "januar", "jänner", "februar", "märz", "april", "mai", "juni", "juli", "august", "september", "oktober",
    "november", "dezember",
])  # fmt: skip


class Word(NamedTuple):
    """A word, its seconds of presentation time, whether they were measured or only shared out, and its cue's start."""

    start: float
    end: float
    text: str
    measured: bool
    cue: float


def sentences(
    phrases: Iterable[Phrase], gap_seconds: float = GAP_SECONDS, most_seconds: float = MOST_SECONDS
) -> list[Phrase]:
    """Phrases of one language -> sentences in order of time, each with the times of its words.

    A sentence ends at its punctuation, at a pause of more than ``gap_seconds``, and before it is longer than
    ``most_seconds``. A cue that begins well before another ends is somebody else's, and its sentence another, unless
    captions roll. Words whose times are not known share their cue's time by their length.
    """
    phrases = sorted(phrases, key=lambda one: (one.start, one.end))
    language = phrases[0].language if phrases else ""
    found: list[Phrase] = []
    voices: list[list[Word]] = []

    def finish(said: list[Word]) -> None:
        if said:
            words = tuple((one.start, one.end, one.text) for one in said) if all(one.measured for one in said) else ()
            text = " ".join(one.text for one in said)
            start, end = said[0].start, max(one.end for one in said)
            if end <= start:
                start = max(0.0, end - SHORTEST_SECONDS)
                end = max(end, start + SHORTEST_SECONDS)
            found.append(Phrase(start, end, text, words, language))
        said.clear()

    for phrase in _unrolled(phrases):
        words = _words(phrase)
        if not words:
            continue
        start = words[0].start
        for said in voices:
            if start - said[-1].end > gap_seconds:
                finish(said)
        voices = [said for said in voices if said]
        free = [said for said in voices if start >= said[-1].end - _careless(said[-1])]
        said = min(free, key=lambda one: abs(start - one[-1].end), default=[])
        if not free:
            voices.append(said)
        for word in words:
            if said and (
                word.start - said[-1].end > gap_seconds
                or word.end - said[0].start > most_seconds
                or _ended(said, word.text)
            ):
                finish(said)
            if said and word.start < said[-1].start:  # carelessly timed, too
                word = word._replace(start=said[-1].start, end=max(word.end, said[-1].start))
            said.append(word)
            if _ends(word.text):
                finish(said)
        voices = [said for said in voices if said]
    for said in voices:
        finish(said)
    return sorted(found, key=lambda one: (one.start, one.end))


def _careless(last: Word) -> float:
    """Seconds by which a cue may begin before this word, the last so far, ends: of a very short cue not from its start,
    for then both are said at once."""
    return min(OVERLAP_SECONDS, (last.end - last.cue) / 2)


def _unrolled(phrases: Sequence[Phrase]) -> list[Phrase]:
    """Captions that roll, as if they did not: each until the next one appears, and every word once."""
    pairs = list(itertools.pairwise(phrases))
    style = _many([_rolls(*pair) for pair in pairs]) and _odd(pairs) <= _odd(_followed(phrases))
    repeated = _many([_touch(*pair) and (_stays(*pair) or _again(*pair) > 0) for pair in pairs])
    kept: list[Phrase] = []
    for before, phrase in zip([None, *phrases], phrases, strict=False):
        if before is None:
            kept.append(phrase)
            continue
        last, again = kept[-1], 0
        if _within(before, phrase) or (repeated and _touch(before, phrase)):
            if repeated and _stays(before, phrase):
                continue
            again = max(_again(before, phrase), _again(last, phrase))
        if again or (style and _rolls(before, phrase)):
            end = min(last.end, phrase.start)
            words = tuple((min(start, end), min(stop, end), word) for start, stop, word in last.words)
            kept[-1] = replace(last, end=end, words=words)
            phrase = replace(phrase, text=" ".join(phrase.text.split()[again:]), words=phrase.words[again:])
        kept.append(phrase)
    return kept


def _many(found: Sequence[bool]) -> bool:
    """Whether that is how these captions are made."""
    return sum(found) >= ROLLING and 2 * sum(found) > len(found)


def _within(before: Phrase, after: Phrase) -> bool:
    """Whether a cue begins while the one before it is said."""
    return before.start < after.start < before.end - OVERLAP_SECONDS


def _touch(before: Phrase, after: Phrase) -> bool:
    return before.start < after.start <= before.end + TOUCH_SECONDS


def _rolls(before: Phrase, after: Phrase) -> bool:
    return _within(before, after) and after.end >= before.end and not after.text.startswith(_ANOTHERS)


def _stays(before: Phrase, after: Phrase) -> bool:
    """Whether a cue is but the last line of the one before, which is shown on."""
    old, new = before.text.split(), after.text.split()
    return old[-len(new) :] == new


def _followed(phrases: Sequence[Phrase]) -> list[tuple[Phrase, Phrase]]:
    """Each cue after the one that it would go on if those that overlap were of several who talk at once."""
    pairs = []
    for number, phrase in enumerate(phrases):
        earlier = phrases[max(0, number - AROUND) : number]
        ended = [one for one in earlier if -OVERLAP_SECONDS <= phrase.start - one.end <= GAP_SECONDS]
        if ended:
            pairs.append((max(ended, key=lambda one: one.end), phrase))
    return pairs


def _odd(pairs: Iterable[tuple[Phrase, Phrase]]) -> int:
    """How many of these cues do not read as if one went on with the other: capitals within a sentence, none after."""
    cased = [one for one in pairs if one[1].text[0].isupper() or one[1].text[0].islower()]
    return sum(_ends(before.text.split()[-1]) == after.text[0].islower() for before, after in cased)


def _again(before: Phrase, after: Phrase) -> int:
    """How many words of the cue before, its last ones, a longer cue begins with: all it has, or two at least."""
    old, new = before.text.split(), after.text.split()
    if after.words and len(after.words) != len(new):
        return 0
    counts = range(min(len(old), len(new) - 1), min(2, len(old)) - 1, -1)
    return next((count for count in counts if count and old[-count:] == new[:count]), 0)


def timed(phrase: Phrase) -> Phrase:
    """The phrase with times of its words; where they are not known each has a share of the phrase's, by its length."""
    return phrase if phrase.words else replace(phrase, words=tuple(_shared(phrase.start, phrase.end, phrase.text)))


def _words(phrase: Phrase) -> list[Word]:
    """The words of a cue, where their times are not known each with a share of it."""
    if not phrase.words:
        return [Word(*one, False, phrase.start) for one in _shared(phrase.start, phrase.end, phrase.text)]
    words: list[Word] = []
    for word in phrase.words:
        parts = _shared(*word)
        words += [Word(*one, len(parts) == 1, phrase.start) for one in ([word] if len(parts) == 1 else parts)]
    return words


def _shared(start: float, end: float, text: str) -> list[tuple[float, float, str]]:
    """Start, end and words of a text, each with a share of its time."""
    words = [piece for word in text.split() for piece in _pieces(word)]
    letters = sum(len(word) + 1 for word in words)
    shares, begin = [], start
    for word in words:
        stop = min(begin + (end - start) * (len(word) + 1) / letters, end)
        shares.append((begin, stop, word))
        begin = stop
    return shares


def _pieces(word: str) -> list[str]:
    """What has no space in it, cut after the ends of sentences that need none."""
    ends = [0, *(one.end() for one in _UNSPACED.finditer(word)), len(word)]
    return [word[begin:end] for begin, end in itertools.pairwise(ends) if begin < end]


def _ends(word: str) -> bool:
    """Whether a sentence ends with this word, whatever comes: not at an abbreviation, an initial or a number."""
    if word.lower() in _ABBREVIATIONS or re.fullmatch(r"[A-ZÀ-Þ]\.", word) or _NUMBER.fullmatch(word):
        return False
    return bool(_END.search(word))


def _ended(said: Sequence[Word], after: str) -> bool:
    """Whether words that end with a number and a point are a sentence, now that the word after them is known.

    They are not where the number is a list's or an ordinal ("am 3. Mai").
    """
    if len(said) == 1 or not _NUMBER.fullmatch(said[-1].text):
        return False
    ordinal = said[-2].text.lower() in _BEFORE_ORDINALS or after.lower().strip(".,;:!?") in _MONTHS
    return not ordinal and not after[0].islower()
