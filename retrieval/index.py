"""Indexes of a store: built from its vectors, kept beside them, extended when rows come, refused when they do not fit.

An index holds the rows with ids below its mark, in parts: those that were there when it was built, then those that each
extension added. Added parts that are no larger than the rows after them are made anew together with these, as segments
are, so few parts stay and adding rows costs what these rows cost. Removed rows stay in it and are hidden.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from retrieval.kinds import (
    FLAT_PART,
    KINDS,
    TRAINING_PER_LIST,
    Choice,
    bytes_read,
    check_kind,
    choose,
    emptied,
    flat,
    inverted,
    lists_for,
    trained,
)
from retrieval.kinds import import_faiss as import_faiss
from retrieval.loading import as_index, ids_from, parts_of
from retrieval.loading import check_covers as check_covers
from retrieval.loading import describe as describe
from retrieval.loading import find_entry as find_entry
from retrieval.loading import load as load
from retrieval.manifest import IndexEntry, PartEntry, RecallEntry
from retrieval.narrowing import asking, basis
from retrieval.nearest import Index as Index
from retrieval.originals import Originals
from retrieval.parts import Part, fill, lists_on_disk, with_lists, write_structure
from retrieval.segment import Ids, Vectors
from retrieval.store import Save, Store
from retrieval.tuning import QUERIES, SEED, K, Queries, aim, held_out, truths, tune

RECALL = 0.98


def build(store: Store, kind: str | None = None, recall: float = RECALL, flat_below: int = FLAT_PART) -> Index:
    """Index all of a store's vectors by inner product and list the index in its manifest.

    kind: one of `retrieval.kinds.KINDS`; without it, what `choose` says. recall: share of the true 10 nearest that an
    approximate kind must find in each direction (modality to modality); what it does find is measured and kept.
    flat_below: a modality with fewer vectors is looked at whole. Raises ValueError for an unknown kind, a recall that
    is none, or a busy store, ImportError without faiss.
    """
    import_faiss()
    if not 0 < recall <= 1:
        raise ValueError(f"recall must be above 0 and at most 1, got {recall!r}")
    with store.locked():
        kind = kind or suggested(store).kind
        check_kind(kind)
        originals, chosen = store.originals(), kind
        present = {name: store.ids("modality = ?", [name]) for name in store.space.modalities}
        asked = held_out(present, originals) if KINDS[kind].empty else []

        def make(save: Save) -> IndexEntry:
            entries: list[PartEntry] = []
            directions: dict[str, float] = {}
            moment = asking(present, originals) if asked else np.empty((0, 0))
            for name, ids in present.items():
                if not len(ids):
                    continue
                sample = _sample(originals, ids, asked, flat_below)
                size = partial(bytes_read, chosen)
                few = basis(sample, len(ids), moment, asked, aim(recall), size) if len(sample) else None
                instead = KINDS[chosen].instead or chosen
                true = truths(asked, originals, ids)
                for actual, looked in ((chosen, few), (instead, None)):
                    empty = (
                        trained(actual, lists_for(len(ids)), sample, looked) if len(sample) else flat(originals.width)
                    )
                    part, apart = _filled(store, actual, empty, originals, ids, name, 0, save)
                    reached: dict[str, float] = {}
                    if asked:
                        part, reached = tune(part, KINDS[actual].refine, originals, asked, true, aim(recall))
                    if min(reached.values(), default=1.0) >= aim(recall) or (instead == chosen and few is None):
                        break
                directions |= reached
                parts.append(part)
                entries.append(_saved(part, apart, save))
            found = RecallEntry(target=recall, at=K, queries=QUERIES, vectors=len(store), directions=directions)
            return _entry(store, chosen, entries, found if asked else None)

        parts: list[Part] = []
        return as_index(store, store.put_index(make, drop_outdated=True), parts)


def extend(store: Store, index: Index | None = None, kind: str | None = None) -> Index:
    """An index of a store's rows that holds those added since it was built too, at the cost of these.

    index: the loaded one, which is not changed; without it, that of this kind (or the newest) is loaded. Where there
    are as many new rows as indexed ones, or rows under ids below its mark, it is built anew. Raises ValueError as
    `load` does.
    """
    import_faiss()
    with store.locked():
        entry = find_entry(store, index.kind if index is not None else kind)
        steps = sorted({part["below"] for part in entry["parts"]})
        kept = [mark for mark in steps if mark <= entry["below"]]
        live = store.ids()
        new = ids_from(live, kept[-1] if kept else 0)
        while kept and len(new) and _count(entry, kept[-1]) <= len(new):
            kept.pop()
            new = ids_from(live, kept[-1] if kept else 0)
        if not kept and len(live):
            return build(store, entry["kind"], entry["recall"]["target"] if entry["recall"] else RECALL)
        base = parts_of(store, entry, index, kept)
        next_id, parts = store.manifest["next_id"], list(base)
        if not len(new) and entry["below"] == next_id:
            return as_index(store, entry, parts)

        def make(save: Save) -> IndexEntry:
            originals = store.originals()
            entries = [part for part in entry["parts"] if part["below"] in kept]
            for name in store.space.modalities:
                ids = np.intersect1d(new, store.ids("modality = ?", [name]), assume_unique=True)
                if len(ids):
                    like = next((part for part in base if part.modality == name and part.first == 0), None)
                    structure = flat(store.space.width) if like is None or not like.lists else emptied(like.structure)
                    part, apart = _filled(store, "exact", structure, originals, ids, name, kept[-1], save)
                    if like is not None:
                        part = replace(part, probes=like.probes, sources=like.sources, refine=like.refine)
                    parts.append(part)
                    entries.append(_saved(part, apart, save))
            return _entry(store, entry["kind"], entries, entry["recall"])

        return as_index(store, store.put_index(make), parts)


def update(store: Store, kind: str | None = None, recall: float = RECALL) -> tuple[Index, str]:
    """Whatever the store's index needs: built if there is none of this kind, extended if rows came. Says what was done.

    Raises ValueError as `build` does.
    """
    with store.locked():
        choice = suggested(store) if kind is None else Choice(kind, f"{kind}: as asked")
        check_kind(choice.kind)
        entry = next((entry for entry in store.manifest["indexes"] if entry["kind"] == choice.kind), None)
        same = entry is not None and (entry["recall"] is None or entry["recall"]["target"] == recall)
        if same and entry is not None and entry["below"] == store.manifest["next_id"]:
            return load(store, choice.kind), f"{choice.kind}: nothing to do"
        if same:
            return extend(store, kind=choice.kind), f"{choice.kind}: new rows added"
        return build(store, choice.kind, recall), choice.why


def suggested(store: Store) -> Choice:
    """The kind of index for this store on this machine, and why."""
    return choose(len(store), store.space.width)


def _sample(originals: Originals, ids: Ids, asked: Sequence[Queries], flat_below: int) -> Vectors:
    """Vectors of these ids to train lists on, [n, width]; none where every vector shall be looked at."""
    lists = lists_for(len(ids))
    if not asked or len(ids) < flat_below or lists < 2:
        return np.empty((0, originals.width), np.float32)
    sample = np.setdiff1d(ids, np.concatenate([queries.ids for queries in asked]))
    most = lists * TRAINING_PER_LIST
    if len(sample) > most:
        sample = np.sort(np.random.default_rng(SEED).choice(sample, most, False))
    return np.ascontiguousarray(originals.vectors(sample))


def _filled(
    store: Store, kind: str, empty: Any, originals: Originals, ids: Ids, modality: str, first: int, save: Save
) -> tuple[Part, str]:
    """A part of these vectors, and the name of the file of its lists where they stay on disk."""
    below, apart = store.manifest["next_id"], ""
    if KINDS[kind].on_disk and inverted(empty) is not None:
        apart = save("lists", lambda path: lists_on_disk(empty, originals, ids, path))
        return Part(modality, first, below, with_lists(empty, store.directory / apart)), apart
    fill(empty, originals, ids)
    return Part(modality, first, below, empty), apart


def _saved(part: Part, apart: str, save: Save) -> PartEntry:
    """What the manifest says of a part, once it is written."""
    structure = emptied(part.structure) if apart else part.structure  # lists on disk are in their own file already
    return PartEntry(
        modality=part.modality, first=part.first, below=part.below,
        file=save("faiss", lambda path: write_structure(structure, path)), apart=apart, ntotal=part.count,
        memory=part.memory, lists=part.lists, probes=part.probes, refine=part.refine,
        sources={name: list(effort) for name, effort in part.sources.items()},
    )  # fmt: skip


def _entry(store: Store, kind: str, parts: list[PartEntry], recall: RecallEntry | None) -> IndexEntry:
    segments = [segment["vectors"] for segment in store.manifest["segments"]]
    return IndexEntry(kind=kind, parts=parts, below=store.manifest["next_id"], segments=segments, recall=recall)


def _count(entry: IndexEntry, mark: int) -> int:
    return sum(part["ntotal"] for part in entry["parts"] if part["below"] == mark)
