"""Queries of several terms, more like this, and every modality's score of a hit."""

import numpy as np
import pytest
from made_up import WIDTH, rows_of, vectors_of

from retrieval import index
from retrieval.calibration import background
from retrieval.query import Query, Term
from retrieval.search import like, search


def test_one_term_is_the_search_by_its_vector(store):
    store.add(vectors_of(30), rows_of(30))
    built = index.build(store)
    vector = 3.0 * vectors_of(1, 5)[0]
    assert search(store, built, [Query([Term(vector)])], k=30) == search(store, built, vector[None], k=30)


@pytest.mark.parametrize("modality", ["video", "audio", None])
def test_several_terms_order_by_the_weighted_sum_of_standard_scores(store, modality):
    store.add(vectors_of(60), rows_of(60))
    store.add(0.2 * vectors_of(60, 1), rows_of(60, modality="audio"))
    built = index.build(store)
    terms = [Term(vectors_of(1, 5)[0], 1.0), Term(vectors_of(1, 6)[0], 0.5), Term(vectors_of(1, 7)[0], -0.7)]
    ids = store.ids() if modality is None else store.ids("modality = ?", [modality])
    gallery = store.vectors(ids).astype(float)
    total = np.zeros(len(ids))
    for term in terms:
        spread = background(store, built).scale(term.vector[None], "", modality or "").spread[0]
        total += term.weight * (gallery @ term.vector.astype(float)) / spread
    found = search(store, built, [Query(terms)], k=len(ids), modality=modality)[0]
    assert [hit.id for hit in found] == ids[np.argsort(-total)].tolist()
    ratios = [hit.score for hit in found] / np.sort(total)[::-1]
    assert ratios == pytest.approx(ratios[0], rel=1e-4)


def test_terms_of_equal_weight_have_equal_say(store):
    # Sounds spread far more along the first axis than along the second: without scaling the second would say nothing.
    random = np.random.default_rng(0)
    vectors = random.standard_normal((400, WIDTH)) * [5.0, 0.5, *[1.0] * (WIDTH - 2)]
    store.add(vectors, [{**rows_of(1)[0], "recording": str(n)} for n in range(400)])
    built = index.build(store)
    loud, faint = np.eye(2, WIDTH)
    found = search(store, built, [Query([Term(loud), Term(faint)])], k=20)[0]
    best = store.vectors([hit.id for hit in found]) / [5.0, 0.5, *[1.0] * (WIDTH - 2)]
    assert best[:, 0].mean() > 1.0
    assert best[:, 1].mean() > 1.0
    without = search(store, built, [Query([Term(loud), Term(faint, -1.0)])], k=20)[0]
    best = store.vectors([hit.id for hit in without]) / [5.0, 0.5, *[1.0] * (WIDTH - 2)]
    assert best[:, 0].mean() > 1.0
    assert best[:, 1].mean() < -1.0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Query([]), "needs something to look for"),
        (lambda: Query([Term(np.ones(WIDTH), -1.0)]), "not only what to keep away from"),
        (lambda: Term(np.ones(WIDTH), 0.0), "weight of a term"),
        (lambda: Term(np.ones(WIDTH), float("nan")), "weight of a term"),
        (lambda: Query([Term(np.ones(WIDTH)), Term(np.ones(WIDTH), -1.0)]).vector(WIDTH, None), "cancel out"),
        (lambda: Query([Term(np.ones(3))]).vector(WIDTH, None), r"shaped \[N, 8\]"),
        (lambda: Query([Term(np.zeros(WIDTH))]).vector(WIDTH, None), "is zero"),
    ],
)
def test_queries_that_are_none(make, said):
    with pytest.raises(ValueError, match=said) as error:
        make()
    assert "\n" not in str(error.value)


def test_more_like_this(store):
    store.add(vectors_of(30), rows_of(30))
    store.add(vectors_of(30, 1), rows_of(30, modality="audio"))
    store.add(vectors_of(1), [{**rows_of(1)[0], "recording": "copy"}])
    built = index.build(store)
    scores = store.vectors(range(30)).astype(float) @ vectors_of(30)[0].astype(float)
    found = like(store, built, 0, k=100)
    assert [hit.id for hit in found] == [60, *[n for n in np.argsort(-scores).tolist() if n != 0]]
    assert {hit.modality for hit in found} == {"video"}
    strangers = like(store, built, 0, k=100, exclude_own_recording=True)
    assert [hit.id for hit in strangers] == [hit.id for hit in found if hit.recording != "r0"]
    across = like(store, built, 0, k=100, modality="audio")
    assert {hit.modality for hit in across} == {"audio"}
    assert len(across) == 30
    everything = like(store, built, 0, k=100, modality=store.space.modalities)
    assert {hit.id for hit in everything} == set(range(1, 61))
    assert like(store, built, 0, k=3, distinct_cosine=1.0)[0].id == 60
    with pytest.raises(ValueError, match="holds no id 99"):
        like(store, built, 99)
    store.remove([60])
    assert like(store, built, 0, k=100)[0].id != 60
    assert len(like(store, built, 0, k=100, modality=store.space.modalities)) == 59


def test_excluded_ids_that_the_store_does_not_hold_change_nothing(store):
    store.add(vectors_of(5), rows_of(5))
    built = index.build(store)
    assert search(store, built, vectors_of(1), exclude_ids=[77]) == search(store, built, vectors_of(1))
    assert [hit.id for hit in search(store, built, vectors_of(1), exclude_ids=[77, 1, 1])[0]].count(1) == 0


def test_a_hit_tells_the_score_of_every_modality_at_its_time(store):
    spans = [("a", 0, 2), ("a", 2, 4), ("a", 3, 5), ("b", 0, 2), ("p", 0, 0)]
    words = [("a", 1.5, 2.5), ("a", 4, 6), ("b", 2, 3), ("p", 0, 0)]

    def rows(spans, modality):
        return [{"recording": r, "path": r, "start": s, "end": e, "modality": modality} for r, s, e in spans]

    store.add(vectors_of(5), rows(spans, "video"))
    store.add(vectors_of(4, 1), rows(words, "text"))
    built = index.build(store)
    query = vectors_of(1, 2)
    scores = (store.vectors(range(9)).astype(float) @ query[0].astype(float)).tolist()
    found = {h.id: h.scores for h in search(store, built, query, k=9, each_modality=True)[0]}
    # The first words are said over the end of a's first window and the start of its second.
    beside = {0: [5], 1: [5], 2: [6], 3: [], 4: [8], 5: [0, 1], 6: [2], 7: [], 8: [4]}
    for identity, others in beside.items():
        own, other = ("video", "text") if identity < 5 else ("text", "video")
        wanted = {own: scores[identity]} | ({other: max(scores[n] for n in others)} if others else {})
        assert found[identity] == pytest.approx(wanted), identity
    plain = search(store, built, query, k=9)[0]
    assert all(hit.scores == {hit.modality: hit.score} for hit in plain)


def alike(count, shift):
    """Pictures, and sounds that go with them but all lean the same way: unit vectors [count, WIDTH] twice."""
    pictures = vectors_of(count, 1)
    sounds = pictures + 0.3 * vectors_of(count, 2) + shift
    return [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (pictures, sounds)]


def test_what_all_sounds_share_draws_a_centered_query_nowhere(store):
    pictures, sounds = alike(40, 3 * vectors_of(1, 3))
    store.add(pictures, rows_of(40))
    store.add(sounds, rows_of(40, modality="audio"))
    built = index.build(store)
    found = {}
    for centered in (False, True):
        queries = [Query([Term(sound, modality="audio")], centered) for sound in sounds]
        hits = search(store, built, queries, k=1, modality="video")
        found[centered] = sum(one[0].id == number for number, one in enumerate(hits))
    assert found[False] < 0.5 * found[True]
    assert found[True] >= 36


def test_a_centered_query_is_less_the_mean_of_its_kind_and_as_long_as_one(store):
    store.add(vectors_of(30), rows_of(30))
    store.add(vectors_of(30, 1) + 1.0, rows_of(30, modality="audio"))
    built = index.build(store)
    stored = store.vectors(store.ids("modality = 'audio'")).astype(float)
    a, b = vectors_of(2, 5).astype(float)
    left = [(x - stored.mean(0)) / np.linalg.norm(x - stored.mean(0)) for x in (a, b)]
    gallery = store.vectors(store.ids("modality = 'video'")).astype(float)
    (hits,) = search(store, built, [Query([Term(a, modality="audio")], centered=True)], k=30, modality="video")
    assert hits.scores == pytest.approx(np.sort(gallery @ left[0])[::-1], abs=1e-6)
    (one_list,) = search(store, built, [Query([Term(a, modality="audio")], centered=True)], k=60, calibrated=True)
    own = gallery @ left[0]
    of_pictures = [hit.calibrated for hit in one_list if hit.modality == "video"]
    assert of_pictures == pytest.approx(np.sort((own - own.mean()) / own.std())[::-1], abs=1e-4)
    terms = [Term(a, modality="audio"), Term(b, -0.5, "audio")]
    (mixed,) = search(store, built, [Query(terms, centered=True)], k=30, modality="video")
    spread = [(gallery @ x).std() for x in left]
    total = gallery @ (left[0] / spread[0] - 0.5 * left[1] / spread[1])
    assert list(mixed.ids) == store.ids("modality = 'video'")[np.argsort(-total)].tolist()


def test_a_query_that_cannot_be_centered_is_told(store):
    same = np.repeat(vectors_of(1), 3, axis=0)
    store.add(same, rows_of(3))
    built = index.build(store)
    for modality, said in (("audio", "holds no audio to"), ("", "unnamed modality"), ("video", "nothing is left")):
        with pytest.raises(ValueError, match=said):
            search(store, built, [Query([Term(same[0], modality=modality)], centered=True)])
