"""What is known about each vector: which recording, seconds, modality and words; SQLite, one file per segment."""

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Parameter = str | int | float | None
Key = tuple[str, float, float, str]

LARGEST_ID = 2**63 - 1
SCHEMA = """
CREATE TABLE rows (
    id INTEGER PRIMARY KEY, position INTEGER NOT NULL, recording TEXT NOT NULL, path TEXT NOT NULL,
    content TEXT NOT NULL, start REAL NOT NULL, end REAL NOT NULL, modality TEXT NOT NULL, narration TEXT NOT NULL,
    extra TEXT NOT NULL, UNIQUE (recording, start, end, modality)
);
"""
COLUMNS = ("id", "recording", "path", "content", "start", "end", "modality", "narration", "extra")
# What a filter may call: nothing that allocates at will, reads files or writes.
JSON_FUNCTIONS = ("->", "->>", "json_array_length", "json_extract", "json_type")
TEXT_FUNCTIONS = ("glob", "instr", "length", "like", "lower", "ltrim", "rtrim", "substr", "substring", "trim", "upper")
PLAIN_FUNCTIONS = ("abs", "coalesce", "ifnull", "max", "min", "nullif", "round", "typeof", "unicode")
FUNCTIONS = frozenset(JSON_FUNCTIONS + TEXT_FUNCTIONS + PLAIN_FUNCTIONS)


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
        value = data[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise fail(f"{name} must be a finite number of seconds, got {value!r}")
        seconds.append(float(value))
    if seconds[1] < seconds[0]:
        raise fail(f"end {seconds[1]} is before start {seconds[0]}")
    identity = data.get("id", next_id)
    if isinstance(identity, bool) or not isinstance(identity, int) or not 0 <= identity < LARGEST_ID:
        raise fail(f"id must be a whole number of at least 0, got {identity!r}")
    extra = data.get("extra", {})
    try:
        if not isinstance(extra, Mapping):
            raise TypeError
        json.dumps(dict(extra), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError):
        raise fail(f"extra must be an object that JSON can hold, got {extra!r}") from None
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


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write a new file of rows, in the order of their vectors, and return how many. The caller fsyncs."""
    count = 0

    def values() -> Iterator[tuple[Any, ...]]:
        nonlocal count
        for row in rows:
            extra = json.dumps(dict(row.extra), ensure_ascii=False, sort_keys=True)
            times = (row.start, row.end)
            yield (row.id, count, row.recording, row.path, row.content, *times, row.modality, row.narration, extra)
            count += 1

    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA)
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values())
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:  # a full disk
        raise OSError(f"{path} cannot be written: {error}") from None
    return count


def check_where(where: str, parameters: Sequence[Parameter]) -> None:
    """Raise ValueError, one line, unless `where` is a plain condition on the columns of a row.

    It is prepared against an empty table under an authorizer that allows reading `rows` and a list of functions, and
    neither a second SELECT nor anything else.
    """
    selects = 0

    def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        nonlocal selects
        if action == sqlite3.SQLITE_SELECT:
            selects += 1
            return sqlite3.SQLITE_OK if selects == 1 else sqlite3.SQLITE_DENY
        allowed = (action == sqlite3.SQLITE_READ and first == "rows") or (
            action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in FUNCTIONS
        )
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(SCHEMA)
        connection.set_authorizer(authorize)
        try:
            connection.execute(_select(where), tuple(parameters)).fetchall()
            # What closes our bracket and hides the rest in a comment fails once there is a bracket more.
            selects = 0
            connection.execute(_select(f"(\n{where}\n)"), tuple(parameters)).fetchall()
        except (sqlite3.Error, sqlite3.Warning, ValueError, TypeError, OverflowError) as error:
            raise _wrong_filter(where, error) from None


def _select(where: str) -> str:
    # The line break keeps a comment in the condition from swallowing the bracket that ends it.
    return f"SELECT id FROM rows WHERE (\n{where}\n)"


def _wrong_filter(where: str, error: Exception) -> ValueError:
    told = " ".join(str(error).split())
    return ValueError(f"filter {where!r}: {told}; it must be an SQL condition on {', '.join(COLUMNS)}")


class RowFile:
    """Rows of one segment, read only. The file is never changed once written, so readers need no locks."""

    def __init__(self, path: Path) -> None:
        """Raises FileNotFoundError if the file is not there; damage shows at the first read, as ValueError."""
        self.path = path
        if not path.exists():
            raise FileNotFoundError(path)
        address = path.resolve().as_uri() + "?mode=ro&immutable=1"
        try:
            self._connection = sqlite3.connect(address, uri=True, check_same_thread=False)
        except sqlite3.OperationalError:
            raise FileNotFoundError(path) from None

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def ids(self) -> list[int]:
        """All ids in the order of the vectors."""
        return [row[0] for row in self._read("SELECT id FROM rows ORDER BY position")]

    def matching(self, where: str, parameters: Sequence[Parameter]) -> list[int]:
        """Ids that meet a condition that `check_where` has passed."""
        try:
            return [row[0] for row in self._connection.execute(_select(where), tuple(parameters))]
        except sqlite3.DatabaseError as error:
            raise _wrong_filter(where, error) from None

    def rows(self, ids: Sequence[int] | None = None) -> Iterator[Row]:
        """Those of the rows asked for that are here, or all, in the order of the vectors; one read."""
        columns = ", ".join(COLUMNS)
        if ids is None:
            found = self._read(f"SELECT {columns} FROM rows ORDER BY position")
        else:
            asked = "id IN (SELECT value FROM json_each(?))"
            found = self._read(f"SELECT {columns} FROM rows WHERE {asked} ORDER BY position", (json.dumps(list(ids)),))
        for identity, recording, path, content, start, end, modality, narration, extra in found:
            yield Row(identity, recording, path, start, end, modality, content, narration, json.loads(extra))

    def positions(self, ids: Sequence[int]) -> dict[int, int]:
        """Where in the segment the vectors of those ids stand that are here."""
        asked = "id IN (SELECT value FROM json_each(?))"
        return dict(self._read(f"SELECT id, position FROM rows WHERE {asked}", (json.dumps(list(ids)),)))

    def id_of(self, key: Key) -> int | None:
        """Id of the row with this recording, start, end and modality."""
        condition = "recording = ? AND start = ? AND end = ? AND modality = ?"
        found = list(self._read(f"SELECT id FROM rows WHERE {condition}", key))
        return found[0][0] if found else None

    def _read(self, query: str, parameters: Sequence[Parameter] = ()) -> Iterator[Any]:
        try:
            yield from self._connection.execute(query, tuple(parameters))
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.path} is damaged: {error}") from None
