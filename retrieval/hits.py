"""What a search found, as arrays: objects are made of the hits that somebody looks at."""

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from retrieval.columns import Name, extra_of
from retrieval.moments import Floats, Hit
from retrieval.reading import Reading
from retrieval.segment import Ids

Integers = NDArray[np.intp]


class Found:
    """Windows of all queries of a search, one query after the other; every array is [N]."""

    def __init__(self, store: Reading, ids: Ids, scores: Floats, calibrated: Floats | None) -> None:
        """Raises ValueError for an unknown id."""
        self.ids, self.scores, self.calibrated = ids, scores, calibrated
        self._positions, self._segments = np.empty(len(ids), np.intp), np.empty(len(ids), np.intp)
        self._numbers, spans = np.empty(len(ids), np.intp), np.empty((len(ids), 2))
        held = store.located(ids)
        self._columns = [segment.columns for segment, _, _ in held]
        for place, (columns, (_, here, positions)) in enumerate(zip(self._columns, held, strict=True)):
            self._segments[here], self._positions[here] = place, positions
            self._numbers[here], spans[here] = columns.numbers[positions], columns.spans[positions]
        self.peaks = self.starts = spans[:, 0]
        self.ends = spans[:, 1]

    def chosen(self, which: Integers, starts: Floats, ends: Floats) -> "Found":
        """Some of the windows, as moments with these seconds."""
        some = Found.__new__(Found)
        some._columns, some.starts, some.ends = self._columns, starts, ends
        some._segments, some._positions = self._segments[which], self._positions[which]
        some._numbers, some.peaks = self._numbers[which], self.peaks[which]
        some.ids, some.scores = self.ids[which], self.scores[which]
        some.calibrated = None if self.calibrated is None else self.calibrated[which]
        return some

    def names(self, first: int, last: int) -> list[Name]:
        """Recording, path, content and modality of each of these windows."""
        told = zip(self._segments[first:last].tolist(), self._numbers[first:last].tolist(), strict=True)
        return [self._columns[segment].name(number) for segment, number in told]

    def hits(self, first: int, last: int) -> list[Hit]:
        """These windows as objects."""
        made = []
        for place, (recording, path, content, modality) in enumerate(self.names(first, last), first):
            narration, extra = self._columns[self._segments[place]].texts(int(self._positions[place]))
            score = float(self.scores[place])
            made.append(
                Hit(
                    int(self.ids[place]), recording, path, float(self.starts[place]), float(self.ends[place]),
                    float(self.peaks[place]), score, modality, narration, extra_of(extra), content, {modality: score},
                    None if self.calibrated is None else float(self.calibrated[place]),
                )
            )  # fmt: skip
        return made


class Hits(Sequence[Hit]):
    """The moments found for one query, best first. They stay good when the store changes, and when it is closed."""

    def __init__(self, found: Found, first: int, last: int) -> None:
        self._found, self._first, self._last = found, first, last
        self._made: list[Hit] | None = None

    @classmethod
    def of(cls, hits: "Hits", made: list[Hit]) -> "Hits":
        """The same, of which these objects say more."""
        told = cls(hits._found, hits._first, hits._last)
        told._made = made
        return told

    @property
    def ids(self) -> Ids:
        """Of the best window of each moment, [N]."""
        return self._found.ids[self._first : self._last]

    @property
    def scores(self) -> Floats:
        """[N]."""
        return self._found.scores[self._first : self._last]

    @property
    def starts(self) -> Floats:
        """Seconds, [N]."""
        return self._found.starts[self._first : self._last]

    @property
    def ends(self) -> Floats:
        """Seconds, [N]."""
        return self._found.ends[self._first : self._last]

    @property
    def peaks(self) -> Floats:
        """Seconds at which the best window of each begins, [N]."""
        return self._found.peaks[self._first : self._last]

    @property
    def names(self) -> list[Name]:
        """Recording, path, content and modality of each."""
        return self._found.names(self._first, self._last)

    def chosen(self, which: Sequence[int], starts: Sequence[float], ends: Sequence[float]) -> "Hits":
        """Some of them, by their places, with these seconds."""
        chosen = np.array(which, np.intp) + self._first
        return Hits(self._found.chosen(chosen, np.array(starts, float), np.array(ends, float)), 0, len(which))

    def first(self, count: int) -> "Hits":
        """At most so many."""
        return Hits(self._found, self._first, min(self._last, self._first + count))

    def __len__(self) -> int:
        return self._last - self._first

    @overload
    def __getitem__(self, place: int) -> Hit: ...
    @overload
    def __getitem__(self, place: slice) -> list[Hit]: ...
    def __getitem__(self, place: int | slice) -> Hit | list[Hit]:
        if self._made is None:
            self._made = self._found.hits(self._first, self._last)
        return self._made[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self[:] == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self[:])
