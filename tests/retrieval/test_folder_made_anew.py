"""A folder whose store is made anew: names of files and versions repeat, what is in them does not."""

import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
from made_up import SPACE, rows_of, vectors_of

from retrieval import index
from retrieval.calibration import background
from retrieval.columns import Columns, write_columns
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


def test_the_same_vectors_of_other_modalities_are_another_store(tmp_path):
    one, built = make(tmp_path / "one", 1)
    with Store.create(tmp_path / "other", SPACE) as other:
        other.add(vectors_of(12, 1), rows_of(5) + rows_of(7, 5, modality="audio"))
        index.build(other)
        assert other.ids().tolist() == one.ids().tolist()
        with pytest.raises(ValueError, match="has changed since its index was built"):
            search(other, built, vectors_of(1, 1))
        assert len(search(other, index.load(other), vectors_of(1, 1), k=12, modality="audio")[0]) == 7
    with Store.create(tmp_path / "third", SPACE) as third:
        third.add(vectors_of(12, 1), rows_of(12, modality="audio"))
        index.build(third)
        third.add(vectors_of(1, 2), rows_of(1, 12, modality="audio"))
        with pytest.raises(ValueError, match="load it again"):
            index.extend(third, built)


@pytest.mark.parametrize("names", [("video", "audio", "text"), ("v", "vi", "é", "video")])
def test_modalities_are_compared_whatever_recordings_are_called(names):
    rng = np.random.default_rng(0)
    modalities = [str(name) for name in rng.choice(names, 40)]

    def told(modalities, names):
        file = io.BytesIO()
        rows = zip(names, modalities, strict=True)
        write_columns(file, [(0, name, name, "", 0.0, 1.0, modality, "é", "{}") for name, modality in rows])
        return Columns(file.getvalue()).modalities()

    same = {told(modalities, [f"r{number // size}" for number in range(40)]) for size in (1, 3, 40)}
    assert len(same) == 1
    for place in (0, 17, 39):
        for name in set(names) - {modalities[place]}:
            other = [*modalities[:place], name, *modalities[place + 1 :]]
            assert told(other, ["r"] * 40) not in same


def test_an_index_stays_when_recordings_are_renamed(tmp_path):
    store, built = make(tmp_path / "s", 1)
    store.rename({"r0": ("new", "new.mp4")})
    assert search(store, built, vectors_of(1, 1))[0][0].recording == "new"


def test_a_row_that_was_gone_when_the_index_was_built_is_not_lost_in_a_store_that_has_it(tmp_path):
    """Whether it was removed before the index was built or after: with as many rows or not."""
    store, _ = make(tmp_path / "s", 1)
    store.remove([3])
    for loaded in (index.load(store), index.build(store)):
        other, _ = make(tmp_path / "other", 1)
        with pytest.raises(ValueError, match="has changed since its index was built"):
            search(other, loaded, vectors_of(12, 1)[3:4], k=1)
        other.remove([5])
        with pytest.raises(ValueError, match="has changed since its index was built"):
            search(other, loaded, vectors_of(12, 1)[3:4], k=1)
        other.remove([3])
        assert {hit.id for hit in search(other, loaded, vectors_of(1, 1), k=12)[0]} == set(range(12)) - {3, 5}


@pytest.mark.parametrize("kind", ["exact", "ivf-sq8", "ivf-disk"])
def test_the_index_of_another_store_is_not_extended(tmp_path, kind):
    """Also where it has as many vectors under the same ids."""
    stores = []
    for seed in (1, 2):
        store = Store.create(tmp_path / str(seed), SPACE)
        store.add(vectors_of(200, seed), rows_of(200))
        stores.append((store, index.build(store, kind, flat_below=50)))
    (one, built), (other, others) = stores
    for store, _ in stores:
        store.add(vectors_of(4, 9), rows_of(4, 200))
    with pytest.raises(ValueError, match=rf"not the {kind} index of {other.directory}.*load it again") as told:
        index.extend(other, built)
    assert "\n" not in str(told.value)
    assert index.extend(other, others).parts[0].structure is others.parts[0].structure
    assert search(other, index.load(other), vectors_of(1, 2))[0][0].id == 0
    assert len(index.extend(one, built)) == 204
    index.build(one, kind, flat_below=50)
    with pytest.raises(ValueError, match="built anew since: load it again"):
        index.extend(one, built)


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_as_many_rows_come_as_went(tmp_path, compact, own):
    """The count says nothing; the index must not pass for one of the new rows."""
    store, built = make(tmp_path / "s", 1)
    built = index.extend(store, built)
    store.remove([2, 3])
    if compact:
        store.compact()
    rows = rows_of(2, 50)
    if own and compact:
        rows = [row | {"id": number} for row, number in zip(rows, (3, 2), strict=True)]
    new = store.add(vectors_of(2, 7), rows)
    assert len(store) == len(built)
    with pytest.raises(ValueError, match="has changed since its index was built"):
        index.load(store)
    with pytest.raises(ValueError, match="has changed since its index was built"):
        search(store, built, vectors_of(2, 7))
    for found in (index.extend(store, built), index.load(store), index.update(store)[0]):
        assert [hits[0].id for hits in search(store, found, vectors_of(2, 7), k=1)] == new.tolist()
        assert {hit.id for hit in search(store, found, vectors_of(1, 1), k=20)[0]} == set(store.ids().tolist())


def test_a_segment_that_is_written_again_as_it_was_may_keep_its_opened_files(tmp_path):
    """Compacting away a segment of removed rows writes the other's bytes under new names; open files go by bytes."""
    with Store.create(tmp_path / "s", SPACE) as store:
        store.add(vectors_of(12), rows_of(12))
        store.add(vectors_of(3, 5), rows_of(3, 12))
        before = {entry["vectors"] for entry in store.manifest["segments"]}
        assert len(before) == 2
        store.remove(np.array([12, 13, 14]))
        store.compact()
        assert not before & {entry["vectors"] for entry in store.manifest["segments"]}
        with Store.open(tmp_path / "s") as opened:
            assert store.held == opened.held
        built = index.build(store)
        assert built.covered == store.held
        assert search(store, built, vectors_of(12)[3:4])[0][0].id == 3
