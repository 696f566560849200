"""In how few directions an approximate index looks, and at how many lists for queries of each kind."""

from dataclasses import replace

import numpy as np
import pytest

from retrieval import index
from retrieval.kinds import inverted
from retrieval.narrowing import basis
from retrieval.query import Query, Term
from retrieval.search import search
from retrieval.space import Space
from retrieval.store import Store
from retrieval.tuning import Queries

WIDTH, RANK = 96, 12


def made(count: int, seed: int, noise: float = 0.0) -> np.ndarray:
    """Unit vectors that fill RANK of WIDTH directions, and a mean that all share; [count, WIDTH]."""
    random = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(99).standard_normal((WIDTH, WIDTH)))[0]
    vectors = random.standard_normal((count, RANK)) @ turn[:RANK] + 2 * turn[RANK]
    vectors += noise * random.standard_normal((count, WIDTH))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def asked(vectors: np.ndarray) -> list[Queries]:
    return [Queries("video", vectors, np.arange(len(vectors)))]


def moment(vectors: np.ndarray) -> np.ndarray:
    return (vectors.T @ vectors).astype(np.float64) / len(vectors)


def test_few_directions_keep_the_products():
    sample, queries = made(3000, 0), made(200, 1)
    few = basis(sample, len(sample), moment(queries), asked(queries), 0.98, int)
    assert few.shape == (16, WIDTH)  # the first of the widths that are tried above RANK and the mean
    np.testing.assert_allclose(few @ few.T, np.eye(16), atol=1e-5)
    np.testing.assert_allclose((queries @ few.T) @ (sample @ few.T).T, queries @ sample.T, atol=1e-5)


def test_vectors_that_fill_the_space_keep_all_of_it():
    full = np.random.default_rng(0).standard_normal((3000, WIDTH), np.float32)
    assert basis(full, len(full), moment(full), asked(made(200, 1)), 0.98, int) is None
    assert basis(made(10, 0), 10, moment(full), asked(made(200, 1)), 0.98, int) is None  # too few to tell


@pytest.mark.parametrize("kind", ["ivf-fp16", "ivf-sq8", "ivf-pq4", "ivf-disk"])
def test_narrow_indexes_find_add_and_come_back_from_disk(tmp_path, kind):
    vectors = made(3000, 0, noise=0.002)
    rows = [
        {"recording": f"r{n}", "path": f"r{n}.mp4", "start": 0.0, "end": 1.0, "modality": "video"}
        for n in range(len(vectors))
    ]
    with Store.create(tmp_path / "store", Space("test", "digest", ("video",), WIDTH)) as store:
        store.add(vectors[:2900], rows[:2900])
        built = index.build(store, kind)
        assert inverted(built.parts[0].structure).d < WIDTH
        assert built.parts[0].memory < 8 + WIDTH
        store.add(vectors[2900:], rows[2900:])
        index.extend(store, built)
        loaded = index.load(store)
        queries = made(200, 2)
        found = search(store, loaded, queries, k=10)
    true = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    shared = [len({*hits.ids.tolist()} & {*best.tolist()}) for hits, best in zip(found, true, strict=True)]
    assert np.mean(shared) / 10 >= 0.96
    # Scores are of whole vectors, whatever was looked at.
    for query, hits in zip(queries, found, strict=True):
        np.testing.assert_allclose(hits.scores, vectors[hits.ids] @ query, atol=1e-6)


def test_queries_of_a_modality_look_at_as_many_lists_as_they_need(tmp_path):
    pictures = made(3000, 0, noise=0.05)
    texts = np.roll(made(1500, 1, noise=0.05), 40, axis=1)  # in other directions, as texts are in a trained space
    rows = [{"recording": f"r{n}", "path": f"r{n}.mp4", "start": 0.0, "end": 1.0} for n in range(len(pictures))]
    with Store.create(tmp_path / "store", Space("test", "digest", ("video", "text"), WIDTH)) as store:
        store.add(pictures, [{**row, "modality": "video"} for row in rows])
        store.add(texts, [{**row, "modality": "text"} for row in rows[: len(texts)]])
        built = index.build(store, "ivf-fp16")
        part = next(part for part in built.parts if part.modality == "video")
        assert set(part.sources) == {"video", "text"}
        most = tuple(max(column) for column in zip(*part.sources.values(), strict=True))
        assert (part.probes, part.refine) == most == part.effort("") == part.effort("audio")
        few = replace(part, sources={"video": (1, 2), "text": (part.lists, 4)})
        apart = index.Index(built.kind, [few], store.originals(), built.covered, built.removed, built.hidden)
        for source, effort in few.sources.items():
            scores, _ = apart.nearest(texts[:50], 10, source=source)
            alone, _ = few.nearest(store.originals(), texts[:50], 10, *effort)
            np.testing.assert_array_equal(scores, np.sort(alone, axis=1)[:, ::-1][:, :10])
        assert {p.modality: p.sources for p in index.load(store).parts} == {p.modality: p.sources for p in built.parts}
        looked: list[str] = []
        nearest = index.Index.nearest

        class Watched(index.Index):
            def nearest(self, *args, source="", **words):
                looked.append(source)
                return nearest(self, *args, source=source, **words)

        built.__class__ = Watched
        search(store, built, [Query([Term(texts[0], modality="text")])], modality="video")
        search(store, built, [Query([Term(texts[0], modality="text"), Term(pictures[0], modality="video")])])
        search(store, built, texts[:1])
    assert looked == ["text", "", ""]
