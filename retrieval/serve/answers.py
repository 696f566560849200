"""Questions to answers: moments as JSON, with what is said around them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retrieval.moments import Box, Hit, as_one, hit_of
from retrieval.own_columns import lacking, spread
from retrieval.query import Query, Term
from retrieval.regions import Regions, locate
from retrieval.rows import Parameter, Row
from retrieval.search import search
from retrieval.segment import Vectors
from retrieval.serve.collection import View
from retrieval.serve.encoder import Sought
from retrieval.serve.media import type_of
from retrieval.serve.question import ANY, LOOKED_FOR, Filters, Question

TOUCHING_SECONDS = 1e-3
AROUND_SECONDS = 8.0
"""what is said this long before and after a moment is told too, for the page to show it in its place"""
MOST_PHRASES = 60


class NoSuchRow(ValueError):
    """An id that the store does not have, or has not any more."""


class Asked(NamedTuple):
    """A question whose words and files are vectors already.

    words: of its text, [1, width]. media: of the windows of what was uploaded, of this `kind`, [Q, width]; each is
    searched for together with the text and the item. unwanted: what to keep away from, with weights below 0. sought:
    what to compare regions with. Each None or empty where there is none.
    """

    question: Question
    words: Vectors | None = None
    media: Vectors | None = None
    kind: str = ""
    unwanted: tuple[Term, ...] = ()
    sought: Sought | None = None


def find(view: View, asked: Asked, regions: Regions | None = None) -> list[Any]:
    """Moments for a question, best first, as JSON; with boxes where there are regions. Raises NoSuchRow, ValueError."""
    question = asked.question
    fixed = [] if asked.words is None else [Term(asked.words[0], modality="text")]
    among, excluded, itself = question.among or usual(view), None, []
    if question.item is not None:
        row = row_of(view, question.item)
        fixed.append(Term(view.store.vectors([row.id])[0], modality=row.modality))
        among, excluded, itself = question.among or row.modality, None if question.own else row.recording, [row.id]
    fixed += asked.unwanted
    for unwanted in question.minus:
        if unwanted.item is not None:
            row = row_of(view, unwanted.item)
            fixed.append(Term(view.store.vectors([row.id])[0], -unwanted.weight, row.modality))
            itself.append(row.id)
    if view.loaded is None:
        return []
    media = [None] if asked.media is None else asked.media
    terms = [fixed if one is None else [*fixed, Term(one, modality=asked.kind)] for one in media]
    queries = [Query(each, question.centered) for each in terms]
    results = search(
        view.store,
        view.loaded,
        queries,
        k=question.top,
        modality=None if among == ANY else among,
        where=question.filters.where(),
        exclude_recording=excluded,
        exclude_ids=itself,
        merge_seconds=0.0 if question.windows else TOUCHING_SECONDS,
        calibrated=among == ANY,
    )
    hits = as_one(results, question.top, not question.windows)
    if not hits:
        _check_columns(view, question.filters)
    if regions is not None and asked.sought is not None:
        hits = locate(view.store, regions, hits, asked.sought.vector, asked.sought.threshold)
    return told(view, hits, scored=True)


def mean_of(vectors: Vectors) -> Vectors:
    """What a file stands for in a query of several things: the mean of its windows [Q, width], of length 1, [width]."""
    mean = vectors.mean(axis=0)
    found: Vectors = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return found


def row_of(view: View, identity: int) -> Row:
    """A row by its id. Raises NoSuchRow."""
    try:
        return view.store.rows([identity])[0]
    except ValueError as error:
        raise NoSuchRow(str(error)) from None


def one(view: View, identity: int) -> dict[str, Any]:
    """One row as a moment. Raises NoSuchRow."""
    return told(view, [hit_of(row_of(view, identity), 0.0)], scored=False)[0]


def browse(view: View, filters: Filters, among: str, offset: int, limit: int, even: bool) -> dict[str, Any]:
    """Rows without a query: `limit` from `offset` in the order of ids, or `even`ly over all; and how many there are."""
    conditions, parameters = _both(filters, among or usual(view))
    ids = view.store.ids(conditions, parameters)
    if not len(ids):
        _check_columns(view, filters)
    chosen = spread(ids, limit) if even else [int(identity) for identity in ids[offset : offset + limit]]
    hits = [hit_of(row, 0.0) for row in view.store.rows(chosen)]
    return {"total": len(ids), "moments": told(view, hits, scored=False)}


def usual(view: View) -> str:
    """The modality that is found when a question does not say."""
    held = [name for name in (*LOOKED_FOR, *view.store.space.modalities) if name in view.store.space.modalities]
    return next((name for name in held if len(view.store.ids("modality = ?", [name]))), ANY)


def _check_columns(view: View, filters: Filters) -> None:
    """Raise ValueError where nothing was found because no row has a column that was asked for."""
    if told := lacking(view.store, [name for name, _ in filters.columns]):
        raise ValueError(told)


def _both(filters: Filters, among: str) -> tuple[str | None, list[Parameter]]:
    condition, parameters = filters.where() or ("", [])
    if among != ANY:
        condition = f"{condition} AND modality = ?" if condition else "modality = ?"
        parameters = [*parameters, among]
    return condition or None, parameters


def told(view: View, hits: Sequence[Hit], scored: bool) -> list[dict[str, Any]]:
    """Moments as JSON. Paths stay here: a recording is known by its name, and played by the row's id."""
    phrases = _phrases(view, hits)
    found = []
    for hit, said in zip(hits, phrases, strict=True):
        moment = {
            "id": hit.id,
            "recording": hit.recording,
            "name": Path(hit.path).name,
            "start": hit.start,
            "end": hit.end,
            "peak": hit.peak,
            "score": round(hit.score, 6) if scored else None,
            "calibrated": None if hit.calibrated is None else round(hit.calibrated, 4),
            "modality": hit.modality,
            "box": None if hit.box is None else _box(view, hit, hit.box),
            "narration": hit.narration,
            "said": said,
            "columns": dict(hit.extra),
            "media": f"/media/{hit.id}",
            "type": type_of(hit.path),
        }
        found.append(moment)
    return found


def _box(view: View, hit: Hit, box: Box) -> dict[str, float]:
    """Where in the picture, and during which seconds: it was found in one window."""
    window = row_of(view, hit.id)
    edges = {name: round(edge, 4) for name, edge in zip(("left", "top", "right", "bottom"), box, strict=True)}
    return {**edges, "start": window.start, "end": window.end}


def _phrases(view: View, hits: Sequence[Hit]) -> list[list[dict[str, Any]]]:
    """For each moment what is said in it and around it: phrases are rows of their own where the store has text."""
    if "text" not in view.store.space.modalities or not hits:
        return [[] for _ in hits]
    spans = {(hit.recording, hit.start - AROUND_SECONDS, hit.end + AROUND_SECONDS) for hit in hits}
    condition = " OR ".join("(recording = ? AND modality = 'text' AND end >= ? AND start <= ?)" for _ in spans)
    rows = view.store.rows(view.store.ids(condition, [value for span in spans for value in span]))
    found = []
    for hit in hits:
        near = [
            row
            for row in rows
            if row.recording == hit.recording
            and row.end >= hit.start - AROUND_SECONDS
            and row.start <= hit.end + AROUND_SECONDS
        ]
        near = sorted(near, key=lambda row: (row.start, row.end, row.id))[:MOST_PHRASES]
        found.append([{"start": row.start, "end": row.end, "text": row.narration} for row in near])
    return found
