"""Rows by position are those that SQLite holds, in stores of the format before too; hits outlive their store."""

import io
import json

import numpy as np
import pytest
from made_up import SPACE, rows_of, vectors_of

from retrieval import index, manifest
from retrieval.columns import Columns, columns_of, write_columns
from retrieval.search import search
from retrieval.store import Store

TEXTS = ["", "a", "\0", "bell\0drum", "ü 家 🔔", "\n\t'\"", "x" * 3000]


def strange(random, count):
    """Rows as they are written, of few recordings, with texts of all sorts."""
    pick = lambda: str(random.choice(np.array(TEXTS, object)))  # noqa: E731
    for number in range(count):
        shared = (f"r{random.integers(4)}{pick()}", f"p{pick()}", pick())
        seconds = (float(number) / 3, float(number) / 3 + random.random())
        yield (number, *shared, *seconds, str(random.choice(SPACE.modalities)), pick(), json.dumps({"k": pick()}))


@pytest.mark.parametrize("count", [1, 2, 7, 200])
def test_what_was_written_is_read(count):
    rows = list(strange(np.random.default_rng(count), count))
    file = io.BytesIO()
    write_columns(file, rows)
    columns = Columns(file.getvalue())
    assert list(columns.stored(range(count), range(count))) == rows
    backwards = list(range(count))[::-1]
    found = list(columns.rows(backwards, backwards))
    assert [(row.id, row.narration, row.extra) for row in found] == [(r[0], r[7], json.loads(r[8])) for r in rows[::-1]]
    assert columns.spans.tolist() == [[row[4], row[5]] for row in rows]
    assert len({columns.name(number) for number in columns.numbers.tolist()}) == len(
        {row[1:4] + row[6:7] for row in rows}
    )


def agree(store):
    """The file of columns and SQLite tell the same of every row, and searching reads the same from both."""
    for segment in store._state.segments:
        told = list(segment.rows.stored())
        assert list(segment.columns.stored(range(segment.count), segment.ids.tolist())) == told
        assert list(columns_of(told).stored(range(segment.count), segment.ids.tolist())) == told


def test_columns_follow_every_change(store):
    store.add(vectors_of(12), rows_of(12))
    rows = rows_of(4, first=12)
    rows[0] |= {"start": -0.0, "end": 0, "narration": "ü\0家"}
    store.add(vectors_of(4, 1), rows)
    agree(store)
    store.remove([1, 13])
    store.rename({"r0": ("r1", "new/r1.mp4"), "r1": ("r0", "new/r0.mp4")})
    agree(store)
    assert [row.recording for row in store.rows([0, 4])] == ["r1", "r0"]
    store.compact()
    agree(store)
    with Store.open(store.directory, verify=True) as again:
        assert again.rows(again.ids()) == store.rows(store.ids())
        agree(again)


def test_a_store_of_the_format_before_is_read_and_written_on(store, monkeypatch):
    store.add(vectors_of(8), rows_of(8))
    built = index.build(store)
    right = search(store, built, vectors_of(2, 5), merge_seconds=0.1)
    before = manifest.successor(store.manifest)
    before["format"] = "retrieval store 2"
    before["segments"] = [{k: v for k, v in entry.items() if k != "columns"} for entry in before["segments"]]
    manifest.write(store.directory, before)
    with Store.open(store.directory, verify=True) as old:
        assert not any(name.startswith("columns") for name in old.manifest["files"])
        assert search(old, index.load(old), vectors_of(2, 5), merge_seconds=0.1) == right
        assert old.rows(old.ids()) == store.rows(store.ids())
        old.add(vectors_of(2, 9), rows_of(2, first=8))
        old.rename({"r0": ("zero", "zero.mp4")})
        agree(old)
        assert old.manifest["format"] == manifest.FORMAT
    with Store.open(store.directory, verify=True) as again:
        assert [row.recording for row in again.rows([0, 4, 8])] == ["zero", "r1", "r2"]


def test_hits_are_good_when_the_store_changed_or_was_closed(tmp_path):
    with Store.create(tmp_path / "store", SPACE) as store:
        store.add(vectors_of(8), rows_of(8))
        built = index.build(store)
        looked_at, untouched = (search(store, built, vectors_of(3, 5), k=4) for _ in range(2))
        right = [list(hits) for hits in looked_at]
        store.remove([0, 1, 2])
        store.compact()
    assert untouched == right
    assert [hit.narration for hit in untouched[0]] == [hit.narration for hit in right[0]]


def test_hits_as_arrays_say_what_hits_say(store):
    store.add(vectors_of(40), rows_of(40))
    store.add(vectors_of(40, 1), rows_of(40, modality="audio"))
    built = index.build(store)
    for options in (
        {},
        {"merge_seconds": 0.1},
        {"distinct_cosine": 0.9},
        {"calibrated": True},
        {"each_modality": True},
    ):
        for hits in search(store, built, vectors_of(3, 5), k=6, **options):
            assert len(hits) == len(list(hits)) == 6
            assert hits.ids.tolist() == [hit.id for hit in hits]
            assert hits.scores.tolist() == [hit.score for hit in hits]
            spans = [hits.starts.tolist(), hits.ends.tolist(), hits.peaks.tolist()]
            assert spans == [[getattr(hit, name) for hit in hits] for name in ("start", "end", "peak")]
            told = [(hit.recording, hit.path, hit.content, hit.modality) for hit in hits]
            assert [tuple(name) for name in hits.names] == told
