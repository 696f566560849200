"""Every kind of index: what it finds beside brute force, and that the recall it states is the recall it has."""

from dataclasses import replace

import numpy as np
import pytest
from gathering import MODALITIES, SPACE, WIDTH, brute, clustered, recall

from retrieval import index
from retrieval.kinds import KINDS, choose, emptied, gpus
from retrieval.nearest import Index
from retrieval.store import Store

COUNT = 2100
APPROXIMATE = [kind for kind in KINDS if kind != "exact"]
QUERIES = clustered(40, seed=3)[0]


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """A store with an index of every kind."""
    vectors, rows = clustered(COUNT)
    with Store.create(tmp_path_factory.mktemp("index") / "store", SPACE) as store:
        store.add(vectors, rows)
        for kind in KINDS:
            index.build(store, kind, flat_below=100)
        yield store, vectors


def test_exact_is_brute_force(held):
    store, vectors = held
    scores, ids = index.load(store, "exact").nearest(QUERIES, 10)
    true_scores, true_ids = brute(vectors, range(COUNT), QUERIES, 10)
    np.testing.assert_array_equal(ids, true_ids)
    np.testing.assert_allclose(scores, true_scores, atol=1e-6)


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_scores_are_of_the_stored_vectors_and_recall_is_high(held, kind):
    store, vectors = held
    loaded = index.load(store, kind)
    assert len(loaded) == COUNT
    assert all(part.lists > 1 for part in loaded.parts)
    scores, ids = loaded.nearest(QUERIES, 10)
    np.testing.assert_allclose(scores, np.einsum("qd,qkd->qk", QUERIES, vectors[ids]), atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert recall(ids, brute(vectors, range(COUNT), QUERIES, 10)[1]) > 0.95


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_the_stated_recall_is_met_and_is_what_is_found(held, kind):
    store, vectors = held
    stated = index.find_entry(store, kind)["recall"]
    assert stated["target"] == index.RECALL
    assert set(stated["directions"]) == {f"{a} -> {b}" for a in MODALITIES for b in MODALITIES}
    loaded = index.load(store, kind)
    for direction, told in stated["directions"].items():
        assert told >= index.RECALL
        source, target = direction.split(" -> ")
        asked = store.ids("modality = ?", [source])
        asked = np.sort(np.random.default_rng(index.SEED).choice(asked, min(256, len(asked) // 10), False))
        gallery = store.ids("modality = ?", [target])
        true = brute(vectors[gallery], gallery, vectors[asked], 11)[1]
        found = loaded.nearest(vectors[asked], 11, modality=target, source=source)[1]
        without_self = [[row[row != own][:10] for row, own in zip(rows, asked, strict=True)] for rows in (found, true)]
        assert recall(*without_self) == pytest.approx(told, abs=1e-4)


def test_a_higher_recall_looks_at_more(held):
    store, _ = held
    before = {part.modality: part.probes for part in index.load(store, "ivf-sq8").parts}
    low = index.build(store, "ivf-sq8", recall=0.6, flat_below=100)
    assert all(part.probes < before[part.modality] for part in low.parts)
    assert all(value >= 0.6 for value in index.find_entry(store, "ivf-sq8")["recall"]["directions"].values())
    index.build(store, "ivf-sq8", flat_below=100)


@pytest.mark.parametrize("kind", KINDS)
def test_building_twice_gives_the_same(held, kind):
    store, _ = held
    before = index.load(store, kind).nearest(QUERIES, 10)
    after = index.build(store, kind, flat_below=100).nearest(QUERIES, 10)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_small_modalities_are_looked_at_whole(held):
    store, vectors = held
    built = index.build(store, "ivf-sq8")
    assert [part.lists for part in built.parts] == [0, 0, 0]
    np.testing.assert_array_equal(built.nearest(QUERIES, 10)[1], brute(vectors, range(COUNT), QUERIES, 10)[1])
    index.build(store, "ivf-sq8", flat_below=100)


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_float16_stores_are_scored_with_what_they_hold(tmp_path, kind):
    vectors, rows = clustered(600)
    with Store.create(tmp_path / "half", SPACE, dtype="float16") as store:
        store.add(vectors, rows)
        scores, ids = index.build(store, kind, flat_below=100).nearest(QUERIES, 5)
    kept = vectors.astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(scores, np.einsum("qd,qkd->qk", QUERIES, kept[ids]), atol=1e-6)


def test_a_modality_that_four_bits_cannot_tell_apart_gets_eight(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "ivf-pq4", replace(KINDS["ivf-pq4"], refine=(1,)))  # only as many as are asked for
    vectors, rows = clustered(1500)
    with Store.create(tmp_path / "near", SPACE) as store:
        store.add(vectors, rows)
        built = index.build(store, "ivf-pq4", flat_below=100)
        assert [part.memory for part in built.parts] == [40, 40, 40]
        directions = index.find_entry(store)["recall"]["directions"]
        assert all(told >= index.RECALL for told in directions.values())
        more, of_them = clustered(30, seed=4)
        added = store.add(more, of_them)
        extended = index.extend(store, built)
        np.testing.assert_array_equal(extended.nearest(more, 1)[1][:, 0], added)
        assert len(index.load(store)) == 1530


def test_an_emptied_structure_fills_to_the_same(held):
    store, vectors = held
    for kind in ("ivf-fp16", "ivf-sq8", "ivf-pq4"):
        part = index.load(store, kind).parts[0]
        copy = emptied(part.structure)
        assert copy.ntotal == 0
        ids = np.sort(part.ids())
        copy.add_with_ids(vectors[ids], ids)
        for one, other in zip(copy.search(QUERIES, 5), part.structure.search(QUERIES, 5), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("count", "kind", "why"),
    [
        (0, "exact", "exact: 0 vectors are fewer than 100,000, so looking at all is quick"),
        (99_999, "exact", "fewer than 100,000"),
        (100_000, "ivf-fp16", "at most 1032 bytes of memory each"),
        (10_000_000, "ivf-fp16", "at 10,000,000 vectors"),
        (10_000_001, "ivf-disk", "more than 10,000,000, so their lists stay on disk"),
        (10**9, "ivf-disk", "stay on disk"),
    ],
)
def test_the_choice_says_why(count, kind, why):
    choice = choose(count, 512)
    assert choice.kind == kind
    assert why in choice.why
    assert "\n" not in choice.why


def test_a_recall_that_is_none_is_refused(held):
    for wrong in (0, -0.5, 1.01, float("nan")):
        with pytest.raises(ValueError, match="recall must be above 0"):
            index.build(held[0], "ivf-sq8", recall=wrong)


@pytest.mark.parametrize("kind", ["exact", "ivf-fp16", "ivf-sq8"])
def test_a_gpu_finds_what_the_cpu_finds(held, kind):
    if not gpus():
        pytest.skip("FAISS sees no GPU: needs a GPU and faiss-gpu")
    store, _ = held
    loaded = index.load(store, kind)
    assert all(part.on_gpu is not None for part in loaded.parts)
    on_gpu = loaded.nearest(QUERIES, 10)
    parts = [replace(part, on_gpu=None) for part in loaded.parts]
    with_cpu = Index(loaded.kind, parts, store.originals(), (), loaded.removed, loaded.hidden)
    on_cpu = with_cpu.nearest(QUERIES, 10)
    assert recall(on_gpu[1], on_cpu[1]) > 0.99
    np.testing.assert_allclose(on_gpu[0], on_cpu[0], atol=1e-5)


def test_width_and_count_of_codes():
    assert {kind: KINDS[kind].code_bytes(512) for kind in KINDS} == {
        "exact": 2048,
        "ivf-fp16": 1024,
        "ivf-sq8": 512,
        "ivf-pq4": 128,
        "ivf-disk": 0,
    }
    assert KINDS["ivf-pq4"].code_bytes(WIDTH) == 8
