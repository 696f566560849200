"""Make a store hold exactly the recordings one wants, embedding only what is new or changed.

A recording is known by its content hash first, so that a file that was moved or renamed keeps its vectors and ids. All
renames and deletions are one change; then new and changed recordings come in whole, many to a change, a changed one in
the same change in which its old rows go. What is left to do is found by looking at the store, so a sync that was killed
at any point is finished by the next one, and ends in the same rows, ids and vectors.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from retrieval.segment import check_vectors
from retrieval.store import Store

COMMIT_VECTORS = 8192  # so many, at least, go into one change


class NothingWanted(ValueError):
    """A sync that would leave nothing, where it was not said that this is meant."""


@dataclass(frozen=True)
class Wanted:
    """A recording that the store shall hold: its name, its file as rows will tell it, and its content's hash.

    rows: of what its rows will say (`rows_digest`), where that is known beforehand; rows that say something else make
    it a changed recording. Without it, equal content means equal rows.
    """

    key: str
    path: str
    content: str
    rows: str = ""


class Made(NamedTuple):
    """All vectors [N, width] of one recording and their rows; N may be 0."""

    key: str
    vectors: Any
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Plan:
    """What a sync has to do. `renamed`: from the held name to what is wanted, also where only the path differs."""

    new: tuple[Wanted, ...]
    changed: tuple[Wanted, ...]
    renamed: Mapping[str, Wanted]
    deleted: tuple[str, ...]
    unchanged: int


@dataclass(frozen=True)
class Counts:
    """Recordings that a sync found new, changed, renamed, deleted, unchanged; `empty` ones gave no vectors."""

    new: int
    changed: int
    renamed: int
    deleted: int
    unchanged: int
    empty: int

    def __str__(self) -> str:
        told = f"{self.new} new, {self.changed} changed, {self.renamed} renamed, {self.deleted} deleted"
        return f"{told}, {self.unchanged} unchanged" + (f", {self.empty} without vectors" if self.empty else "")


def plan(store: Store, wanted: Iterable[Wanted]) -> Plan:
    """What `sync` would do. Raises ValueError for a key that comes twice and for a recording without a content hash."""
    goal: dict[str, Wanted] = {}
    for recording in wanted:
        if not recording.key or not recording.path or not recording.content:
            raise ValueError(f"recording {recording.key!r} needs a name, a path and its content's hash to be synced")
        if recording.key in goal:
            raise ValueError(f"recording {recording.key!r} is wanted twice")
        goal[recording.key] = recording
    held = store.recordings()
    digests = held_digests(store) if any(recording.rows for recording in goal.values()) else {}

    def fits(name: str, recording: Wanted) -> bool:
        same = held[name].contents == {recording.content}
        return same and (not recording.rows or recording.rows == digests[name])

    kept = {name for name, recording in goal.items() if name in held and fits(name, recording)}
    movable: dict[str, list[str]] = defaultdict(list)
    for name in held:
        if name not in kept and len(held[name].contents) == 1:
            movable[min(held[name].contents)].append(name)
    renamed = {name: goal[name] for name in kept if held[name].paths != {goal[name].path}}
    open_ = [recording for name, recording in goal.items() if name not in kept]
    left = []
    for recording in open_:
        source = next((name for name in movable[recording.content] if fits(name, recording)), None)
        if source is None:
            left.append(recording)
        else:
            movable[recording.content].remove(source)
            renamed[source] = recording
    return Plan(
        new=tuple(recording for recording in left if recording.key not in held),
        changed=tuple(recording for recording in left if recording.key in held),
        renamed=renamed,
        deleted=tuple(name for name in held if name not in goal and name not in renamed),
        unchanged=len(kept) - sum(name in kept for name in renamed),
    )


def sync(
    store: Store,
    wanted: Iterable[Wanted],
    embed: Callable[[Sequence[Wanted]], Iterable[Made]],
    *,
    allow_empty: bool = False,
    commit_vectors: int = COMMIT_VECTORS,
) -> Counts:
    """Make the store hold the wanted recordings and no others.

    embed: gets the new and changed recordings and gives the vectors and rows of each, in their order; what it leaves
    out, or gives no vectors for, is not held afterwards and comes again with the next sync. The writer's lock is held
    all the while. Raises ValueError, one line, for wrong rows (what was finished before them stays), and, unless
    `allow_empty`, NothingWanted when nothing is wanted of a store that holds something.
    """
    goal = list(wanted)
    with store.locked():
        todo = plan(store, goal)
        if not goal and len(store) and not allow_empty:
            raise NothingWanted(f"nothing is wanted: that would delete all {len(store)} vectors of {store.directory}")
        # What a wanted recording replaces stays until its replacement is there; what a rename overwrites goes with it.
        waiting = {recording.key for recording in todo.changed} - set(todo.renamed)
        overwritten = {recording.key for recording in todo.renamed.values()} - set(todo.renamed)
        moves = {name: (recording.key, recording.path) for name, recording in todo.renamed.items()}
        store.rename(moves, store.ids_of([*todo.deleted, *overwritten]))
        # In the order in which they are wanted, whichever was new: an interrupted sync then ends in the same ids.
        asked = {recording.key for recording in (*todo.new, *todo.changed)}
        due = {recording.key: recording for recording in goal if recording.key in asked}
        done = _take_in(store, due, waiting, embed, commit_vectors)
        store.remove(store.ids_of(waiting - done))
    return Counts(
        new=sum(recording.key in done for recording in todo.new),
        changed=sum(recording.key in done for recording in todo.changed),
        renamed=len(todo.renamed),
        deleted=len(todo.deleted),
        unchanged=todo.unchanged,
        empty=len(todo.new) + len(todo.changed) - len(done),
    )


def _take_in(
    store: Store,
    due: Mapping[str, Wanted],
    waiting: set[str],
    embed: Callable[[Sequence[Wanted]], Iterable[Made]],
    commit_vectors: int,
) -> set[str]:
    """Add what `embed` makes, whole recordings at a time; return the keys of those that are there now."""
    done: set[str] = set()
    batch: list[Made] = []

    def commit() -> None:
        if batch:
            old = store.ids_of(made.key for made in batch if made.key in waiting)
            rows = [row for made in batch for row in made.rows]
            store.replace(old, np.concatenate([made.vectors for made in batch]), rows)
            done.update(made.key for made in batch)
            batch.clear()

    for made in embed(tuple(due.values())) if due else ():
        if made.key not in due or made.key in done or any(made.key == other.key for other in batch):
            raise ValueError(f"vectors came for recording {made.key!r}, which was not asked for, or twice")
        checked = _checked(store, due[made.key], made)
        if len(checked.rows):
            batch.append(checked)
        if sum(len(other.rows) for other in batch) >= commit_vectors:
            commit()
    commit()
    return done


def _checked(store: Store, expected: Wanted, made: Made) -> Made:
    """With vectors as the store keeps them. Raises ValueError that names the recording."""
    vectors = check_vectors(made.vectors, store.space.width, f"recording {made.key!r}: new", store.dtype)
    if len(vectors) != len(made.rows):
        raise ValueError(f"recording {made.key!r} has {len(vectors)} vectors and {len(made.rows)} rows")
    for row in made.rows:
        told = tuple(row.get(name) for name in ("recording", "path", "content"))
        if told != (expected.key, expected.path, expected.content) or "id" in row:
            raise ValueError(
                f"a row of {made.key!r} tells recording, path, content {told}, wanted is "
                f"{(expected.key, expected.path, expected.content)}, without an id"
            )
    return Made(made.key, vectors, made.rows)


def rows_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """Of what the rows of one recording say beside its name and its path, in any order."""
    told = hashlib.sha256()
    # + 0.0 makes a float of a whole number, and 0 of -0, as SQLite does.
    for line in sorted(
        json.dumps(
            [
                row["start"] + 0.0, row["end"] + 0.0, row["modality"], row.get("content", ""),
                row.get("narration", ""), dict(row.get("extra", {})),
            ],
            sort_keys=True,
        )
        for row in rows
    ):  # fmt: skip
        told.update(line.encode())
    return told.hexdigest()


def held_digests(store: Store) -> dict[str, str]:
    """The `rows_digest` of every recording that a store holds."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _all_rows(store):
        rows[row.recording].append(vars(row))
    return {name: rows_digest(held) for name, held in rows.items()}


def _all_rows(store: Store) -> Iterator[Any]:
    ids = store.ids()
    for first in range(0, len(ids), 65536):
        yield from store.rows(ids[first : first + 65536])
