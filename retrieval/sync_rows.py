"""Sync with vectors and rows that lie in files: what was made elsewhere, all of it or only what is new."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from retrieval.rows import Row, parse_row
from retrieval.store import Store
from retrieval.sync import Counts, Made, Wanted, rows_digest, sync

Block = tuple[Any, Sequence[Mapping[str, Any]]]  # vectors [N, width] and N rows


def sync_rows(
    store: Store, blocks: Sequence[Block], wanted: Iterable[Wanted] | None = None, *, allow_empty: bool = False
) -> Counts:
    """Make the store hold the recordings of these rows and no others.

    wanted: where the rows are only those of new recordings: all recordings that the store shall hold. Vectors of
    another content than is wanted are not taken. Rows that say something else than the store's (other words, other
    labels) make a changed recording. Raises ValueError, one line, as `sync` does.
    """
    places: dict[str, list[tuple[int, int]]] = defaultdict(list)
    rows: dict[str, list[Row]] = defaultdict(list)
    for number, (vectors, given) in enumerate(blocks):
        if len(vectors) != len(given):
            raise ValueError(f"there are {len(vectors)} vectors and {len(given)} rows; every vector needs its row")
        for place, data in enumerate(given):
            row = parse_row(place, data, store.space.modalities, 0)
            if "id" in data:
                raise ValueError(f"row {place}: a sync gives ids itself, leave id out")
            places[row.recording].append((number, place))
            rows[row.recording].append(row)
    told = {key: _told(held) for key, held in rows.items()}

    def at_hand(recording: Wanted) -> bool:
        return recording.key in told and told[recording.key].content == recording.content

    goal = list(told.values())
    if wanted is not None:
        goal = [replace(one, rows=told[one.key].rows) if at_hand(one) else one for one in wanted]

    def embed(recordings: Sequence[Wanted]) -> Iterator[Made]:
        for recording in recordings:
            if at_hand(recording):
                vectors = [blocks[number][0][place] for number, place in places[recording.key]]
                yield Made(
                    recording.key, np.stack(vectors), [_data(row, recording.path) for row in rows[recording.key]]
                )

    return sync(store, goal, embed, allow_empty=allow_empty)


def _told(rows: Sequence[Row]) -> Wanted:
    """The recording that these rows are of."""
    first = rows[0]
    for row in rows:
        if (row.path, row.content) != (first.path, first.content):
            raise ValueError(f"rows of recording {row.recording!r} disagree about its path or its content")
    return Wanted(first.recording, first.path, first.content, rows_digest(map(vars, rows)))


def _data(row: Row, path: str) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if name != "id"} | {"path": path}
