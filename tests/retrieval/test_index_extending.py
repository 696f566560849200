"""Rows added to and removed from a store that has an index."""

import numpy as np
import pytest
from gathering import MODALITIES, SPACE, brute, clustered, recall

from retrieval import index
from retrieval.kinds import KINDS
from retrieval.search import search
from retrieval.store import Store

QUERIES = clustered(24, seed=3)[0]


@pytest.fixture(params=list(KINDS))
def kind(request):
    return request.param


@pytest.fixture
def store(tmp_path, kind):
    with Store.create(tmp_path / "store", SPACE) as made:
        made.add(*clustered(900))
        index.build(made, kind, flat_below=100)
        yield made


def everything(store):
    ids = store.ids()
    return brute(store.vectors(ids), ids, QUERIES, 10)[1]


def test_extending_holds_what_rebuilding_holds(store, kind):
    loaded = index.load(store)
    base = [part.structure for part in loaded.parts]
    store.add(*clustered(60, seed=1))
    extended = index.extend(store, loaded)
    assert [part.structure for part in extended.parts[:3]] == base  # not made or read anew
    assert len(extended) == len(index.load(store)) == 960
    assert len(loaded) == 900  # a reader goes on with what it had
    scores, ids = extended.nearest(QUERIES, 10)
    for one, other in zip((scores, ids), index.load(store).nearest(QUERIES, 10), strict=True):
        np.testing.assert_array_equal(one, other)
    assert recall(ids, everything(store)) > 0.95
    rebuilt = index.build(store, kind, flat_below=100).nearest(QUERIES, 10)
    if kind == "exact":
        np.testing.assert_array_equal(ids, rebuilt[1])
        np.testing.assert_allclose(scores, rebuilt[0], atol=1e-6)
    assert recall(ids, rebuilt[1]) > 0.9


def test_new_rows_are_found_after_many_small_additions(store):
    extended = index.load(store)
    for number in range(7):
        vectors, rows = clustered(6, seed=50 + number)
        added = store.add(vectors, rows)
        extended = index.extend(store, extended)
        assert [hits[0].id for hits in search(store, extended, vectors)] == added.tolist()
    assert len(extended) == 942
    assert len(extended.parts) <= 3 * 4  # 7 additions: parts of 4, of 2 and of 1, beside the first
    assert len(index.load(store)) == 942
    files = {path.name for path in store.directory.iterdir()}
    assert files == set(store.manifest["files"]) | {"manifest.json", "lock"}


def test_as_many_new_rows_are_a_new_index(store, kind):
    store.add(*clustered(1000, seed=1))
    extended = index.extend(store)
    assert {part.first for part in extended.parts} == {0}
    assert len(extended) == 1900
    assert recall(extended.nearest(QUERIES, 10)[1], everything(store)) > 0.95


def test_removed_rows_stay_hidden_also_once_compacted(store):
    gone = np.unique(index.load(store).nearest(QUERIES, 3)[1])
    store.remove(gone)
    for step in (lambda: None, store.compact, lambda: store.add(*clustered(9, seed=2))):
        step()
        for found in (index.extend(store), index.load(store)):
            assert len(found) == len(store)
            hits = search(store, found, QUERIES, k=10)
            assert not {hit.id for some in hits for hit in some} & set(gone.tolist())
            assert [len(some) for some in hits] == [10] * len(QUERIES)


def test_a_compacted_store_needs_no_new_index(store):
    store.remove(range(0, 900, 2))
    store.compact()
    version = store.version
    assert len(index.load(store)) == len(index.extend(store)) == 450
    assert store.version == version


def test_own_low_ids_are_not_taken_for_rows_long_gone(store):
    store.remove([5])
    store.compact()
    vectors, rows = clustered(1, seed=9)
    rows[0]["id"] = 5
    store.add(vectors, rows)
    with pytest.raises(ValueError, match="has changed since its index was built"):
        index.load(store)
    extended = index.extend(store)
    assert len(extended) == 900
    scores, ids = extended.nearest(vectors, 1)
    assert ids.tolist() == [[5]]
    assert scores[0, 0] == pytest.approx(1.0, abs=1e-5)


def test_a_modality_that_comes_later(tmp_path, kind):
    vectors, rows = clustered(600)
    later = [place for place, row in enumerate(rows) if row["modality"] == "text"]
    first = [place for place in range(600) if place not in set(later)]
    with Store.create(tmp_path / "late", SPACE) as made:
        made.add(vectors[first], [rows[place] for place in first])
        index.build(made, kind, flat_below=100)
        ids = made.add(vectors[later], [rows[place] for place in later])
        extended = index.extend(made)
        found = extended.nearest(vectors[later], 1, modality="text")[1]
        np.testing.assert_array_equal(found[:, 0], ids)


def test_updating_says_what_it_did(store, kind):
    assert index.update(store, kind)[1] == f"{kind}: nothing to do"
    store.add(*clustered(30, seed=1))
    assert index.update(store, kind)[1] == f"{kind}: new rows added"
    assert len(index.load(store)) == 930
    found, said = index.update(store)
    assert found.kind == "exact"
    assert said == ("exact: nothing to do" if kind == "exact" else index.suggested(store).why)


def test_other_kinds_stay_unless_rows_have_come_since(store, kind):
    other = "ivf-sq8" if kind == "exact" else "exact"
    index.build(store, other, flat_below=100)
    assert {entry["kind"] for entry in store.manifest["indexes"]} == {kind, other}
    assert index.load(store).kind == other
    assert index.load(store, kind).kind == kind
    store.add(*clustered(30, seed=1))
    for name in (kind, other):
        index.extend(store, kind=name)
    assert {entry["kind"] for entry in store.manifest["indexes"]} == {kind, other}
    store.add(*clustered(30, seed=2))
    index.build(store, other, flat_below=100)
    assert [entry["kind"] for entry in store.manifest["indexes"]] == [other]
    assert set(MODALITIES) == {part.modality for part in index.load(store).parts}


def test_an_empty_store(tmp_path, kind):
    with Store.create(tmp_path / "empty", SPACE) as made:
        assert len(index.build(made, kind)) == 0
        assert (index.load(made).nearest(QUERIES, 2)[1] == -1).all()
        ids = made.add(*clustered(3))
        extended = index.extend(made)
        assert len(extended) == 3
        assert sorted(extended.nearest(QUERIES[:1], 3)[1][0].tolist()) == ids.tolist()
