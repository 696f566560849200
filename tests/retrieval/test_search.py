"""Hits equal brute force, with ties, filters and removals; and what cannot be searched is refused in one line."""

import builtins
import itertools

import numpy as np
import pytest
from made_up import SPACE, WIDTH, rows_of, vectors_of

from retrieval import index
from retrieval.search import format_time, search
from retrieval.space import Space
from retrieval.store import Store


def brute(store, queries, k, ids):
    """(id, score) of the k best of `ids` by definition: score, then id."""
    vectors = store.vectors(ids).astype(np.float64)
    scores = [(vectors * query.astype(np.float64)).sum(axis=1) for query in queries]
    return [sorted(zip(ids, row.tolist(), strict=True), key=lambda hit: (-hit[1], hit[0]))[:k] for row in scores]


def pairs(results):
    return [[(hit.id, hit.score) for hit in hits] for hits in results]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 37, 150])
def test_equals_brute_force_with_ties(store, seed, count):
    random = np.random.default_rng(seed)
    vectors = vectors_of(count, seed)
    vectors[random.integers(count, size=count // 2)] = vectors[0]  # many equal ones, so ties run through the k-th place
    for part in np.array_split(np.arange(count), 3):
        store.add(vectors[part], [rows_of(count)[n] for n in part])
    store.remove(random.choice(count, count // 5, replace=False))
    built = index.build(store)
    later = random.choice(store.ids(), len(store) // 5, replace=False)
    store.remove(later)  # removed after the index was built
    ids = store.ids().tolist()
    queries = np.concatenate([vectors_of(25, seed + 100), vectors[:1]])  # more than 20, so FAISS takes its other path
    for k in (1, 3, 20, 500):
        wanted = brute(store, queries, k, ids)
        assert pairs(search(store, built, queries, k=k)) == wanted
        assert pairs(search(store, index.load(store), queries[-1:], k=k)) == wanted[-1:]


def test_filters_that_match_none_one_and_all(store):
    store.add(vectors_of(30), rows_of(30))
    store.add(vectors_of(30, 1), rows_of(30, modality="audio"))
    built = index.build(store)
    queries = vectors_of(3, 2)
    for where, modality in itertools.product(
        [None, "1 = 0", "id = 7", "1 = 1", "extra ->> 'kind' = 'bell'", ("id < ? OR start > ?", [9, 3.5])],
        [None, "video", "audio", "text"],
    ):
        condition, parameters = where if isinstance(where, tuple) else (where, [])
        allowed = store.ids(condition, parameters).tolist()
        allowed = [row.id for row in store.rows(allowed) if modality in (None, row.modality)]
        found = search(store, built, queries, k=8, where=where, modality=modality)
        assert pairs(found) == brute(store, queries, 8, allowed), (where, modality)


def test_own_recording_is_left_out(store):
    store.add(vectors_of(12), rows_of(12))
    built = index.build(store)
    queries = vectors_of(12)[[0, 5, 9]]
    assert [hits[0].recording for hits in search(store, built, queries)] == ["r0", "r1", "r2"]
    for hits in search(store, built, queries, exclude_recording="r1", k=20):
        assert {hit.recording for hit in hits} == {"r0", "r2"}
        assert len(hits) == 8
    own = search(store, built, queries, exclude_recording=["r0", None, "r2"], k=20)
    assert [sorted({hit.recording for hit in hits}) for hits in own] == [["r1", "r2"], ["r0", "r1", "r2"], ["r0", "r1"]]
    assert own[1][0].id == 5
    with pytest.raises(ValueError, match="2 entries for 3 queries"):
        search(store, built, queries, exclude_recording=["r0", "r1"])


def test_a_hit_says_what_and_when(store):
    rows = rows_of(2)
    rows[1] |= {"path": "видео/ü 家.mp4", "narration": "die Glöckchen läuten 🔔"}
    vectors = vectors_of(2)
    store.add(vectors, rows)
    hit = search(store, index.build(store), vectors[1:], k=1)[0][0]
    assert (hit.id, hit.recording, hit.path, hit.start, hit.end) == (1, "r0", "видео/ü 家.mp4", 2.0, 4.0)
    assert (hit.peak, hit.modality, hit.narration, hit.extra) == (2.0, "video", rows[1]["narration"], {"kind": "bell"})
    assert hit.score == pytest.approx(float(vectors[1] @ vectors[1]), rel=1e-6)


def test_empty_store_and_no_query(store):
    built = index.build(store)
    assert search(store, built, vectors_of(2)) == [[], []]
    assert search(store, index.load(store), np.empty((0, WIDTH))) == []
    assert search(store, built, vectors_of(1), where="1 = 1", modality="text", merge_seconds=1.0) == [[]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"vectors": np.full((1, WIDTH), np.nan)}, "query vector 0 is not finite"),
        ({"vectors": np.zeros((1, WIDTH))}, "query vector 0 is zero"),
        ({"vectors": np.ones((1, WIDTH + 1))}, r"query vectors must be shaped \[N, 8\]"),
        ({"vectors": np.ones(WIDTH)}, r"shaped \[N, 8\]"),
        ({"k": 0}, "k must be a whole number"),
        ({"k": 2.5}, "k must be a whole number"),
        ({"modality": "smell"}, "'smell' is not one of the store's"),
        ({"where": "colour = 1"}, "no such column: colour"),
        ({"where": ("id = ?", [])}, "bindings"),
        ({"merge_seconds": -1.0}, "merge_seconds"),
        ({"merge_seconds": float("nan")}, "merge_seconds"),
        ({"distinct_cosine": 1.5}, "distinct_cosine"),
        ({"distinct_cosine": 0.0}, "distinct_cosine"),
        ({"space": Space("main", "another", SPACE.modalities, WIDTH)}, "checkpoint another.*embed again"),
    ],
)
def test_what_cannot_be_searched(store, arguments, said):
    store.add(vectors_of(4), rows_of(4))
    built = index.build(store)
    with pytest.raises(ValueError, match=said) as error:
        search(store, built, **({"vectors": vectors_of(1)} | arguments))
    assert "\n" not in str(error.value)


def test_index_and_store_must_fit(store):
    with pytest.raises(ValueError, match="has no index"):
        index.load(store)
    with pytest.raises(ValueError, match="unknown kind of index 'hnsw'"):
        index.build(store, "hnsw")
    store.add(vectors_of(4), rows_of(4))
    built = index.build(store)
    store.add(vectors_of(1, 9), rows_of(1, first=4))
    for attempt in (lambda: search(store, built, vectors_of(1)), lambda: index.load(store)):
        with pytest.raises(ValueError, match="has changed since its index was built: python -m retrieval build"):
            attempt()
    rebuilt = index.build(store)
    assert len(rebuilt) == 5
    assert len(list(store.directory.glob("index-*"))) == 1
    store.compact()
    with pytest.raises(ValueError, match="has changed since"):
        search(store, rebuilt, vectors_of(1))


def test_an_index_of_another_size_is_refused(store, monkeypatch):
    store.add(vectors_of(4), rows_of(4))
    monkeypatch.setattr(index, "PartEntry", lambda **told: told | {"ntotal": told["ntotal"] + 1})
    index.build(store)
    with pytest.raises(ValueError, match="holds 4 vectors of width 8, the manifest says 5"):
        index.load(store)


def test_loading_follows_another_process_that_builds_anew(store):
    store.add(vectors_of(4), rows_of(4))
    index.build(store)
    reader = Store.open(store.directory)
    index.build(store)
    assert len(index.load(reader)) == 4
    assert reader.version == store.version
    (store.directory / reader.manifest["indexes"][0]["parts"][0]["file"]).unlink()
    with pytest.raises(ValueError, match="is missing"):
        index.load(reader)


def test_without_faiss_one_line_names_both_extras(store, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "faiss":
            raise ModuleNotFoundError("No module named 'faiss'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install avssl\[cpu\] or.*avssl\[gpu\]") as error:
        index.build(store)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (83.4, "00:01:23.4"),
        (0, "00:00:00.0"),
        (59.96, "00:01:00.0"),
        (3599.94, "00:59:59.9"),
        (360000.0, "100:00:00.0"),
        (-1.5, "-00:00:01.5"),
        (-0.01, "00:00:00.0"),
    ],
)
def test_format_time(seconds, text):
    assert format_time(seconds) == text
