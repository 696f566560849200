"""A recording's narration, from the files beside it or the streams inside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avssl.data import subtitles
from avssl.data.narration import Phrase, clean
from avssl.data.sentences import sentences


@dataclass(frozen=True)
class Speech:
    """Which narration is taken, and how: the first that is found as its cues are, unless told otherwise."""

    languages: tuple[str, ...] = ()
    """all of these, side by side"""
    sentences: bool = False
    """cues are joined and split into sentences"""


def said(
    beside: Sequence[Path],
    streams: Sequence[tuple[str, list[Phrase]]],
    seconds: float,
    speech: Speech,
    stem: str = "",
) -> tuple[tuple[Phrase, ...], list[str]]:
    """Narration of a recording in order of time, and what is wrong with it.

    Args:
        beside: files of narration; where none can be read, what is inside the recording counts.
        streams: (language, phrases) of the subtitles inside the recording.
        seconds: the recording's length.
        speech: which, and how.
        stem: the recording's name without its suffix, after which files beside it name their language.
    """
    lists, problems, lost = list[list[Phrase]](), list[str](), 0
    for path in beside:
        try:
            found = subtitles.cues(path, stem)
        except (ValueError, OSError) as error:
            problems.append("narration cannot be read: " + str(error).removeprefix(f"{path}: "))
        else:
            lists.append(found.phrases)
            lost += found.lost
            if not found.phrases and not found.lost:
                problems.append(f"narration: nothing in its file ({path.name})")
    counts = Counter({"not understood": lost} if lost else {})
    phrases: list[Phrase] = []
    for cues in lists or subtitles.chosen(streams, speech.languages):
        spoken = clean(cues, seconds)
        counts.update(spoken.counts)
        phrases += sentences(spoken.phrases) if speech.sentences else spoken.phrases
    problems += [f"narration: {reason} ({count})" for reason, count in counts.items() if reason != "repeated"]
    return tuple(sorted(phrases, key=lambda one: (one.start, one.end))), problems
