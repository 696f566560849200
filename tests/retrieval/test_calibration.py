"""Scores of different directions on one scale: by definition, and in a space with a modality gap it helps."""

import itertools

import numpy as np
import pytest
from made_up import SPACE, WIDTH, rows_of, vectors_of

from retrieval import calibration, index
from retrieval.calibration import background
from retrieval.query import Query, Term
from retrieval.search import like, search
from retrieval.space import Space
from retrieval.store import Store

MODALITIES = ("video", "audio", "text")


def filled(store, count=40):
    """A store with three modalities that lie apart and spread differently."""
    for number, name in enumerate(MODALITIES):
        vectors = (0.2 + 0.3 * number) * vectors_of(count, number) + np.eye(1, WIDTH, number)
        store.add(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), rows_of(count, modality=name))
    return index.build(store)


def unrelated(store, source, target):
    """Scores of all pairs of two recordings, one by one."""
    held = {name: store.ids("modality = ?", [name]) for name in (source, target)}
    vectors = {row.id: vector for row, vector in zip(store.rows(store.ids()), store.vectors(store.ids()), strict=True)}
    recordings = {row.id: row.recording for row in store.rows(store.ids())}
    return [
        float(vectors[a].astype(float) @ vectors[b].astype(float))
        for a, b in itertools.product(held[source], held[target])
        if recordings[a] != recordings[b]
    ]


def test_a_direction_has_the_mean_and_spread_of_its_unrelated_pairs(store):
    built = filled(store)
    taken = background(store, built)
    for source, target in itertools.product(MODALITIES, MODALITIES):
        scores = unrelated(store, source, target)
        mean, spread = taken.scale(vectors_of(2), source, target)
        assert mean == pytest.approx(np.mean(scores))
        assert spread == pytest.approx(np.std(scores))


def test_where_the_modality_is_not_known_the_query_is_its_own_background(store):
    built = filled(store)
    queries = vectors_of(3, 9)
    for target, ids in [("text", store.ids("modality = 'text'")), ("", store.ids())]:
        scores = queries.astype(float) @ store.vectors(ids).astype(float).T
        mean, spread = background(store, built).scale(queries, "", target)
        assert mean == pytest.approx(scores.mean(axis=1))
        assert spread == pytest.approx(scores.std(axis=1))


def test_one_list_is_ordered_by_standard_scores(store):
    built = filled(store)
    taken = background(store, built)
    query = store.vectors([3])[0]
    wanted = []
    for row, vector in zip(store.rows(store.ids()), store.vectors(store.ids()).astype(float), strict=True):
        mean, spread = (part[0] for part in taken.scale(query[None], "video", row.modality))
        score = float(vector @ query.astype(float))
        wanted.append((-(score - mean) / spread, row.id, score))
    found = search(store, built, [Query([Term(query, modality="video")])], k=50, calibrated=True)[0]
    assert [hit.id for hit in found] == [identity for _, identity, _ in sorted(wanted)[:50]]
    assert [-hit.calibrated for hit in found] == pytest.approx([z for z, *_ in sorted(wanted)[:50]])
    assert [hit.score for hit in found] == pytest.approx([score for *_, score in sorted(wanted)[:50]])
    # Within one modality nothing changes but that hits tell their standard score.
    plain = search(store, built, query[None], k=8, modality="audio")[0]
    told = search(store, built, [Query([Term(query, modality="video")])], k=8, modality="audio", calibrated=True)[0]
    assert [hit.id for hit in plain] == [hit.id for hit in told]
    assert plain[0].calibrated is None
    assert told[0].calibrated > told[-1].calibrated


@pytest.mark.parametrize("options", [{}, {"merge_seconds": 0.5}, {"distinct_cosine": 0.9}, {"each_modality": True}])
@pytest.mark.parametrize("where", ["1 = 0", "id = 90", "1 = 1"])
def test_filters_that_match_none_one_and_all_on_every_path(store, where, options):
    built = filled(store)
    allowed = set(store.ids(where).tolist())
    query = Query([Term(store.vectors([3])[0], modality="video"), Term(vectors_of(1, 7)[0], 0.5)])
    for hits in (
        search(store, built, [query], k=200, where=where, calibrated=True, **options)[0],
        search(store, built, [query], k=200, where=where, modality=["text", "audio"], **options)[0],
        search(store, built, [query], k=200, where=where, **options)[0],
        like(store, built, 100, k=200, where=where, **options),
        like(store, built, 100, k=200, where=where, modality=MODALITIES, exclude_own_recording=True, **options),
    ):
        assert {hit.id for hit in hits} <= allowed
        assert bool(hits) == bool(allowed), "something is found wherever something may be"
    if not options:
        assert {hit.id for hit in search(store, built, [query], k=200, where=where, calibrated=True)[0]} == allowed


def test_a_text_hit_and_a_sound_hit_stand_in_one_list(tmp_path):
    # Each modality lies round a mean of its own, so raw scores say above all which modality a vector is of. Of every
    # second kind there are pictures only, of the others sentences only.
    random = np.random.default_rng(0)
    kinds, width, each = 16, 64, 6
    means = {name: 3.0 * np.eye(1, width, kinds + number)[0] for number, name in enumerate(MODALITIES)}

    def vector(name, kind):
        made = means[name] + np.eye(1, width, kind)[0] + 0.05 * random.standard_normal(width)
        return made / np.linalg.norm(made)

    vectors, rows = [], []
    for name, first in (("video", 0), ("text", 1)):
        for kind in range(first, kinds, 2):
            for _ in range(each):
                number = str(len(rows))
                rows.append({"recording": number, "path": number, "start": 0, "end": 2, "modality": name})
                rows[-1]["extra"] = {"kind": kind}
                vectors.append(vector(name, kind))
    with Store.create(tmp_path / "gap", Space("main", "1", MODALITIES, width)) as store:
        store.add(np.array(vectors), rows)
        built = index.build(store)
        queries = [Query([Term(vector("text", kind), modality="text")]) for kind in range(kinds)]

        def right(calibrated):
            found = search(store, built, queries, k=each, calibrated=calibrated)
            return np.array([[hit.extra["kind"] == kind for hit in hits] for kind, hits in enumerate(found)]).mean(1)

        raw, scaled = right(False), right(True)
    assert raw[1::2].min() >= 0.8, "sentences find sentences"
    assert raw[::2].max() == 0.0, "but every sentence hides every picture"
    assert scaled.min() >= 0.8


def test_the_sample_of_a_large_store_is_the_same_each_time_and_holds_the_rare(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "SAMPLE", 20)
    monkeypatch.setattr(calibration, "ENOUGH", 10)
    with Store.create(tmp_path / "store", SPACE) as store:
        store.add(vectors_of(500), rows_of(500))
        store.add(vectors_of(12, 1), rows_of(12, modality="audio"))
        one, two = (background(store, index.build(store)) for _ in range(2))
        for target in ("audio", "video"):
            scores = vectors_of(1, 5).astype(float) @ store.vectors(store.ids("modality = ?", [target])).T.astype(float)
            mean, _ = one.scale(vectors_of(1, 5), "", target)
            assert mean[0] == two.scale(vectors_of(1, 5), "", target).mean[0]
            assert mean[0] == pytest.approx(scores.mean(), abs=4 * scores.std() / np.sqrt(12))
        assert one.scale(vectors_of(1), "audio", "text") == (0.0, 1.0), "nothing of it is in the store"


def test_the_background_follows_the_store(store):
    built = filled(store)
    before = background(store, built)
    assert background(store, built) is before
    store.remove(store.ids("modality = 'text'"))
    assert background(store, built).scale(vectors_of(1), "", "text") == (0.0, 1.0)


def test_a_single_recording_serves_as_its_own_background(store):
    store.add(vectors_of(4), rows_of(4))
    scores = vectors_of(4).astype(float) @ vectors_of(4).astype(float).T
    mean, spread = background(store, index.build(store)).scale(vectors_of(1), "video", "video")
    assert (mean[0], spread[0]) == (pytest.approx(scores.mean()), pytest.approx(scores.std()))
