"""Vectors whose inner products float32 cannot hold."""

import numpy as np
import pytest
from made_up import rows_of, vectors_of

from retrieval import index
from retrieval.search import search


@pytest.mark.parametrize("scale", [1e-30, 1e-17, 1e17, 1e25])
def test_lengths_that_products_cannot_hold_are_refused(store, scale):
    vectors = vectors_of(3)
    vectors[1] *= np.float32(scale)
    with pytest.raises(ValueError, match=r"new vector 1 has length .* scale the vectors"):
        store.add(vectors, rows_of(3))
    assert len(store) == 0
    store.add(vectors_of(3), rows_of(3))
    with pytest.raises(ValueError, match="query vector 1 has length"):
        search(store, index.build(store), vectors)


@pytest.mark.parametrize("scale", [1e-14, 1e14])
def test_the_shortest_and_longest_are_found_in_the_right_order(store, scale):
    vectors = vectors_of(50) * np.float32(scale)
    store.add(vectors, rows_of(50))
    found = search(store, index.build(store), vectors, k=5)
    exact = np.argsort(-(vectors.astype(np.float64) @ vectors.astype(np.float64).T), axis=1)[:, :5]
    np.testing.assert_array_equal([hits.ids for hits in found], exact)
