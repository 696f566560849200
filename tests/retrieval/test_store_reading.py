"""What is read from a store: filters, and readers beside a writer."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from made_up import SPACE, rows_of, vectors_of

from retrieval.store import Store


def test_filters(store):
    store.add(vectors_of(8), rows_of(8))
    store.add(vectors_of(8, seed=1), rows_of(8, modality="text"))
    store.remove([1])
    assert store.ids("modality = 'text'").tolist() == list(range(8, 16))
    assert store.ids("extra ->> 'kind' = ? AND modality = ?", ["bell", "video"]).tolist() == [3, 5, 7]
    assert store.ids("narration LIKE '%moment 3'").tolist() == [3, 11]
    assert store.ids("start >= 6 -- a comment").tolist() == [3, 7, 11, 15]
    assert store.ids("1 = 0").tolist() == []
    assert len(store.ids("1 = 1")) == 15
    with pytest.raises(ValueError, match="malformed JSON"):
        store.ids("json_extract(narration, '$.a') = 1")


@pytest.mark.parametrize(
    "where",
    [
        "",
        "colour = 'red'",
        "start >",
        "1; DROP TABLE rows",
        "1) UNION SELECT sql FROM sqlite_master WHERE (1",
        "id IN (SELECT rowid FROM sqlite_master)",
        "EXISTS (SELECT 1 FROM rows a, rows b)",
        "id IN (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c)",
        "load_extension('x')",
        "length(randomblob(1000000000)) > 1",
        "1) LIMIT 1 /*",
        "id = ?",
        "1\0",
    ],
)
@pytest.mark.parametrize("filled", [False, True])
def test_a_filter_is_a_condition_and_nothing_else(store, where, filled):
    if filled:
        store.add(vectors_of(4), rows_of(4))
    with pytest.raises(ValueError, match="filter") as error:
        store.ids(where)
    assert "\n" not in str(error.value)
    assert len(store.ids()) == 4 * filled


def test_a_reader_keeps_its_version_while_others_write(store):
    store.add(vectors_of(6), rows_of(6))
    reader = Store.open(store.directory)
    for number in range(6, 14):
        store.add(vectors_of(1, seed=number), rows_of(1, first=number))
    store.remove(range(6))
    store.compact()
    assert len(reader) == 6
    assert [row.narration for row in reader.rows(range(6))] == [f"moment {n}" for n in range(6)]
    np.testing.assert_array_equal(reader.vectors(range(6)), vectors_of(6))


def test_readers_that_open_during_writes_see_whole_states(store):
    code = f"""
import sys
from made_up import SPACE, rows_of, vectors_of
from retrieval.store import Store
store = Store.open({str(store.directory)!r})
for number in range(15):
    store.add(vectors_of(4, seed=number), rows_of(4, first=4 * number))
    if number % 5 == 4:
        store.compact()
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    writer = subprocess.Popen([sys.executable, "-c", code], env=environment)
    seen = set()
    while writer.poll() is None:
        with Store.open(store.directory) as reader:
            assert len(reader) % 4 == 0
            assert [row.narration for row in reader.rows(reader.ids())] == [f"moment {n}" for n in range(len(reader))]
            for ids, vectors in reader.blocks():
                assert len(ids) == len(vectors)
            seen.add(len(reader))
    assert writer.returncode == 0
    assert len(seen) > 2
    store.refresh()
    assert len(store) == 60
    assert store.verify() == []


def test_what_is_held_of_each_recording(store):
    store.add(vectors_of(6), rows_of(6))
    store.add(
        vectors_of(2, seed=1), [row | {"path": "copy.mp4", "content": "c"} for row in rows_of(2, modality="text")]
    )
    store.remove([4, 5])
    held = store.recordings()
    assert list(held) == ["r0"]
    assert (held["r0"].paths, held["r0"].contents) == ({"videos/r0.mp4", "copy.mp4"}, {"", "c"})
    assert store.ids_of(["r0"]).tolist() == [0, 1, 2, 3, 6, 7]
    assert store.ids_of(["r1", "nothing", "r' OR 1 = 1 --"]).tolist() == []


def test_remembered_answers_are_right(store):
    """Also after a change, for values that Python calls equal, and once many filters were asked."""
    store.add(vectors_of(4), rows_of(4))
    for _ in range(2):
        for number in range(20):
            assert store.ids("id = ?", [number]).tolist() == ([number] if number < 4 else [])
        assert store.ids("typeof(?) = 'integer'", [1]).tolist() == [0, 1, 2, 3]
        assert store.ids("typeof(?) = 'integer'", [1.0]).tolist() == []
    with pytest.raises(ValueError, match="filter"):
        store.ids("id = ?", [[1]])
    with pytest.raises(ValueError, match="read-only"):
        store.ids("id = ?", [1])[0] = 7
    store.remove([1])
    assert store.ids("id = ?", [1]).tolist() == []
    store.add(vectors_of(1, seed=1), rows_of(1, first=8))
    assert store.ids("id >= ?", [3]).tolist() == [3, 4]


def test_another_store_in_the_same_place_is_seen(store, tmp_path):
    store.add(vectors_of(2), rows_of(2))
    reader = Store.open(store.directory)
    reader.vectors([0])
    shutil.rmtree(store.directory)
    with Store.create(store.directory, SPACE) as other:
        other.add(vectors_of(2, seed=9), rows_of(2, first=5))
    np.testing.assert_array_equal(reader.vectors([0, 1]), vectors_of(2))
    reader.refresh()
    np.testing.assert_array_equal(reader.vectors([0, 1]), vectors_of(2, seed=9))
    assert reader.rows([0])[0].narration == "moment 5"
