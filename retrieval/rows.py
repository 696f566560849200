"""What is known about each vector: which recording, seconds, modality and words."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Parameter = str | int | float | None
Key = tuple[str, float, float, str]

LARGEST_ID = 2**63 - 1
MOST_NESTED = 100
"""objects and lists within each other in extra; Python and SQLite read about a thousand, less when called from deep"""
SCHEMA = """
CREATE TABLE rows (
    position INTEGER PRIMARY KEY, id INTEGER NOT NULL, recording TEXT NOT NULL, path TEXT NOT NULL,
    content TEXT NOT NULL, start REAL NOT NULL, end REAL NOT NULL, modality TEXT NOT NULL, narration TEXT NOT NULL,
    extra TEXT NOT NULL
)
"""
COLUMNS = ("id", "recording", "path", "content", "start", "end", "modality", "narration", "extra")


@dataclass(frozen=True)
class Row:
    """One vector's row: `start` to `end`, in seconds of presentation time, of one modality of one recording.

    path: of the media file, as a user would open it. content: hash of the media file, or "". extra: the user's own
    columns, anything JSON can hold; filters reach them as extra ->> 'name'.
    """

    id: int
    recording: str
    path: str
    start: float
    end: float
    modality: str
    content: str = ""
    narration: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """What no two rows of a store share."""
        return (self.recording, self.start, self.end, self.modality)


@dataclass(frozen=True)
class Held:
    """Where the rows of one recording say its file is, and its content's hash: one of each, unless they disagree."""

    paths: set[str]
    contents: set[str]


def parse_row(number: int, data: Mapping[str, Any], modalities: Sequence[str], next_id: int) -> Row:
    """Check one row given by a user; without an "id" it gets `next_id`.

    Raises ValueError, one line, that names row `number`.
    """

    def fail(problem: str) -> ValueError:
        return ValueError(f"row {number}: {problem}")

    if not isinstance(data, Mapping):
        raise fail(f"must be an object with {', '.join(COLUMNS[1:])}, got {type(data).__name__}")
    for name in data:
        if name not in COLUMNS:
            raise fail(f"unknown key {name!r}; known are {', '.join(COLUMNS)}, and your own columns go into extra")
    for name in ("recording", "path", "modality", "start", "end"):
        if name not in data:
            raise fail(f"{name} is missing")
    texts = {name: data.get(name, "") for name in ("recording", "path", "content", "modality", "narration")}
    for name, value in texts.items():
        if not isinstance(value, str) or (not value and name in ("recording", "path")):
            raise fail(f"{name} must be text, got {value!r}")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise fail(f"{name} {value!r} cannot be written as UTF-8") from None
    if texts["modality"] not in modalities:
        raise fail(f"modality {texts['modality']!r} is not one of the space's: {', '.join(modalities)}")
    seconds = []
    for name in ("start", "end"):
        number_of_seconds = as_number(data[name])
        if number_of_seconds is None:
            raise fail(f"{name} must be a finite number of seconds, got {data[name]!r:.80}")
        seconds.append(number_of_seconds)
    if seconds[1] < seconds[0]:
        raise fail(f"end {seconds[1]} is before start {seconds[0]}")
    identity = data.get("id", next_id)
    if isinstance(identity, bool) or not isinstance(identity, int) or not 0 <= identity < LARGEST_ID:
        raise fail(f"id must be a whole number of at least 0, got {identity!r}")
    extra = data.get("extra", {})
    if _is_deeper(extra, MOST_NESTED):
        raise fail(f"extra may be nested at most {MOST_NESTED} deep")
    try:
        if not isinstance(extra, Mapping):
            raise TypeError
        json.dumps(dict(extra), allow_nan=False, ensure_ascii=False, sort_keys=True).encode()
    except (TypeError, ValueError):
        raise fail(f"extra must be an object that JSON can hold, with text as keys, got {extra!r:.80}") from None
    return Row(
        identity,
        texts["recording"],
        texts["path"],
        seconds[0],
        seconds[1],
        texts["modality"],
        texts["content"],
        texts["narration"],
        dict(extra),
    )


def as_number(value: Any) -> float | None:
    """A finite number as a float; None for what is none, or has no float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _is_deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, Mapping | list | tuple)
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
        ]
        if not level:
            return False
    return True
