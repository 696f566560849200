"""Filters on every kind of index: none, one, some and all; what was removed; all of k wherever there are k."""

import numpy as np
import pytest
from gathering import MODALITIES, SPACE, brute, clustered, recall

from retrieval import index, nearest
from retrieval.kinds import KINDS
from retrieval.search import search
from retrieval.store import Store

COUNT = 2100
QUERIES = clustered(24, seed=3)[0]
NONE = np.empty(0, np.int64)


@pytest.fixture(scope="module", params=list(KINDS))
def held(request, tmp_path_factory):
    vectors, rows = clustered(COUNT)
    with Store.create(tmp_path_factory.mktemp("filters") / "store", SPACE) as store:
        store.add(vectors, rows)
        yield store, vectors, index.build(store, request.param, flat_below=100)


def wanted(vectors, ids, k=10):
    return brute(vectors[ids], ids, QUERIES, k)[1]


def test_a_filter_that_nothing_meets(held):
    *_, built = held
    scores, ids = built.nearest(QUERIES, 3, only=NONE)
    assert (ids == -1).all()
    assert np.isneginf(scores).all()
    assert (built.nearest(QUERIES, 3, modality="smell")[1] == -1).all()


def test_a_filter_that_one_row_meets(held):
    *_, built = held
    ids = built.nearest(QUERIES, 3, only=np.array([1234]))[1]
    assert ids.tolist() == [[1234, -1, -1]] * len(QUERIES)


def test_a_few_are_all_looked_at(held):
    _, vectors, built = held
    some = np.arange(0, COUNT, 7)
    np.testing.assert_array_equal(built.nearest(QUERIES, 10, only=some)[1], wanted(vectors, some))


@pytest.mark.parametrize("queries", [1, len(QUERIES)])
def test_many_are_found_through_the_index(held, monkeypatch, queries):
    monkeypatch.setattr(nearest, "FEW", 0)
    _, vectors, built = held
    for some in (np.arange(0, COUNT, 3), np.arange(COUNT), np.arange(5)):
        ids = built.nearest(QUERIES[:queries], 10, only=some)[1]
        assert np.isin(ids[ids >= 0], some).all()
        assert ((ids >= 0).sum(axis=1) == min(10, len(some))).all()
        assert recall(ids[:, : len(some)], wanted(vectors, some)[:queries]) > 0.95


def test_far_away_rows_come_all_the_same(held, monkeypatch):
    """The rows that may be found lie in none of the lists that are near the query."""
    monkeypatch.setattr(nearest, "FEW", 0)
    _, vectors, built = held
    far = np.sort(np.argsort(vectors @ QUERIES[0])[:30])
    ids = built.nearest(QUERIES[:1], 30, only=far)[1]
    assert sorted(ids[0].tolist()) == far.tolist()


def test_a_modality_needs_no_list_of_ids(held, monkeypatch):
    monkeypatch.setattr(nearest, "FEW", 0)
    store, vectors, built = held
    for name in MODALITIES:
        own = store.ids("modality = ?", [name])
        plain = built.nearest(QUERIES, 10, modality=name)[1]
        np.testing.assert_array_equal(plain, built.nearest(QUERIES, 10, modality=name, only=own)[1])
        assert np.isin(plain, own).all()
        assert recall(plain, wanted(vectors, own)) > 0.95


@pytest.mark.parametrize("count", [1, 40, 900])
def test_without(held, count):
    _, vectors, built = held
    gone = np.sort(np.random.default_rng(0).choice(COUNT, count, False))
    ids = built.nearest(QUERIES, 10, without=gone)[1]
    assert not np.isin(ids, gone).any()
    assert recall(ids, wanted(vectors, np.setdiff1d(np.arange(COUNT), gone))) > 0.95


def test_without_the_nearest(held):
    *_, built = held
    gone = np.unique(built.nearest(QUERIES, 40)[1])
    assert len(gone) > nearest.SPARE
    ids = built.nearest(QUERIES, 10, without=gone)[1]
    assert not np.isin(ids, gone).any()
    assert (ids >= 0).all()


def test_more_than_there_are(held):
    *_, built = held
    scores, ids = built.nearest(QUERIES[:2], COUNT + 4)
    assert (np.sort(ids[:, :COUNT], axis=1) == np.arange(COUNT)).all()
    assert (ids[:, COUNT:] == -1).all()
    assert (np.diff(scores[:, :COUNT], axis=1) <= 0).all()


def test_searching_through_it(held):
    store, vectors, built = held
    query = vectors[[30]]
    hits = search(store, built, query, k=12, where="extra ->> 'kind' < 30", modality="audio")[0]
    allowed = store.ids("extra ->> 'kind' < 30 AND modality = 'audio'")
    assert [hit.id for hit in hits] == brute(vectors[allowed], allowed, query, 12)[1][0].tolist()
    assert search(store, built, query, k=1)[0][0].id == 30


def test_equal_vectors_end(tmp_path):
    """Hundreds of copies tie through any place: the search comes to an end, and the first ids win."""
    vectors, rows = clustered(600)
    vectors[:400] = vectors[0]
    for kind in KINDS:
        with Store.create(tmp_path / kind, SPACE) as store:
            store.add(vectors, rows)
            hits = search(store, index.build(store, kind, flat_below=100), vectors[:1], k=5)[0]
        assert len({hit.score for hit in hits}) == 1
        assert all(hit.id < 400 for hit in hits)
