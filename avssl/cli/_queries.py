"""From what a person asks for on the command line to queries of an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer

from avssl.cli import _network
from avssl.cli import _vectors as files
from avssl.data.alone import alone
from avssl.embedding import Embedder, query, query_stream
from avssl.embedding.network import modality_of
from avssl.embedding.regions import sought
from avssl.localize import calibration
from retrieval.moments import Hit
from retrieval.query import Query, Term
from retrieval.regions import Regions, locate
from retrieval.space import Space
from retrieval.store import Store

CENTERED_BY = 20
"""moments of a kind that tell well enough what all have in common: see results/digits.jsonl"""


@dataclass(frozen=True)
class Asked:
    """One thing that is searched for, or, with a weight below 0, kept away from.

    kind: text, audio, image, video, or stream, whose value says which and where from (`avssl.data.alone`).
    """

    kind: str
    value: str
    weight: float


def embedder_of(
    folder: Path, store: Store, run: Path | None, device: str = "auto"
) -> tuple[Embedder, dict[str, calibration.Calibration]]:
    """The network that made an index, and the scales of its maps that its run has, by kind of query.

    Raises ValueError when the run is gone, or is not the one that made the index.
    """
    source = files.Source.read(folder)
    if run is None and not _network.is_towers(source.run) and not Path(source.run).exists():
        raise ValueError(f"{source.run}, the run that made {folder}, is not there any more; say where it is: --run DIR")
    where = Path(run or source.run)
    loaded = _network.load(run or source.run, () if run else source.changes, device)
    embedder = Embedder(loaded.method, loaded.inputs, source.window_seconds, store.space.name, source.augment)
    # Before anything is embedded: vectors of another network are not to be compared.
    store.space.check(Space(embedder.space_name, loaded.digest, embedder.modalities, store.space.width))
    scales = {kind: calibration.stored(where, loaded.digest, kind) for kind in calibration.KINDS}
    return embedder, {kind: found for kind, found in scales.items() if found is not None}


def queries_of(
    embedder: Embedder | None, store: Store, asked: Sequence[Asked], like: int | None, *, centered: bool = False
) -> list[Query]:
    """One query of all that is asked; a single file alone is one query for each of its windows.

    In a query of several things a file stands for the mean of its windows. embedder: may be None for `like` alone.
    centered: without what the index's moments of each thing's kind have in common. Raises ValueError where the index
    has none of that kind; few are told.
    """
    fixed = []
    if like is not None:
        fixed.append(Term(store.vectors([like])[0], modality=store.rows([like])[0].modality))
    found: list[tuple[Asked, str, Any]] = []
    for one in asked:
        assert embedder is not None
        if one.kind == "stream":
            track = alone(one.value)
            found.append((one, track.name, query_stream(embedder, track)))
            continue
        modality = "text" if one.kind == "text" else modality_of(embedder, one.kind)
        found.append((one, modality, query(embedder, one.kind, one.value)))
        if modality == "text":
            _tell_unknown(embedder, one.value)
    if centered:
        for modality in dict.fromkeys([*(term.modality for term in fixed), *(modality for _, modality, _ in found)]):
            _check_center(store, modality)
    if len(found) == 1 and not fixed:
        ((one, modality, vectors),) = found
        return [Query([Term(vector, one.weight, modality)], centered) for vector in vectors]
    for one, modality, vectors in found:
        mean = vectors.mean(axis=0)
        fixed.append(Term(mean / max(float(np.linalg.norm(mean)), 1e-12), one.weight, modality))
    return [Query(fixed, centered)]


def _tell_unknown(embedder: Embedder, text: str) -> None:
    """Words of a text, of which others are known, that a run with a vocabulary of its own has never read."""
    words = [word for word in text.split() if any(letter.isalnum() for letter in word)]
    unknown = [word for word in words if not embedder.inputs.reads(word)]
    if unknown:
        typer.echo(f"this run has never read {', '.join(unknown)[:60]}: that tells it nothing", err=True)


def _check_center(store: Store, modality: str) -> None:
    """Whether the index holds enough moments of a kind to tell what they have in common."""
    count = len(store.ids("modality = ?", [modality]))
    if not count:
        raise ValueError(f"--centered: the index holds no {modality} to center by; leave it out")
    if count < CENTERED_BY:
        typer.echo(f"--centered by {count} of {modality} alone: better are {CENTERED_BY} as varied as what you ask, or "
                   "leave it out", err=True)  # fmt: skip


def with_boxes(
    embedder: Embedder,
    scales: Mapping[str, calibration.Calibration],
    store: Store,
    asked: Sequence[Asked],
    hits: Sequence[Hit],
) -> list[Hit]:
    """The hits with the box of the first sound or text that is asked for, where the index has regions."""
    regions = Regions(store)
    for one in asked if regions else ():
        vector = sought(embedder, one.kind, one.value) if one.weight > 0 else None
        if vector is not None:
            scale = scales.get(one.kind)
            return locate(store, regions, hits, vector, None if scale is None else scale.threshold)
    return list(hits)
