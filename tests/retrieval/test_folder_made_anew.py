"""A folder whose store is made anew: names of files and versions repeat, what is in them does not."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from made_up import SPACE, rows_of, vectors_of

from retrieval import index
from retrieval.calibration import background
from retrieval.engine import Directory
from retrieval.search import search
from retrieval.serve.collection import Collection
from retrieval.store import Store


def make(directory, seed, first=0):
    """A store of 12 rows with its index, in place of what was there."""
    shutil.rmtree(directory, ignore_errors=True)
    store = Store.create(directory, SPACE)
    store.add(vectors_of(12, seed), rows_of(12, first))
    return store, index.build(store)


def test_an_index_of_another_store_is_refused_though_the_names_are_the_same(tmp_path):
    one, built = make(tmp_path / "one", 1)
    other, _ = make(tmp_path / "other", 2)
    names = [[entry["vectors"] for entry in store.manifest["segments"]] for store in (one, other)]
    assert names[0] == names[1]
    assert one.version == other.version
    with pytest.raises(ValueError, match="has changed since its index was built"):
        search(other, built, vectors_of(1, 2))
    assert search(one, built, vectors_of(1, 1))[0][0].id == 0


def test_a_collection_takes_up_the_index_facets_and_calibration_of_the_new_store(tmp_path):
    make(tmp_path / "s", 1)
    collection = Collection(tmp_path / "s")
    before = collection.now()
    collection.facets(before)
    old = background(before.store, before.loaded)
    shutil.rmtree(tmp_path / "s")
    with Store.create(tmp_path / "s", SPACE) as store:
        store.add(vectors_of(12, 2), rows_of(12, modality="audio"))
        index.build(store)
    view = collection.now()
    assert (view.behind, view.store.version) == ("", before.store.version)
    assert [hits[0].id for hits in search(view.store, view.loaded, vectors_of(12, 2), k=1)] == list(range(12))
    assert collection.facets(view)["modalities"] == {"video": 0, "audio": 12, "text": 0}
    assert background(view.store, before.loaded) is not old
    assert background(view.store, view.loaded) is background(view.store, view.loaded)


def test_what_was_removed_before_is_found_again_in_the_new_store(tmp_path):
    store, _ = make(tmp_path / "s", 1)
    store.remove([3])
    collection = Collection(tmp_path / "s")
    assert len(collection.now().loaded) == 11
    make(tmp_path / "s", 1)
    view = collection.now()
    assert search(view.store, view.loaded, vectors_of(12, 1)[3:4], k=1)[0][0].id == 3


def test_an_engine_indexes_the_new_store_when_it_sees_it(tmp_path):
    engine = Directory(make(tmp_path / "s", 1)[0])
    engine.search(vectors_of(1, 1))
    make(tmp_path / "s", 2)
    engine.store.refresh()
    found = engine.search(vectors_of(12, 2), k=1)
    np.testing.assert_array_equal([hits[0].id for hits in found], np.arange(12))


@pytest.mark.parametrize("other", [{"digest": "f" * 16}, {"width": 16}])
def test_a_store_of_another_space_is_told_and_not_taken_up(tmp_path, other):
    make(tmp_path / "s", 1)
    collection = Collection(tmp_path / "s")
    collection.keep_to(SPACE)
    shutil.rmtree(tmp_path / "s")
    space = replace(SPACE, **other)
    with Store.create(tmp_path / "s", space) as store:
        store.add(np.eye(12, space.width) + 1, rows_of(12))
        index.build(store)
    view = collection.now()
    assert view.store.space == SPACE
    assert "embed again with the same run" in view.behind
    assert "\n" not in view.behind
    assert search(view.store, view.loaded, vectors_of(1, 1))[0][0].id == 0
    make(tmp_path / "s", 2)
    assert collection.now().behind == ""
    with Store.open(tmp_path / "s") as store, pytest.raises(ValueError, match="embed again"):
        Collection(store.directory).keep_to(space)
