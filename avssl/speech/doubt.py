"""What a recognizer says although nobody said it, and how it is told."""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from avssl.data.narration import Phrase


@dataclass(frozen=True)
class Heard:
    """A recognized segment, and how sure of it the recognizer is."""

    phrase: Phrase
    no_speech: float = 0.0
    """probability that nobody speaks in the stretch it is from"""
    log_probability: float = 0.0
    """mean over its tokens"""


@dataclass(frozen=True)
class Rule:
    """Bounds; the defaults are those of Whisper's own decoding (Radford et al., 2022, arXiv:2212.04356)."""

    no_speech: float = 0.6
    log_probability: float = -1.0
    """a stretch that is probably no speech is left out if its words are less probable than this"""
    compression: float = 2.4
    """text that packs better than this says the same again and again"""
    repeats: int = 3
    """the same words more often than this one after the other are a loop"""


def why_not(heard: Heard, rule: Rule) -> str | None:
    """Why a segment is not to be believed, or None."""
    if not heard.phrase.text.strip():
        return "empty"
    if heard.no_speech > rule.no_speech and heard.log_probability < rule.log_probability:
        return "no speech"
    if compression(heard.phrase.text) > rule.compression or loop(heard.phrase.text.split()) > rule.repeats:
        return "repeats itself"
    return None


def believed(segments: Sequence[Heard], rule: Rule) -> tuple[list[Phrase], dict[str, int]]:
    """The phrases that stand, and how many were left out, by reason.

    A text that comes more than ``rule.repeats`` times in a row, as when a recognizer is stuck, stands once.
    """
    told = [(heard.phrase, why_not(heard, rule)) for heard in segments]
    counts = Counter(reason for _, reason in told if reason is not None)
    kept: list[Phrase] = []
    for _, run in itertools.groupby((phrase for phrase, reason in told if reason is None), lambda one: one.text):
        same = list(run)
        if len(same) > rule.repeats:
            counts["repeated"] += len(same) - 1
            del same[1:]
        kept += same
    return kept, dict(counts)


def compression(text: str) -> float:
    """Bytes of the text over bytes of it packed by zlib."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def loop(words: Sequence[str]) -> int:
    """How often, at most, the same one to four words come one directly after the other."""
    said = [word.lower().strip(".,!?") for word in words]
    most = 1 if said else 0
    for size in range(1, 5):
        for first in range(size):
            parts = [tuple(said[k : k + size]) for k in range(first, len(said) - size + 1, size)]
            run = 1
            for before, after in itertools.pairwise(parts):
                run = run + 1 if before == after else 1
                most = max(most, run)
    return most
