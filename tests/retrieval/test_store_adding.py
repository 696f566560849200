"""What a store takes in, keeps, removes and compacts."""

import numpy as np
import pytest
from made_up import SPACE, WIDTH, rows_of, vectors_of

from retrieval.store import Store


def test_what_goes_in_comes_out(store):
    vectors = vectors_of(10)
    rows = rows_of(10)
    rows[3] |= {
        "path": "vidéos/наш дом 家.mp4",
        "narration": "zwölf Glöckchen 🔔 'quoted'; --",
        "content": "beef",
        "extra": {"ü": [1, None]},
    }
    ids = store.add(vectors, rows)
    assert ids.tolist() == list(range(10))
    again = Store.open(store.directory)
    found = again.rows([3, 9, 0])
    assert [row.id for row in found] == [3, 9, 0]
    assert (found[0].path, found[0].narration, found[0].content) == (rows[3]["path"], rows[3]["narration"], "beef")
    assert found[0].extra == {"ü": [1, None]}
    assert (found[1].recording, found[1].start, found[1].end) == ("r2", 2.0, 4.0)
    np.testing.assert_array_equal(again.vectors([7, 2]), vectors[[7, 2]])
    assert again.space == SPACE


def test_many_small_adds_leave_few_segments(store):
    vectors, rows = vectors_of(20), rows_of(20)
    for number in range(20):
        store.add(vectors[number : number + 1], rows[number : number + 1])
    assert len(store) == 20
    assert len(store.manifest["segments"]) <= 5
    np.testing.assert_array_equal(store.vectors(range(20)), vectors)
    assert [row.narration for row in store.rows(range(20))] == [row["narration"] for row in rows]
    blocks = list(store.blocks())
    order = np.argsort(np.concatenate([ids for ids, _ in blocks]))
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks])[order], vectors)
    data = [path for path in store.directory.iterdir() if path.suffix in (".npy", ".sqlite", ".bin")]
    assert len(data) == 4 * len(store.manifest["segments"])


def test_own_ids_in_any_order(store):
    vectors, rows = vectors_of(3), rows_of(3)
    for row, identity in zip(rows, (90, 5, 2**40), strict=True):
        row["id"] = identity
    assert store.add(vectors, rows).tolist() == [90, 5, 2**40]
    np.testing.assert_array_equal(store.vectors([5, 90]), vectors[[1, 0]])
    assert store.add(vectors_of(1, seed=1), rows_of(1, first=8)).tolist() == [2**40 + 1]
    np.testing.assert_array_equal(store.vectors([5, 90, 2**40]), vectors[[1, 0, 2]])


def test_remove_and_compact(store):
    vectors = vectors_of(12)
    store.add(vectors[:8], rows_of(8))
    store.add(vectors[8:], rows_of(4, first=8))
    assert store.remove([1, 2, 9, 9]) == 3
    assert len(store) == 9
    assert store.ids().tolist() == [0, 3, 4, 5, 6, 7, 8, 10, 11]
    for gone in ([1], [77]):
        with pytest.raises(ValueError, match=f"holds no id {gone[0]}"):
            store.remove(gone)
        with pytest.raises(ValueError, match=f"holds no id {gone[0]}"):
            store.rows([0, *gone])
        with pytest.raises(ValueError, match=f"holds no id {gone[0]}"):
            store.vectors([0, *gone])
    before = store.rows(store.ids())
    store.compact()
    assert len(store.removed) == 0
    assert len(store.manifest["segments"]) == 1
    assert store.rows(store.ids()) == before
    np.testing.assert_array_equal(store.vectors(store.ids()), vectors[store.ids()])
    assert store.verify() == []
    version = store.version
    store.compact()
    assert store.version == version
    # A removed moment may come back, under a new id.
    assert store.add(vectors[1:2], rows_of(1, first=1)).tolist() == [12]
    store.remove(store.ids())
    store.compact()
    assert len(store) == 0
    assert store.add(vectors[:1], rows_of(1)).tolist() == [13]


def test_a_removed_moment_may_come_back_before_compacting(store):
    store.add(vectors_of(4), rows_of(4))
    store.remove([2])
    assert store.add(vectors_of(1), rows_of(1, first=2)).tolist() == [4]
    assert len(store) == 4
    assert store.rows([4])[0].narration == "moment 2"


def test_empty_store_and_empty_add(store):
    assert len(store) == 0
    assert store.add(np.empty((0, WIDTH)), []).tolist() == []
    assert store.remove([]) == 0
    store.compact()
    assert store.version == 0
    assert store.rows([]) == []
    assert store.vectors([]).shape == (0, WIDTH)
    assert store.verify() == []


def test_places_that_hold_no_store(tmp_path, store):
    with pytest.raises(ValueError, match="is not a store"):
        Store.open(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is not a store"):
        Store.open(tmp_path / "file")
    with pytest.raises(ValueError, match="a file is in the way"):
        Store.create(tmp_path / "file", SPACE)
    with pytest.raises(ValueError, match="already holds a store"):
        Store.create(store.directory, SPACE)
