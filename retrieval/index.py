"""Indexes of a store: built from its vectors, kept beside them, extended when rows come, refused when they do not fit.

An index holds the rows with ids below its mark, in parts: those that were there when it was built, then those that each
extension added. Added parts that are no larger than the rows after them are made anew together with these, as segments
are, so few parts stay and adding rows costs what these rows cost. Removed rows stay in it and are hidden.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from retrieval.files import sha256_of
from retrieval.kinds import (
    FLAT_PART,
    KINDS,
    TRAINING_PER_LIST,
    Choice,
    check_kind,
    choose,
    emptied,
    flat,
    gpus,
    lists_for,
    trained,
)
from retrieval.kinds import import_faiss as import_faiss
from retrieval.manifest import IndexEntry, PartEntry, RecallEntry
from retrieval.nearest import Index as Index
from retrieval.originals import Originals
from retrieval.parts import Part, copy_to_gpus, fill, lists_on_disk, read_structure, with_lists, write_structure
from retrieval.segment import Ids
from retrieval.store import Save, Store
from retrieval.tuning import QUERIES, SEED, K, Queries, aim, held_out, tune

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
            for name, ids in present.items():
                if not len(ids):
                    continue
                for actual in filter(None, (chosen, KINDS[chosen].instead)):
                    empty = _empty(actual, originals, ids, asked, flat_below)
                    part, apart = _filled(store, actual, empty, originals, ids, name, 0, save)
                    reached: dict[str, float] = {}
                    if asked:
                        part, reached = tune(part, KINDS[actual].refine, originals, ids, asked, aim(recall))
                    if min(reached.values(), default=1.0) >= aim(recall):
                        break
                directions |= reached
                parts.append(part)
                entries.append(_saved(part, apart, save))
            found = RecallEntry(target=recall, at=K, queries=QUERIES, vectors=len(store), directions=directions)
            return _entry(store, chosen, entries, found if asked else None)

        parts: list[Part] = []
        store.put_index(make, drop_outdated=True)
        return _index(store, kind, parts)


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
        new = _from(live, kept[-1] if kept else 0)
        while kept and len(new) and _count(entry, kept[-1]) <= len(new):
            kept.pop()
            new = _from(live, kept[-1] if kept else 0)
        if not kept and len(live):
            return build(store, entry["kind"], entry["recall"]["target"] if entry["recall"] else RECALL)
        base = _parts(store, entry, index, kept)
        next_id, parts = store.manifest["next_id"], list(base)
        if not len(new) and entry["below"] == next_id:
            return _index(store, entry["kind"], parts)

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
                        part = replace(part, probes=like.probes, refine=like.refine)
                    parts.append(part)
                    entries.append(_saved(part, apart, save))
            return _entry(store, entry["kind"], entries, entry["recall"])

        store.put_index(make)
        return _index(store, entry["kind"], parts)


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


def load(store: Store, kind: str | None = None) -> Index:
    """Load the index that `build` made, of this kind or the newest; on GPUs too where FAISS sees any.

    Raises ValueError, one line, if there is none, if rows were added since, or if a file is not what was written:
    FAISS itself reads some damaged files without complaint.
    """
    while True:
        entry, version = find_entry(store, kind), store.version
        if len(_from(store.ids(), entry["below"])):
            raise _changed(store)
        try:
            return _index(store, entry["kind"], _parts(store, entry, None, None))
        except FileNotFoundError as error:
            # Another process may have built anew and deleted this file.
            store.refresh()
            if store.version == version:
                raise ValueError(f"{error.filename} is missing; build the index again") from None


def suggested(store: Store) -> Choice:
    """The kind of index for this store on this machine, and why."""
    return choose(len(store), store.space.width, gpus())


def find_entry(store: Store, kind: str | None = None) -> IndexEntry:
    """What the manifest says of the index of this kind, or of the newest. Raises ValueError if there is none."""
    if kind is not None:
        check_kind(kind)
    for entry in reversed(store.manifest["indexes"]):
        if kind in (None, entry["kind"]):
            return entry
    what = "index" if kind is None else f"index of kind {kind}"
    raise ValueError(f"{store.directory} has no {what}: python -m retrieval build {store.directory}")


def check_covers(store: Store, covered: tuple[str, ...]) -> None:
    """Raise ValueError unless an index of these vectors and ids (see `held`) holds exactly what the store holds."""
    if covered != held(store):
        raise _changed(store)


def held(store: Store) -> tuple[str, ...]:
    """SHA-256 of the files of vectors and of ids that a store has: a folder made anew repeats their names."""
    files, segments = store.manifest["files"], store.manifest["segments"]
    return tuple(files[name]["sha256"] for entry in segments for name in (entry["vectors"], entry["ids"]))


def describe(entry: IndexEntry) -> list[str]:
    """What a person wants to know of an index, a line for each thing."""
    count = sum(part["ntotal"] for part in entry["parts"])
    lines = [f"{entry['kind']}, {count} vectors in {len(entry['parts'])} parts"]
    for part in entry["parts"]:
        looked = "all looked at"
        if part["lists"]:
            looked = f"{part['probes']} of {part['lists']} lists looked at, {part['refine']} k scored again"
        lines.append(f"{part['modality']}, {part['ntotal']} vectors, {part['memory']} bytes of memory each: {looked}")
    recall = entry["recall"]
    if recall is not None:
        told = ", ".join(f"{name} {value:.3f}" for name, value in recall["directions"].items())
        lines.append(f"recall@{recall['at']} of {recall['target']} asked, measured at {recall['vectors']}: {told}")
    return lines


def _index(store: Store, kind: str, parts: Sequence[Part]) -> Index:
    """The parts as an index of what the store holds now. Raises ValueError if they cannot be that."""
    live = store.ids()
    total = sum(part.count for part in parts)
    hidden = np.empty(0, np.int64)
    if total != len(live):
        hidden = np.setdiff1d(np.concatenate([part.ids() for part in parts]), live)
    if total - len(hidden) != len(live):
        raise ValueError(
            f"the {kind} index of {store.directory} holds {total - len(hidden)} of {len(live)} rows: build it again"
        )
    if gpus() and KINDS[kind].on_gpu:
        parts = [replace(part, on_gpu=part.on_gpu or copy_to_gpus(part.structure)) for part in parts]
    return Index(kind, parts, store.originals(), held(store), hidden)


def _parts(store: Store, entry: IndexEntry, index: Index | None, marks: Sequence[int] | None) -> list[Part]:
    """The entry's parts, those up to these marks; what is loaded already is not read again."""
    known = {} if index is None else {(part.modality, part.first, part.below): part for part in index.parts}
    parts = []
    for told in entry["parts"]:
        if marks is None or told["below"] in marks:
            part = known.get((told["modality"], told["first"], told["below"]))
            parts.append(part if part is not None and part.count == told["ntotal"] else _read(store, told))
    return parts


def _read(store: Store, told: PartEntry) -> Part:
    for name in filter(None, (told["file"], told["apart"])):
        path = store.directory / name
        with open(path, "rb") as file:
            if sha256_of(file.fileno()) != store.manifest["files"][name]["sha256"]:
                raise ValueError(f"{path} is damaged: its content is not what was written; build the index again")
    path = store.directory / told["file"]
    with open(path, "rb") as file:
        structure = read_structure(path, file)
    if told["apart"]:
        structure = with_lists(structure, store.directory / told["apart"])
    if structure.ntotal != told["ntotal"] or structure.d != store.space.width:
        raise ValueError(
            f"{path} holds {structure.ntotal} vectors of width {structure.d}, the manifest says {told['ntotal']} "
            f"of {store.space.width}; build the index again"
        )
    return Part(told["modality"], told["first"], told["below"], structure, told["probes"], told["refine"])


def _empty(kind: str, originals: Originals, ids: Ids, asked: Sequence[Queries], flat_below: int) -> Any:
    """An empty structure for these ids: trained on a sample of them, or one that looks at all."""
    lists = lists_for(len(ids))
    if KINDS[kind].empty is None or len(ids) < flat_below or lists < 2:
        return flat(originals.width)
    sample = np.setdiff1d(ids, np.concatenate([queries.ids for queries in asked]))
    most = lists * TRAINING_PER_LIST
    if len(sample) > most:
        sample = np.sort(np.random.default_rng(SEED).choice(sample, most, False))
    return trained(kind, lists, np.ascontiguousarray(originals.vectors(sample)))


def _filled(
    store: Store, kind: str, empty: Any, originals: Originals, ids: Ids, modality: str, first: int, save: Save
) -> tuple[Part, str]:
    """A part of these vectors, and the name of the file of its lists where they stay on disk."""
    below, apart = store.manifest["next_id"], ""
    if KINDS[kind].on_disk and hasattr(empty, "nlist"):
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
    )  # fmt: skip


def _entry(store: Store, kind: str, parts: list[PartEntry], recall: RecallEntry | None) -> IndexEntry:
    segments = [segment["vectors"] for segment in store.manifest["segments"]]
    return IndexEntry(kind=kind, parts=parts, below=store.manifest["next_id"], segments=segments, recall=recall)


def _from(ids: Ids, mark: int) -> Ids:
    return ids[np.searchsorted(ids, mark) :]


def _count(entry: IndexEntry, mark: int) -> int:
    return sum(part["ntotal"] for part in entry["parts"] if part["below"] == mark)


def _changed(store: Store) -> ValueError:
    return ValueError(
        f"{store.directory} has changed since its index was built: python -m retrieval build {store.directory}"
    )
