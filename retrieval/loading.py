"""Indexes of a store as they are kept: what its manifest says of one, whether it fits, and the index read from it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from retrieval.files import sha256_of
from retrieval.kinds import KINDS, check_kind, gpus
from retrieval.manifest import IndexEntry, PartEntry
from retrieval.nearest import Index
from retrieval.parts import Part, copy_to_gpus, read_structure, with_lists
from retrieval.segment import Ids
from retrieval.store import Store


def load(store: Store, kind: str | None = None) -> Index:
    """Load the index that `build` made, of this kind or the newest; on GPUs too where FAISS sees any.

    Raises ValueError, one line, if there is none, if rows were added since, or if a file is not what was written:
    FAISS itself reads some damaged files without complaint.
    """
    while True:
        entry, version = find_entry(store, kind), store.version
        if len(ids_from(store.ids(), entry["below"])):
            raise _changed(store)
        try:
            return as_index(store, entry, parts_of(store, entry, None, None))
        except FileNotFoundError as error:
            # Another process may have built anew and deleted this file.
            store.refresh()
            if store.version == version:
                raise ValueError(f"{error.filename} is missing; build the index again") from None


def find_entry(store: Store, kind: str | None = None) -> IndexEntry:
    """What the manifest says of the index of this kind, or of the newest. Raises ValueError if there is none."""
    if kind is not None:
        check_kind(kind)
    for entry in reversed(store.manifest["indexes"]):
        if kind in (None, entry["kind"]):
            return entry
    what = "index" if kind is None else f"index of kind {kind}"
    raise ValueError(f"{store.directory} has no {what}: python -m retrieval build {store.directory}")


def check_covers(store: Store, index: Index) -> None:
    """Raise ValueError unless an index finds exactly what the store holds."""
    if not index.fits(store.held, store.removed):
        raise _changed(store)


def describe(entry: IndexEntry) -> list[str]:
    """What a person wants to know of an index, a line for each thing."""
    count = sum(part["ntotal"] for part in entry["parts"])
    lines = [f"{entry['kind']}, {count} vectors in {len(entry['parts'])} parts"]
    for part in entry["parts"]:
        looked = "all looked at"
        if part["lists"]:
            efforts = part.get("sources") or {"": [part["probes"], part["refine"]]}
            each = (f"{lists} ({refine} k)" + f" for {name}" * bool(name) for name, (lists, refine) in efforts.items())
            looked = f"{', '.join(each)} of {part['lists']} lists looked at (scored again)"
        lines.append(f"{part['modality']}, {part['ntotal']} vectors, {part['memory']} bytes of memory each: {looked}")
    recall = entry["recall"]
    if recall is not None:
        told = ", ".join(f"{name} {value:.3f}" for name, value in recall["directions"].items())
        lines.append(f"recall@{recall['at']} of {recall['target']} asked, measured at {recall['vectors']}: {told}")
    return lines


def as_index(store: Store, entry: IndexEntry, parts: Sequence[Part]) -> Index:
    """The entry's parts as an index of what the store holds now. Raises ValueError if they cannot be that."""
    kind = entry["kind"]
    parts = [replace(part, digests=_digests(store, told)) for part, told in zip(parts, entry["parts"], strict=True)]
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
    return Index(kind, parts, store.originals(), store.held, store.removed, hidden)


def parts_of(store: Store, entry: IndexEntry, index: Index | None, marks: Sequence[int] | None) -> list[Part]:
    """The entry's parts, those up to these marks; what is loaded already is not read again.

    Raises ValueError when what is loaded has nothing of it: then it is no earlier state of this index.
    """
    known = (
        {} if index is None else {(part.modality, part.first, part.below, part.digests): part for part in index.parts}
    )
    wanted = [(told["modality"], told["first"], told["below"], _digests(store, told)) for told in entry["parts"]]
    if known and wanted and not any(one in known for one in wanted):
        raise ValueError(
            f"what shall be extended is not the {entry['kind']} index of {store.directory}, or that was built anew "
            "since: load it again"
        )
    parts = []
    for told, one in zip(entry["parts"], wanted, strict=True):
        if marks is None or told["below"] in marks:
            parts.append(known.get(one) or _read(store, told))
    return parts


def _digests(store: Store, told: PartEntry) -> tuple[str, ...]:
    return tuple(store.manifest["files"][name]["sha256"] for name in (told["file"], told["apart"]) if name)


def _read(store: Store, told: PartEntry) -> Part:
    digests = _digests(store, told)
    for name, digest in zip(filter(None, (told["file"], told["apart"])), digests, strict=True):
        path = store.directory / name
        with open(path, "rb") as file:
            if sha256_of(file.fileno()) != digest:
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
    return Part(
        told["modality"],
        told["first"],
        told["below"],
        structure,
        told["probes"],
        told["refine"],
        digests=digests,
        sources={name: (probes, refine) for name, (probes, refine) in told.get("sources", {}).items()},
    )


def ids_from(ids: Ids, mark: int) -> Ids:
    """Those of these sorted ids that are not below a mark."""
    return ids[np.searchsorted(ids, mark) :]


def _changed(store: Store) -> ValueError:
    return ValueError(
        f"{store.directory} has changed since its index was built: python -m retrieval build {store.directory}"
    )
