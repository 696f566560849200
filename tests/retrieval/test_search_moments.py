"""Windows become moments around their peaks; copies and near-identical hits are left out."""

import numpy as np
from made_up import WIDTH, rows_of, vectors_of

from retrieval import index
from retrieval.search import search

QUERY = np.eye(1, WIDTH)


def windows(store, spans, modality="video"):
    """Add windows (recording, start, score) two seconds long, that score so for the query [1, 0, ...]."""
    vectors = np.zeros((len(spans), WIDTH), np.float32)
    vectors[:, 0] = [score for *_, score in spans]
    vectors[:, 1] = 1.0
    rows = [
        {"recording": r, "path": r, "start": start, "end": start + 2.0, "modality": modality} for r, start, _ in spans
    ]
    store.add(vectors, rows)


def unrelated(store, count=200):
    """Add windows of many recordings that score 0: what most of a collection is for a query."""
    windows(store, [(f"z{number}", 0, 0.0) for number in range(count)])


def moments(store, **options):
    found = search(store, index.build(store), QUERY, **options)[0]
    return [(hit.recording, hit.start, hit.end, hit.peak, round(hit.score, 4)) for hit in found if hit.score > 0]


def test_neighbouring_windows_become_one_moment(store):
    windows(
        store,
        [("a", 0, 0.5), ("a", 2, 0.9), ("a", 4, 0.7), ("a", 8, 0.6), ("b", 2, 0.8), ("b", 30, 0.3), ("b", 33, 0.2)],
    )
    unrelated(store)
    assert moments(store, merge_seconds=0.5) == [
        ("a", 0, 6, 2, 0.9),
        ("b", 2, 4, 2, 0.8),
        ("a", 8, 10, 8, 0.6),
        ("b", 30, 32, 30, 0.3),
        ("b", 33, 35, 33, 0.2),
    ]
    assert moments(store, merge_seconds=2.0)[0] == ("a", 0, 10, 2, 0.9)
    for k in (1, 2, 3):
        assert moments(store, merge_seconds=0.5, k=k) == moments(store, merge_seconds=0.5)[:k], "as long as among more"
    assert len(moments(store)) == 7


def test_a_window_between_two_moments_joins_them(store):
    windows(store, [("a", 0, 0.9), ("a", 4, 0.8), ("a", 2, 0.7)])
    windows(store, [("a", 2, 0.95)], modality="audio")
    unrelated(store)
    assert moments(store, merge_seconds=0.1) == [("a", 2, 4, 2, 0.95), ("a", 0, 6, 0, 0.9)]


def test_a_moment_ends_where_its_score_has_fallen_by_half(store):
    # One long recording whose windows all touch: two hills and a valley, falling from their tops strictly.
    starts = np.arange(0, 400, 2)
    scores = np.maximum(0.9 * np.exp(-(((starts - 100) / 20.0) ** 2)), 0.8 * np.exp(-(((starts - 300) / 20.0) ** 2)))
    windows(store, [("long", float(start), float(score)) for start, score in zip(starts, scores, strict=True)])
    unrelated(store, 2000)
    mean = scores.sum() / 2200  # what unrelated windows score
    wanted = []
    for middle, top in ((100, 0.9), (300, 0.8)):
        high = starts[(abs(starts - middle) < 100) & (scores >= mean + 0.5 * (top - mean))]
        wanted.append(("long", float(high[0]), float(high[-1] + 2), float(middle), top))
    assert moments(store, merge_seconds=0.1, k=10) == wanted
    assert wanted[0][2] < wanted[1][1]


def test_a_valley_higher_than_half_joins_two_peaks_and_a_deeper_one_does_not(store):
    windows(store, [("a", 0, 0.9), ("a", 2, 0.5), ("a", 4, 0.8)])
    windows(store, [("b", 0, 0.7), ("b", 2, 0.2), ("b", 4, 0.6)])
    unrelated(store)
    assert moments(store, merge_seconds=0.1) == [("a", 0, 6, 0, 0.9), ("b", 0, 2, 0, 0.7), ("b", 4, 6, 4, 0.6)]


def test_many_windows_of_one_moment_do_not_crowd_out_the_others(store):
    # 150 windows of one recording all score higher than anything else: more than 10 k windows for k = 3.
    windows(store, [("a", float(start), 0.9 - 1e-4 * start) for start in range(0, 300, 2)])
    windows(store, [("b", 0, 0.3), ("c", 0, 0.2), ("d", 0, 0.1)])
    unrelated(store, 2000)
    assert moments(store, merge_seconds=0.1, k=3) == [("a", 0, 300, 0, 0.9), ("b", 0, 2, 0, 0.3), ("c", 0, 2, 0, 0.2)]


def test_copies_and_near_identical_hits_are_left_out(store):
    vectors = np.repeat(vectors_of(4), 3, axis=0)
    vectors[2] = vectors[0] + 0.05 * vectors[6]  # very near, not equal
    vectors[2] /= np.linalg.norm(vectors[2])
    rows = rows_of(12)
    for row in rows[9:11]:  # the same seconds of the same content under two names
        row |= {"content": "c0ffee", "start": 1.0, "end": 2.0}
    rows[10]["recording"] = "another name"
    vectors[9:12] = vectors_of(3, 7)
    sounds = [{**row, "modality": "audio"} for row in rows]
    store.add(vectors, rows)
    store.add(vectors, sounds)
    built = index.build(store)
    every = search(store, built, vectors[:1], k=100, modality="video")[0]
    assert len(every) == 12
    copies = search(store, built, vectors[:1], k=100, modality="video", distinct_cosine=1.0)[0]
    dropped = {hit.id for hit in every} - {hit.id for hit in copies}
    names = [hit.id for hit in every if hit.id in (9, 10)]
    assert dropped == {1, 4, 5, 7, 8, names[1]}
    assert [hit.id for hit in copies] == [hit.id for hit in every if hit.id not in dropped]
    near = search(store, built, vectors[:1], k=100, modality="video", distinct_cosine=0.99)[0]
    assert {hit.id for hit in copies} - {hit.id for hit in near} == {2}
    # k of them come back while that many exist, and a sound is no copy of a picture.
    assert [hit.id for hit in search(store, built, vectors[:1], k=5, modality="video", distinct_cosine=0.99)[0]] == [
        hit.id for hit in near
    ][:5]
    assert len(search(store, built, vectors[:1], k=100, distinct_cosine=0.99)[0]) == 2 * len(near)


def test_copies_of_whole_recordings_become_one_hit_each(store):
    vectors = vectors_of(24)
    rows = [{**row, "recording": f"{row['recording']} copy {copy}"} for copy in range(40) for row in rows_of(24)]
    store.add(np.tile(vectors, (40, 1)), rows)
    found = search(store, index.build(store), vectors[:3], k=24, distinct_cosine=1.0)
    for number, hits in enumerate(found):
        assert [hit.id % 24 for hit in hits] == sorted(range(24), key=lambda n: -(vectors[n] @ vectors[number]))
