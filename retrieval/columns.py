"""The rows of one segment by position: a file that is mapped, so that a thousand hits cost no query.

SQLite answers which rows meet a condition; this file, written beside it from the same rows, says what a row at a known
position holds. Rows of one recording share their name, path and content, so these are kept once. In the file: the
texts (narration and the user's columns of each row), the names, then little-endian arrays, then how long all that is.
"""

import hashlib
import io
import itertools
import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.rowfile import Stored
from retrieval.rows import Row


class Name(NamedTuple):
    """What rows of one modality of a recording share."""

    recording: str
    path: str
    content: str
    modality: str


def write_columns(file: BinaryIO, rows: Iterable[Stored]) -> None:
    """Write rows in the order of their vectors, in one pass. The caller fsyncs."""
    names: dict[Name, int] = {}
    spans, numbers, texts = array("d"), array("i"), array("q", [0])
    for _, recording, path, content, start, end, modality, narration, extra in rows:
        numbers.append(names.setdefault(Name(recording, path, content, modality), len(names)))
        spans.extend((start, end))
        for text in (narration.encode(), extra.encode()):
            file.write(text)
            texts.append(texts[-1] + len(text))
    parts = [part.encode() for name in names for part in name]
    ends = [0, *itertools.accumulate(map(len, parts))]
    file.write(b"".join(parts))
    file.write(bytes(-(texts[-1] + ends[-1]) % 8))
    for values, kind in ((spans, "<f8"), (texts, "<i8"), (ends, "<i8"), (numbers, "<i4")):
        file.write(np.array(values, kind).tobytes())
    file.write(bytes(4 * len(numbers) % 8))
    file.write(np.array([len(numbers), len(names), texts[-1], ends[-1]], "<i8").tobytes())


def columns_of(rows: Iterable[Stored]) -> "Columns":
    """Of rows that have no such file."""
    file = io.BytesIO()
    write_columns(file, rows)
    return Columns(file.getvalue())


class Columns:
    """What `write_columns` wrote, read only. It needs no open file, so hits may outlive their store."""

    def __init__(self, data: Any) -> None:
        self._data = data
        count, names, texts, shared = (int(size) for size in np.frombuffer(data, "<i8", 4, len(data) - 32))
        place = texts + shared + -(texts + shared) % 8

        def taken(kind: str, length: int) -> NDArray[Any]:
            nonlocal place
            found: NDArray[Any] = np.frombuffer(data, kind, length, place)
            place += found.nbytes
            return found

        self.spans = taken("<f8", 2 * count).reshape(count, 2)
        """seconds of start and end, [count, 2]"""
        self._texts = taken("<i8", 2 * count + 1)
        self._ends = taken("<i8", 4 * names + 1) + texts
        self.numbers = taken("<i4", count)
        """of each row, which `name` is its own, [count]"""
        self._names: dict[int, Name] = {}

    def name(self, number: int) -> Name:
        """What rows of this number share."""
        found = self._names.get(number)
        if found is None:
            ends = self._ends[4 * number : 4 * number + 5].tolist()
            found = Name(*(str(self._data[a:b], "utf-8") for a, b in itertools.pairwise(ends)))
            self._names[number] = found
        return found

    def modalities(self) -> str:
        """SHA-256, in hex, of the modality of every row, in their order, whatever their recordings are called."""
        ends = self._ends
        starts, lengths = ends[3:-1:4], ends[4::4] - ends[3:-1:4]
        letters = np.zeros((len(starts), int(lengths.max(initial=0)) + 1), np.uint8)
        data = np.frombuffer(self._data, np.uint8)
        for place in range(letters.shape[1] - 1):
            longer = lengths > place
            letters[longer, place] = data[starts[longer] + place]
        known, codes = np.unique(letters.view(f"S{letters.shape[1]}").reshape(-1), return_inverse=True)
        told = hashlib.sha256(json.dumps([name.decode() for name in known.tolist()]).encode())
        told.update(codes[self.numbers].astype("<i4").tobytes())
        return told.hexdigest()

    def texts(self, position: int) -> tuple[str, str]:
        """Narration and the user's columns, as JSON, of the row at this position."""
        start, middle, end = self._texts[2 * position : 2 * position + 3].tolist()
        return str(self._data[start:middle], "utf-8"), str(self._data[middle:end], "utf-8")

    def rows(self, positions: Sequence[int], ids: Sequence[int]) -> Iterator[Row]:
        """The rows at these positions, which have these ids."""
        for identity, recording, path, content, start, end, modality, narration, extra in self.stored(positions, ids):
            yield Row(identity, recording, path, start, end, modality, content, narration, extra_of(extra))

    def stored(self, positions: Sequence[int], ids: Sequence[int]) -> Iterator[Stored]:
        """Likewise, as they are written."""
        for position, identity in zip(positions, ids, strict=True):
            recording, path, content, modality = self.name(int(self.numbers[position]))
            start, end = self.spans[position].tolist()
            yield (identity, recording, path, content, start, end, modality, *self.texts(position))


def extra_of(told: str) -> dict[str, Any]:
    """The user's columns from their JSON."""
    found: dict[str, Any] = {} if told == "{}" else json.loads(told)
    return found
