"""The rows of one segment on disk: an SQLite file, written once."""

import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from retrieval.filters import select, wrong_filter
from retrieval.rows import COLUMNS, SCHEMA, Key, Parameter, Row

Stored = tuple[int, str, str, str, float, float, str, str, str]  # a row as COLUMNS has it, its extra as JSON

# Made once the rows are in, which is quicker. Keys are not unique: a removed row may share its key with a present one.
INDEXES = ("CREATE UNIQUE INDEX ids ON rows (id)", "CREATE INDEX keys ON rows (recording, start, end, modality)")


def stored(row: Row) -> Stored:
    """A row as it is written."""
    extra = json.dumps(dict(row.extra), ensure_ascii=False, sort_keys=True)
    seconds = row.start + 0.0, row.end + 0.0  # 0 of -0, as SQLite makes it
    return (row.id, row.recording, row.path, row.content, *seconds, row.modality, row.narration, extra)


def write_rows(path: Path, rows: Iterable[Stored]) -> None:
    """Write a new file of rows, in the order of their vectors. The caller fsyncs. Raises OSError for a full disk."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA + ";")
            connection.execute("BEGIN")
            numbered = ((position, *row) for position, row in enumerate(rows))
            connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", numbered)
            for statement in INDEXES:
                connection.execute(statement)
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise OSError(f"{path} cannot be written: {error}") from None


def write_renamed(path: Path, source: "RowFile", recordings: Mapping[str, tuple[str, str]]) -> None:
    """Write a copy of a file of rows in which recordings have another name and path. Raises OSError for a full disk."""
    # Positions first: names may be swapped.
    found = [(source.positions_of(old), *new) for old, new in recordings.items()]
    shutil.copyfile(source.path, path)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
            connection.execute("BEGIN")
            changes = ((name, file, position) for positions, name, file in found for position in positions)
            connection.executemany("UPDATE rows SET recording = ?, path = ? WHERE position = ?", changes)
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise OSError(f"{path} cannot be written: {error}") from None


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

    def matching(self, where: str, parameters: Sequence[Parameter]) -> list[int]:
        """Ids that meet a condition that `check_where` has passed."""
        try:
            return [row[0] for row in self._connection.execute(select(where), tuple(parameters))]
        except sqlite3.DatabaseError as error:
            raise wrong_filter(where, error) from None

    def stored(self) -> Iterator[Stored]:
        """All rows as they are written, in the order of their vectors."""
        return self._read(f"SELECT {', '.join(COLUMNS)} FROM rows ORDER BY position")

    def recordings(self) -> Iterator[tuple[str, str, str]]:
        """Recording, path and content of every row, in the order of the vectors."""
        return self._read("SELECT recording, path, content FROM rows ORDER BY position")

    def holds(self, recording: str) -> bool:
        """Whether any row, removed or not, is of this recording."""
        return bool(list(self._read("SELECT 1 FROM rows WHERE recording = ? LIMIT 1", (recording,))))

    def ids_of(self, recording: str) -> list[int]:
        """Ids of the rows of one recording."""
        return [row[0] for row in self._read("SELECT id FROM rows WHERE recording = ?", (recording,))]

    def ids_at(self, recording: str, start: float, end: float) -> list[int]:
        """Ids of the rows of a recording that share time with these seconds, or are exactly these."""
        condition = "recording = ? AND ((start < ? AND end > ?) OR (start = ? AND end = ?))"
        query = f"SELECT id FROM rows WHERE {condition}"
        return [row[0] for row in self._read(query, (recording, end, start, start, end))]

    def positions_of(self, recording: str) -> list[int]:
        """Where the rows of one recording stand."""
        return [row[0] for row in self._read("SELECT position FROM rows WHERE recording = ?", (recording,))]

    def ids_with(self, key: Key) -> list[int]:
        """Ids of the rows with this recording, start, end and modality: at most one is not removed."""
        condition = "recording = ? AND start = ? AND end = ? AND modality = ?"
        return [row[0] for row in self._read(f"SELECT id FROM rows WHERE {condition}", key)]

    def _read(self, query: str, parameters: Sequence[Parameter] = ()) -> Iterator[Any]:
        try:
            yield from self._connection.execute(query, tuple(parameters))
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.path} is damaged: {error}") from None
