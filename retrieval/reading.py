"""What is read from an open store: rows, vectors and ids. One version of it, until `Store` takes up the next."""

from collections.abc import Iterable, Iterator, Sequence
from operator import index

import numpy as np
from numpy.typing import NDArray

from retrieval.filters import check_where
from retrieval.manifest import Manifest, SideEntry
from retrieval.originals import Originals
from retrieval.rows import Held, Parameter, Row
from retrieval.segment import Ids, Segment, Vectors, contains
from retrieval.state import State

ANSWERS = 8  # filters whose answers are remembered


class Reading:
    """The reading half of a `Store`. No method needs a lock, and each sees one version of the store."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.space = state.space

    def __len__(self) -> int:
        state = self._state
        return sum(segment.count for segment in state.segments) - len(state.removed)

    @property
    def dtype(self) -> str:
        """How vectors are kept on disk: "float32" or "float16"."""
        return self._state.manifest["dtype"]

    @property
    def version(self) -> int:
        """Grows by one with every change."""
        return self._state.manifest["version"]

    @property
    def manifest(self) -> Manifest:
        """What the manifest said when the store was opened, refreshed or last written here; do not change it."""
        return self._state.manifest

    @property
    def removed(self) -> Ids:
        """Ids that are removed but still in the files, sorted."""
        return self._state.removed

    def rows(self, ids: Iterable[int]) -> list[Row]:
        """Rows of these ids, in this order. Raises ValueError for an unknown id."""
        wanted, state = as_ids(ids), self._state
        found: dict[int, Row] = {}
        for segment, here, positions in places(wanted, state):
            found.update(
                zip(here.tolist(), segment.columns.rows(positions.tolist(), wanted[here].tolist()), strict=True)
            )
        return [found[number] for number in range(len(wanted))]

    def located(self, ids: Ids) -> list[tuple[Segment, NDArray[np.intp], NDArray[np.intp]]]:
        """Segments with some of these ids: which of the ids, and where. Raises ValueError for an unknown id."""
        return places(ids, self._state)

    def vectors(self, ids: Iterable[int]) -> Vectors:
        """Vectors of these ids, in this order, [N, width]. Raises ValueError for an unknown id."""
        wanted, state = as_ids(ids), self._state
        vectors = np.empty((len(wanted), self.space.width), np.float32)
        for segment, here, positions in places(wanted, state):
            vectors[here] = segment.vectors(positions)
        return vectors

    def blocks(self) -> Iterator[tuple[Ids, Vectors]]:
        """Every id and vector, some tens of megabytes at a time; do not change them."""
        state = self._state
        for segment in state.segments:
            yield from segment.blocks(state.removed)

    def ids(self, where: str | None = None, parameters: Sequence[Parameter] = ()) -> Ids:
        """Sorted ids of the rows that meet an SQL condition on their columns, or of all; read only.

        where: such as "modality = ? AND extra ->> 'kind' = 'bell'", with one of `parameters` for each question mark.
        The last answers are remembered. Raises ValueError for a condition that is wrong or is more than a condition.
        """
        state, question = self._state, (where, repr(tuple(parameters)))
        answer = state.answers.get(question)
        if answer is None:
            if where is not None:
                check_where(where, parameters)
            parts = [np.empty(0, np.int64)]
            for segment in state.segments:
                parts.append(
                    segment.ids if where is None else np.array(segment.rows.matching(where, parameters), np.int64)
                )
            found = np.sort(np.concatenate(parts))
            answer = found[~contains(state.removed, found)]
            answer.setflags(write=False)
            for oldest in list(state.answers)[: 1 - ANSWERS]:
                state.answers.pop(oldest, None)
            state.answers[question] = answer
        return answer

    def recordings(self) -> dict[str, Held]:
        """What is held of each recording, in the order in which they were added."""
        state = self._state
        found: dict[str, Held] = {}
        for segment in state.segments:
            kept = (~contains(state.removed, segment.ids)).tolist()
            before = None
            for told, stays in zip(segment.rows.recordings(), kept, strict=True):
                if stays and told != before:
                    recording, path, content = before = told
                    held = found.setdefault(recording, Held(set(), set()))
                    held.paths.add(path)
                    held.contents.add(content)
        return found

    def ids_of(self, recordings: Iterable[str]) -> Ids:
        """Sorted ids of all rows of these recordings; there may be none."""
        state = self._state
        found = [i for name in recordings for segment in state.segments for i in segment.rows.ids_of(name)]
        ids = np.unique(np.array(found, np.int64))
        return ids[~contains(state.removed, ids)]

    def ids_at(self, recording: str, start: float, end: float) -> Ids:
        """Sorted ids of the rows of a recording that share time with `start` to `end`, or are exactly these seconds."""
        state = self._state
        ids = np.unique(np.array([i for s in state.segments for i in s.rows.ids_at(recording, start, end)], np.int64))
        return ids[~contains(state.removed, ids)]

    def originals(self) -> Originals:
        """The vectors as they are now, found by id; removed ones may be found too."""
        state = self._state
        return Originals(state.segments, self.space.width, self.dtype)

    @property
    def held(self) -> tuple[str, ...]:
        """Digests of the vectors, ids and modalities in its files, also of removed rows: what an index is made of.

        Not of the files' names, which a folder made anew repeats, and not of what recordings are called.
        """
        state = self._state
        files, entries = state.manifest["files"], state.manifest["segments"]
        # Named by the entries: a segment that is open already may have been opened under a name from before.
        told = [
            (files[entry["vectors"]]["sha256"], files[entry["ids"]]["sha256"], segment.modalities)
            for entry, segment in zip(entries, state.segments, strict=True)
        ]
        return tuple(digest for some in told for digest in some)

    def sides(self, kind: str) -> list[SideEntry]:
        """The side files of this kind, in the order in which they came."""
        return [entry for entry in self._state.manifest["sides"] if entry["kind"] == kind]


def as_ids(ids: Iterable[int]) -> Ids:
    """Whole numbers as an array [N]. Raises ValueError for what is none, and for one that no id can be."""
    if isinstance(ids, np.ndarray) and ids.dtype.kind == "i":
        return ids.astype(np.int64, copy=False)
    numbers = []
    for identity in ids:
        try:
            numbers.append(index(identity))
        except TypeError:
            raise ValueError(f"an id is a whole number, got {identity!r:.40}") from None
        if not -(2**63) <= numbers[-1] < 2**63:
            raise ValueError("the store holds no id of 2**63 or more, or below -2**63")
    return np.array(numbers, np.int64)


def places(wanted: Ids, state: State) -> list[tuple[Segment, NDArray[np.intp], NDArray[np.intp]]]:
    """Segments that hold some of these ids: which of the ids, and where in the segment. ValueError for unknown ids."""
    unknown = np.ones(len(wanted), np.bool_)
    found = []
    for segment in state.segments if len(wanted) else ():
        positions = segment.positions(wanted)
        here = np.flatnonzero(positions >= 0)
        if len(here):
            found.append((segment, here, positions[here]))
            unknown[here] = False
    unknown |= contains(state.removed, wanted)
    if unknown.any():
        raise ValueError(f"the store holds no id {wanted[np.argmax(unknown)]}")
    return found
