"""Files of narration: subtitles and word alignments beside a recording, read and written."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pysubs2

from avssl.data.languages import same
from avssl.data.narration import Phrase, clean, plain

SUFFIXES = (".vtt", ".srt", ".ass", ".ssa", ".align")
ALIGN_UNITS_PER_SECOND = 25000
PAUSES = frozenset({"sil", "sp"})
MAX_BYTES = 32 << 20
_TIME = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_INSIDE = re.compile(r"<(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)>")
_MARK = re.compile("\ue000(\\d+)\ue001")
_TAG = re.compile(r"[a-z]{2,3}([-_][a-z0-9]{2,8})*")
_HEADER = re.compile(r"WEBVTT.*\n(?:.+\n)*?Language:[ \t]*(\S+)", re.IGNORECASE)
_NO_LANGUAGE = frozenset(["und", "cc", "sdh"])
"""tags that tell how something is written down, or that nobody knows the language"""


class Cues(NamedTuple):
    """Everything a file says, uncleaned, and how many cues of it could not be understood."""

    phrases: list[Phrase]
    lost: int


def read(path: Path, stem: str = "") -> list[Phrase]:
    """Phrases, as :func:`cues` finds them, of a .vtt, .srt, .ass, .ssa or .align file in order of time.

    Raises ValueError, one line, when the file is none of these or cannot be understood.
    """
    return list(clean(cues(path, stem).phrases).phrases)


def cues(path: Path, stem: str = "") -> Cues:
    """What the file says; words of a .vtt that are timed one by one keep their times. Raises ValueError.

    ``stem`` is the name, without its suffix, of the recording that the file belongs to: what the file's name has more
    tells the language (``clip.en.vtt``), else the header of a .vtt does.
    """
    found, told = _cues(path)
    named = path.stem.removeprefix(f"{stem}.") if stem and path.stem != stem else ""
    tag = language(named) or language(told)
    return Cues([replace(one, language=tag) for one in found.phrases], found.lost) if tag else found


def language(tag: str) -> str:
    """A tag of a file's name, of its header or of a stream as the language it tells, in small letters; or nothing."""
    tag = tag.lower()
    return tag if _TAG.fullmatch(tag) and tag not in _NO_LANGUAGE else ""


def _cues(path: Path) -> tuple[Cues, str]:
    """What the file says, and the language in its header."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: not a narration file; its name should end in {' '.join(SUFFIXES)}")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path}: {size >> 20} MB of narration; at most {MAX_BYTES >> 20} MB are read")
    text = _decoded(path.read_bytes())
    if path.suffix.lower() == ".align":
        return Cues(_aligned(text, path), 0), ""
    if not text.strip():
        return Cues([], 0), ""
    if path.suffix.lower() in (".ass", ".ssa"):
        return _dialogue(text), ""
    form = path.suffix.lower().removeprefix(".")
    # times inside a line are read as the times of a cue by pysubs2: they are hidden from it
    hidden = _INSIDE.sub(lambda found: f"\ue000{round(_seconds(found) * 1000)}\ue001", text)
    try:
        # it would take "< b and c >" for a tag: what is one is told by `plain`
        events = pysubs2.SSAFile.from_string(hidden, format_=form, keep_html_tags=True).events
    except (pysubs2.exceptions.Pysubs2Error, ValueError, IndexError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: not understood as {form} subtitles ({' '.join(str(error).split())})") from None
    phrases: list[Phrase] = []
    lost, above = max(0, sum("-->" in line for line in hidden.splitlines()) - len(events)), ""
    for event in events:
        if event.is_comment:
            continue
        lines = _lines(event.text)
        # captions that roll repeat the line above, whose words were timed before
        rolled = len(lines) > 1 and plain(lines[0]) == above and any(map(_MARK.search, lines[1:]))
        above = plain(_MARK.sub("", lines[-1])) if lines else ""
        phrases.append(_timed(event.start / 1000, event.end / 1000, " ".join(lines[rolled:])))
    header = _HEADER.match(text.replace("\r\n", "\n"))
    return Cues(phrases, lost), header[1] if header else ""


def beside(path: Path, names: Collection[str] | None = None, languages: Sequence[str] = ()) -> list[Path]:
    """The narration files that belong to a recording: one, or one for each of the ``languages`` that is there; where
    none is, the one that names no language.

    They have the same stem and lie in the same folder (``clip.vtt``, or with a language, ``clip.en.vtt``); an
    ``.align`` file may also lie in a sibling folder named ``align``. ``names`` are the file names of the recording's
    folder, where they are known.
    """
    if names is None:
        names = set(os.listdir(path.parent))
    head = path.stem + "."
    held = sorted(name for name in names if name.startswith(head) and name.lower().endswith(SUFFIXES))
    spoken = [name for name in held if 0 < len(Path(name).stem) - len(head) <= 10]
    if languages:
        told = {Path(name).stem[len(head) :].lower(): name for name in reversed(spoken)}
        wanted = [next((told[tag] for tag in told if same(tag, language)), "") for language in languages]
        if any(wanted):
            return [path.with_name(name) for name in wanted if name]
        spoken = []  # in another language; a file that names none may be in one of these
    plain = {Path(name).suffix.lower(): name for name in held if Path(name).stem == path.stem}
    for suffix in SUFFIXES:
        if suffix in plain:
            return [path.with_name(plain[suffix])]
    aligned = path.parent.parent / "align" / f"{path.stem}.align"
    if aligned.is_file():
        return [aligned]
    return [path.with_name(name) for name in spoken[:1]]


def chosen(streams: Sequence[tuple[str, list[Phrase]]], languages: Sequence[str]) -> list[list[Phrase]]:
    """Of the (language, phrases) of embedded streams, the phrases of the first, or of one for each language."""
    taken = streams[:1]
    if languages:
        found = (next((one for one in streams if same(one[0], wanted)), ("", [])) for wanted in languages)
        taken = [one for one in found if one[1]]
    return [[replace(one, language=language(tag)) for one in phrases] for tag, phrases in taken]


def webvtt(phrases: Iterable[Phrase]) -> str:
    """The text of a .vtt file; words that are timed keep their times."""
    parts = ["WEBVTT"]
    for phrase in phrases:
        said = _escaped(phrase.text)
        if phrase.words:
            said = "".join(f"<{_clock(start)}><c>{_escaped(word)}</c> " for start, _, word in phrase.words).strip()
        parts.append(f"{_clock(phrase.start)} --> {_clock(phrase.end)}\n{said}")
    return "\n\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float) -> str:
    milli = round(max(0.0, seconds) * 1000)
    return f"{milli // 3600000:02}:{milli // 60000 % 60:02}:{milli // 1000 % 60:02}.{milli % 1000:03}"


def _seconds(found: re.Match[str]) -> float:
    return int(found[1] or 0) * 3600 + int(found[2]) * 60 + float(found[3])


def _lines(text: str) -> list[str]:
    """Lines of a cue that say something; a cue that was not understood hangs on the one before it."""
    lines = text.replace("\\N", "\n").split("\n")
    broken = [number for number, line in enumerate(lines) if "-->" in line]
    if broken:
        first = broken[0]
        first -= first > 0 and lines[first - 1].strip().isdigit()  # its number
        lines = lines[:first]
    return [line for line in lines if line.strip()]


def _timed(start: float, end: float, text: str) -> Phrase:
    """A cue whose text may hold marked times: each is when the words after it begin."""
    parts = _MARK.split(text)  # text, time, text, time, text
    if len(parts) == 1:
        return Phrase(start, end, text)
    begins = [start, *(int(time) / 1000 for time in parts[1::2])]
    words: list[tuple[float, float, str]] = []
    for begin, stop, piece in zip(begins, [*begins[1:], end], parts[::2], strict=True):
        said = plain(piece).split()
        each = (stop - begin) / len(said) if said else 0.0
        words += [(begin + k * each, begin + (k + 1) * each, word) for k, word in enumerate(said)]
    # what is said is written as a file would, for it is cleaned as that is: of <loud> the text would be bare
    return Phrase(start, end, _escaped(" ".join(word for *_, word in words)), tuple(words))


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


def _dialogue(text: str) -> Cues:
    # Fields come in the order of the file's own Format line, which pysubs2 does not follow.
    names = ["layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text"]
    phrases: list[Phrase] = []
    lost = 0
    for line in text.splitlines():
        kind, _, rest = line.partition(":")
        if kind.strip() == "Format" and "text" in rest.lower():
            names = [name.strip().lower() for name in rest.split(",")]
        elif kind.strip() == "Dialogue":
            fields = dict(zip(names, rest.split(",", len(names) - 1), strict=False))
            times = [_TIME.fullmatch(fields.get(name, "").strip()) for name in ("start", "end")]
            if all(times) and "text" in fields:
                start, end = (_seconds(found) for found in times if found)
                phrases.append(Phrase(start, end, fields["text"]))
            else:
                lost += 1
    return Cues(phrases, lost)


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
