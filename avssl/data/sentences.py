"""Cues are cut where a screen is full: joined and split again, they are sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from avssl.data.narration import Phrase

GAP_SECONDS = 1.0
"""a longer pause ends a sentence, whatever its punctuation"""
MOST_SECONDS = 15.0
"""recognizers without punctuation never end one"""
_END = re.compile(r"[.!?…。！？।]+[\"'”’)\]»]*$")
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
Word = tuple[float, float, str]


def sentences(
    phrases: Iterable[Phrase], gap_seconds: float = GAP_SECONDS, most_seconds: float = MOST_SECONDS
) -> list[Phrase]:
    """Phrases of one language in order of time -> sentences, each with the times of its words.

    A sentence ends at its punctuation, at a pause of more than ``gap_seconds``, and before it is longer than
    ``most_seconds``. Words whose times are not known share their cue's time by their length.
    """
    found: list[Phrase] = []
    said: list[Word] = []
    timed = True

    def finish() -> None:
        if said:
            words = tuple(said) if timed else ()
            found.append(Phrase(said[0][0], max(end for _, end, _ in said), " ".join(w for *_, w in said), words))
        said.clear()

    for phrase in sorted(phrases, key=lambda one: (one.start, one.end)):
        for word in phrase.words or _shared(phrase):
            if said and (word[0] - said[-1][1] > gap_seconds or word[1] - said[0][0] > most_seconds):
                finish()
            # guessed times must not be taken for measured ones
            timed = bool(phrase.words) and (timed or not said)
            said.append(word)
            if _ends(word[2]):
                finish()
    finish()
    return found


def _shared(phrase: Phrase) -> Sequence[Word]:
    """The words of a cue, each with a share of its time."""
    words = phrase.text.split()
    letters = sum(len(word) + 1 for word in words)
    shares, begin = [], phrase.start
    for word in words:
        end = begin + (phrase.end - phrase.start) * (len(word) + 1) / letters
        shares.append((begin, end, word))
        begin = end
    return shares


def _ends(word: str) -> bool:
    """Whether a sentence ends with this word: not at an abbreviation, an initial or a number in a list."""
    if word.lower() in _ABBREVIATIONS or re.fullmatch(r"[A-ZÀ-Þ]\.|\d+\.", word):
        return False
    return bool(_END.search(word))
