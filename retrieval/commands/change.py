"""build, add, remove, sync, compact: the commands that change a store."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from retrieval import index as indexes
from retrieval.commands import given
from retrieval.rows import parse_row
from retrieval.segment import DTYPES, check_vectors
from retrieval.store import Store
from retrieval.sync import NothingWanted
from retrieval.sync_rows import sync_rows


def register(commands: Any) -> None:
    """Add these commands to the parser."""
    argument = given.command(commands, "build", "make or extend a store, and index it", _build)
    argument("--vectors", type=Path, help="float .npy, [N, width]; without it, only index what is there")
    argument("--rows", type=Path, help="JSON lines, one object per vector")
    argument("--space", type=Path, help="JSON: name, digest, modalities, width; needed for a new store")
    argument("--dtype", choices=list(DTYPES), help="how a new store keeps vectors (float32)")
    argument("--kind", help="of index; without it, chosen by size")
    argument("--recall", type=float, default=indexes.RECALL, metavar="R", help="an approximate index must reach")

    argument = given.command(commands, "add", "add vectors to a store and to its index", _add)
    argument("--vectors", type=Path, required=True, help="float .npy, [N, width]")
    argument("--rows", type=Path, required=True, help="JSON lines, one object per vector")
    argument("--space", type=Path, help="JSON of the vectors' space, to be checked against the store's")

    argument = given.command(commands, "remove", "remove vectors by id or by a condition", _remove)
    argument("ids", type=int, nargs="*", metavar="ID")
    argument("--where", metavar="SQL", help="remove the rows that meet this condition; told first, done with --yes")
    argument("--yes", action="store_true", help="do it")

    told = "make a store hold the recordings of these files and no others"
    argument = given.command(commands, "sync", told, _sync)
    argument("--vectors", type=Path, required=True, help="float .npy, [N, width]")
    argument("--rows", type=Path, required=True, help="JSON lines, one object per vector, with the hash of its content")
    argument(
        "--recordings", type=Path, metavar="FILE",
        help="JSON lines with recording, path, content: all that the store shall hold, where the rows are only the new",
    )  # fmt: skip
    argument("--space", type=Path, help="JSON of the vectors' space, to be checked against the store's")
    argument("--yes", action="store_true", help="also where nothing would be left")

    given.command(commands, "compact", "free the space of what was removed", _compact)


def _build(options: argparse.Namespace) -> int:
    if (options.vectors is None) != (options.rows is None):
        raise ValueError("--vectors and --rows go together")
    space = given.space(options.space)
    # Read before the store is made, so that a mistake in them leaves nothing behind.
    vectors = None if options.vectors is None else given.vectors(options.vectors)
    rows = None if options.rows is None else given.rows(options.rows)
    if (options.directory / "manifest.json").exists():
        store = Store.open(options.directory)
        if space is not None:
            store.space.check(space)
        if options.dtype not in (None, store.dtype):
            raise ValueError(f"{options.directory} keeps vectors as {store.dtype}; --dtype is for a new store")
    elif space is None:
        raise ValueError(f"{options.directory} holds no store yet: --space is needed to make one")
    else:
        store = Store.create(options.directory, space, dtype=options.dtype or "float32")
    with store:
        added = 0 if vectors is None or rows is None else _taken_in(store, vectors, rows)
        why = "as asked" if options.kind else indexes.suggested(store).why
        built = indexes.build(store, options.kind, options.recall)
        print(f"{options.directory}: {added} added, {len(built)} indexed ({built.kind}: {why.split(': ')[-1]})")
    return 0


def _taken_in(store: Store, vectors: Any, rows: list[Any]) -> int:
    """Add rows, and return how many; none where all are there already, the same: what was killed goes on."""
    try:
        return len(store.add(vectors, rows))
    except ValueError:
        if len(vectors) != len(rows) or not all(isinstance(data, dict) for data in rows):
            raise
        ids = store.ids_of({str(data.get("recording")) for data in rows})
        held = {row.key: row for row in store.rows(ids)}
        same = []
        for number, data in enumerate(rows):
            row = parse_row(number, data, store.space.modalities, 0)
            there = held.pop(row.key, None)
            if there is None or there != replace(row, id=data.get("id", there.id)):
                raise
            same.append(there.id)
        if not np.array_equal(store.vectors(same), check_vectors(vectors, store.space.width, dtype=store.dtype)):
            raise
        return 0


def _add(options: argparse.Namespace) -> int:
    vectors, rows = given.vectors(options.vectors), given.rows(options.rows)
    with _opened(options) as store:
        # Killed after the vectors were added, it goes on with the index.
        behind = any(entry["below"] < store.manifest["next_id"] for entry in store.manifest["indexes"])
        added = _taken_in(store, vectors, rows) if behind else len(store.add(vectors, rows))
        print(f"{options.directory}: {added} added{_extended(store)}")
    return 0


def _remove(options: argparse.Namespace) -> int:
    if bool(options.ids) == (options.where is not None):
        raise ValueError("name the ids to remove, or a condition with --where")
    with Store.open(options.directory) as store, store.locked():
        ids = options.ids or store.ids(options.where)
        if options.where is not None and len(ids) and not options.yes:
            count = len({row.recording for row in store.rows(ids)})
            of = f"{count} recording{'s' if count > 1 else ''}"
            print(f"{options.directory}: {len(ids)} of {len(store)} vectors, of {of}, meet the condition")
            print("nothing is removed; add --yes to remove them")
            return 1
        print(f"{options.directory}: {store.remove(ids)} removed, {len(store)} left")
    return 0


def _sync(options: argparse.Namespace) -> int:
    vectors, rows = given.vectors(options.vectors), given.rows(options.rows)
    wanted = given.wanted(options.recordings)
    with _opened(options) as store:
        try:
            counts = sync_rows(store, [(vectors, rows)], wanted, allow_empty=options.yes)
        except NothingWanted as error:
            raise ValueError(f"{error}; add --yes if it is so meant") from None
        print(f"{options.directory}: {counts}{_extended(store)}")
    return 0


def _compact(options: argparse.Namespace) -> int:
    with Store.open(options.directory) as store:
        removed = len(store.removed)
        store.compact()
        print(f"{options.directory}: {len(store)} vectors, {removed} removed ones are gone from the files")
    return 0


def _opened(options: argparse.Namespace) -> Store:
    store, space = Store.open(options.directory), given.space(options.space)
    if space is not None:
        store.space.check(space)
    return store


def _extended(store: Store) -> str:
    """Bring the index up to what the store holds now, if it has one; told as the end of a line."""
    if not store.manifest["indexes"]:
        return f"; no index yet: python -m retrieval build {store.directory}"
    built = indexes.extend(store)
    return f", {len(built)} indexed ({built.kind})"
