"""Vectors kept as float16: rounded once, when they are added; what is read and searched is that number, as float32."""

import numpy as np
import pytest
from made_up import SPACE, WIDTH, rows_of, vectors_of

from retrieval import index
from retrieval.search import search
from retrieval.store import Store


@pytest.fixture
def half(tmp_path):
    with Store.create(tmp_path / "half", SPACE, dtype="float16") as made:
        yield made


def test_each_component_is_the_nearest_float16(half):
    vectors = np.random.default_rng(0).standard_normal((40, WIDTH)) * np.logspace(-6, 4, 40)[:, None]
    rounded = vectors.astype(np.float16).astype(np.float32)
    for number in range(0, 40, 8):  # segments are joined on the way, and rows lost and compacted
        half.add(vectors[number : number + 8], rows_of(8, first=number))
    half.remove([3, 20])
    half.compact()
    ids = half.ids()
    np.testing.assert_array_equal(half.vectors(ids), rounded[ids])
    np.testing.assert_array_equal(np.concatenate([block for _, block in half.blocks()]), rounded[ids])
    assert half.vectors(ids).dtype == np.float32
    assert Store.open(half.directory).dtype == "float16"


def test_rounding_is_not_done_twice(half):
    # By way of float32 it would be a tie, which goes to the even neighbour, 1.
    number = 1 + 2.0**-11 + 2.0**-40
    half.add(np.full((1, WIDTH), number), rows_of(1))
    assert half.vectors([0])[0, 0] == 1 + 2.0**-10


def test_what_float16_cannot_hold_is_refused(half, store):
    for value, said in ((70000.0, "vector 0 is not finite .*too large for float16"), (1e-9, "vector 0 is zero")):
        vectors = np.full((1, WIDTH), value)
        with pytest.raises(ValueError, match=said):
            half.add(vectors, rows_of(1))
        assert len(store.add(vectors, rows_of(1, first=int(value)))) == 1
    assert half.version == 0
    with pytest.raises(ValueError, match="float32 or float16, not 'float64'"):
        Store.create(half.directory / "x", SPACE, dtype="float64")
    assert not (half.directory / "x").exists()


def test_it_takes_half_the_space(half, store):
    for kept in (half, store):
        kept.add(vectors_of(500), rows_of(500))
    sizes = [kept.manifest["files"][kept.manifest["segments"][0]["vectors"]]["bytes"] for kept in (half, store)]
    assert sizes[1] - sizes[0] == 500 * WIDTH * 2


def test_scores_are_those_of_the_stored_numbers(half):
    vectors, queries = vectors_of(30), vectors_of(3, seed=5)
    half.add(vectors, rows_of(30))
    rounded = vectors.astype(np.float16).astype(np.float64)
    for query, hits in zip(queries, search(half, index.build(half), queries, k=30), strict=True):
        right = rounded @ query.astype(np.float64)
        assert [hit.id for hit in hits] == np.argsort(-right, kind="stable").tolist()
        np.testing.assert_allclose([hit.score for hit in hits], right[[hit.id for hit in hits]], atol=1e-12)
