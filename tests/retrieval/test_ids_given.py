"""Ids that are none, and ids of every type that is."""

import numpy as np
import pytest
from made_up import rows_of, vectors_of

from retrieval import index
from retrieval.search import search


@pytest.mark.parametrize("wrong", [2**63, 10**30, -(10**30), 1.5, 1.0, "1", None, np.uint64(2**63)])
def test_what_is_no_id_is_refused_in_one_line(store, wrong):
    store.add(vectors_of(3), rows_of(3))
    for ask in (store.rows, store.vectors, store.remove):
        for ids in ([0, wrong], np.array([wrong])):
            with pytest.raises(ValueError, match=r"^(an id is a whole number|the store holds no id)[^\n]*$"):
                ask(ids)
    with pytest.raises(ValueError, match=r"^(an id is a whole number|the store holds no id)"):
        search(store, index.build(store), vectors_of(1), exclude_ids=[wrong])
    assert len(store) == 3


def test_ids_of_any_whole_type_are_taken(store):
    store.add(vectors_of(3), rows_of(3))
    for ids in ([np.int32(2), 0], np.array([2, 0], np.uint64), np.array([2, 0], np.int16), iter((2, 0))):
        assert [row.id for row in store.rows(ids)] == [2, 0]
