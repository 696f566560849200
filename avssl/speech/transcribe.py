"""A manifest -> the same with narration: a .vtt per recording, what was done is not done again."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from avssl.data.manifest import Manifest, Recording, write_whole
from avssl.data.media import Unreadable, decode
from avssl.data.narration import Phrase
from avssl.data.sentences import sentences
from avssl.data.subtitles import read, webvtt
from avssl.speech import voice
from avssl.speech.doubt import Heard, Rule, believed
from avssl.speech.whisper import Recognizer, Sound

UNDETERMINED = "und"
"""language of a recording in which no voice was found"""
BLOCK_SECONDS = 300.0
"""of sound in memory at once"""
NAME_BYTES = 160
"""of a recording's name in that of its .vtt; systems allow 255 for all of it"""
UNSPACED = {"zh", "yue", "ja", "th", "lo", "my", "km", "bo"}
"""languages without spaces between words: what a recognizer times as a word there is a character or a whole segment,
and our narration joins words with spaces"""
Progress = Callable[[int, int], None]


@dataclass
class Told:
    """What became of the recordings: how many were heard now, before, or not; sentences, and segments left out."""

    heard: int = 0
    before: int = 0
    passed: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    sentences: int = 0
    languages: Counter[str] = field(default_factory=Counter)


def transcribe(
    manifest: Manifest,
    folder: Path,
    recognizer: Recognizer,
    *,
    settings: str,
    language: str = "",
    rule: Rule | None = None,
    again: bool = False,
    progress: Progress | None = None,
) -> tuple[Manifest, Told]:
    """Hear every recording with sound that has no narration yet.

    Words are timed one by one where the recognizer does so, in languages that have spaces between them.

    Args:
        manifest: of recordings.
        folder: of the .vtt files, one per recording, made if missing; one that was made with the same settings from
            the same content is read, not made again.
        recognizer: hears.
        settings: names the recognizer; part of what makes a file the same.
        language: of all recordings (``en``); "" finds it for each.
        rule: what is not believed.
        again: hear also what has narration.
        progress: told (recordings done, recordings in all).

    Returns:
        The manifest with narration as sentences, and what was done.
    """
    rule = rule or Rule()
    told, held = Told(), list(manifest.recordings)
    made = {path.stem.rpartition(".")[0]: path for path in sorted(folder.glob("*.vtt"))} if folder.is_dir() else {}
    for number, recording in enumerate(held):
        reason = why_passed(recording, again)
        if reason:
            told.passed[reason] += 1
        else:
            name, mark = _name(recording.key), _mark(recording, settings, language, rule)
            path = made.get(name)
            try:
                if path is not None and _has(path, mark):
                    told.before += 1
                else:
                    phrases, spoken, counts = _heard(manifest.path_of(recording), recording, recognizer, language, rule)
                    path = _write(folder / f"{name}.{spoken}.vtt", phrases, spoken, mark, stale=path)
                    told.heard += 1
                    told.left_out.update(counts)
            except Unreadable as error:
                told.passed[str(error).removeprefix(f"{manifest.path_of(recording)}: ")] += 1
            else:
                told.languages[path.suffixes[-2].removeprefix(".")] += 1
                held[number] = replace(recording, narration=tuple(sentences(read(path, name))))
                told.sentences += len(held[number].narration)
        if progress is not None:
            progress(number + 1, len(held))
    return replace(manifest, recordings=tuple(held)), told


def _write(path: Path, phrases: list[Phrase], spoken: str, mark: str, stale: Path | None) -> Path:
    """The .vtt of a recording, with what tells whether it is still right, in place of a stale one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, webvtt(phrases).replace("WEBVTT\n", f"WEBVTT\nLanguage: {spoken}\n\nNOTE {mark}\n", 1))
    if stale is not None and stale != path:
        stale.unlink()
    return path


def why_passed(recording: Recording, again: bool) -> str:
    """Why a recording is not heard, or nothing."""
    if recording.audio is None:
        return "no sound"
    if "silent" in recording.problems:
        return "silent"
    return "has narration" if recording.narration and not again else ""


def _heard(
    path: Path, recording: Recording, recognizer: Recognizer, language: str, rule: Rule
) -> tuple[list[Phrase], str, Counter[str]]:
    """Phrases in order of time, their language, and counts of what was left out. Raises Unreadable."""
    found: list[Heard] = []
    spoken = UNDETERMINED
    for start, sound in _stretches(path, recording.seconds):
        spoken = language = language or recognizer.language_of(sound)
        found += [_later(one, start, timed=language not in UNSPACED) for one in recognizer.hear(sound, language)]
    phrases, counts = believed(found, rule)
    return phrases, spoken, Counter(counts)


def _stretches(path: Path, seconds: float) -> Iterator[tuple[float, Sound]]:
    """(start in seconds, sound) of what may be speech. A stretch that a block cuts is taken up by the next block."""
    start = 0.0
    while start < seconds:
        length = min(BLOCK_SECONDS, seconds - start)
        sound = decode(path, times=(), size=(2, 2), audio=(start, length), hz=voice.HZ).audio.astype(np.float32)
        voiced = voice.together(voice.stretches(sound))
        last = start + length >= seconds
        cut = bool(voiced) and not last and voiced[-1][1] >= length - voice.PAUSE_SECONDS and len(voiced) > 1
        for begin, end in voiced[: -1 if cut else None]:
            yield start + begin, sound[round(begin * voice.HZ) : round(end * voice.HZ)]
        start += voiced[-1][0] if cut else length


def _later(heard: Heard, seconds: float, timed: bool) -> Heard:
    phrase = heard.phrase
    words = tuple((begin + seconds, end + seconds, word) for begin, end, word in phrase.words if timed)
    return replace(heard, phrase=Phrase(phrase.start + seconds, phrase.end + seconds, phrase.text, words))


def _mark(recording: Recording, settings: str, language: str, rule: Rule) -> str:
    told = hashlib.blake2b(repr((recording.sha256, settings, language, rule)).encode(), digest_size=12).hexdigest()
    return f"heard {told}"


def _name(key: str) -> str:
    """A key as one file name: keys with folders must not leave the folder, collide, or be longer than names may be."""
    plain = key.replace(os.sep, "__").replace("/", "__")
    short = plain.encode()[:NAME_BYTES].decode(errors="ignore")
    return short if short == key else f"{short}-{hashlib.blake2b(key.encode(), digest_size=4).hexdigest()}"


def _has(path: Path, mark: str) -> bool:
    with open(path, encoding="utf-8") as file:
        return f"NOTE {mark}\n" in file.read(400)
