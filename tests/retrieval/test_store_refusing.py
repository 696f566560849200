"""What a store refuses, each in one line."""

import numpy as np
import pytest
from made_up import WIDTH, rows_of, vectors_of

from retrieval.rows import MOST_NESTED


def spoiled(vectors, **at):
    for place, value in at.items():
        vectors[int(place[1:])] = value
    return vectors


def nested(depth):
    extra = {"a": 1}
    for _ in range(depth - 1):
        extra = {"a": extra}
    return extra


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (spoiled(vectors_of(3), _1=np.nan), "vector 1 is not finite"),
        (spoiled(vectors_of(3), _2=-np.inf), "vector 2 is not finite"),
        (spoiled(vectors_of(3).astype(np.float64), _0=1e300), "vector 0 is not finite"),
        (spoiled(vectors_of(3), _1=0), "vector 1 is zero"),
        (np.ones((3, WIDTH + 1)), r"shaped \[N, 8\]"),
        (np.ones(WIDTH), r"shaped \[N, 8\]"),
        (np.full((3, WIDTH), "a"), "must be numbers"),
        (vectors_of(2), "2 vectors and 3 rows"),
    ],
)
def test_wrong_vectors_are_refused(store, vectors, said):
    with pytest.raises(ValueError, match=said) as error:
        store.add(vectors, rows_of(3))
    assert "\n" not in str(error.value)
    assert len(store) == 0
    assert store.version == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start": 2.0, "end": 4.0}, "row 2: video of r0 from 2.0 to 4.0 s is also row 1"),
        ({"start": 6, "end": 8}, "row 2: video of r0 from 6.0 to 8.0 s is in the store already, as id 0"),
        ({"id": 0}, "row 2: id 0 is in the store already"),
        ({"id": 1}, "row 2: id 1 is also row 0's"),
        ({"id": -1}, "id must be a whole number"),
        ({"id": 2**63}, "id must be a whole number"),
        ({"id": "x"}, "id must be a whole number"),
        ({"start": float("nan")}, "start must be a finite"),
        ({"start": 10**400}, "start must be a finite"),
        ({"end": -(10**400)}, "end must be a finite"),
        ({"start": True}, "start must be a finite"),
        ({"start": 9.0}, "end 6.0 is before start 9.0"),
        ({"modality": "smell"}, "'smell' is not one of the space's: video, audio, text"),
        ({"recording": None}, "recording must be text"),
        ({"path": ""}, "path must be text"),
        ({"path": "\udcff"}, "cannot be written as UTF-8"),
        ({"narraton": "x"}, "unknown key 'narraton'"),
        ({"extra": {"a": {1}}}, "extra must be an object"),
        ({"extra": "a"}, "extra must be an object"),
        ({"extra": {"a": float("inf")}}, "extra must be an object"),
        ({"extra": {"a": 1, 2: 3}}, "extra must be an object"),
        ({"extra": {"a": {"b": 1, 2: 3}}}, "with text as keys"),
        ({"extra": nested(MOST_NESTED + 1)}, "nested at most 100 deep"),
        ({"extra": nested(985)}, "nested at most 100 deep"),
        ({"extra": nested(100_000)}, "nested at most 100 deep"),
    ],
)
def test_wrong_rows_are_refused(store, change, said):
    store.add(vectors_of(1), rows_of(1, first=3))
    rows = rows_of(3)
    rows[2] |= change
    with pytest.raises(ValueError, match=said) as error:
        store.add(vectors_of(3), rows)
    assert "\n" not in str(error.value)
    assert len(store) == 1
    assert store.version == 1


def test_missing_keys_and_odd_rows_are_named(store):
    rows = rows_of(1)
    del rows[0]["modality"]
    with pytest.raises(ValueError, match="row 0: modality is missing"):
        store.add(vectors_of(1), rows)
    with pytest.raises(ValueError, match="row 0: must be an object"):
        store.add(vectors_of(1), [["r0"]])


def test_an_extra_may_be_nested_as_deep_as_is_said(store):
    extra = nested(MOST_NESTED)
    (number,) = store.add(vectors_of(1), [{**rows_of(1)[0], "extra": extra}])
    assert store.rows([number])[0].extra == extra
