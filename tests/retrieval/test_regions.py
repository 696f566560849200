"""Regions: maps from the index are the localizer's inner products, boxes say where, files obey the store's rules."""

import itertools
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from collection import embedder, listed
from made_up import SPACE, WIDTH, rows_of, vectors_of

from retrieval import index
from retrieval.boxes import box_of
from retrieval.regionfile import RegionFile, write_regions
from retrieval.regions import Regions, add_regions, carry_regions, locate
from retrieval.search import search
from retrieval.state import damage
from retrieval.store import Store
from retrieval.sync import sync


def cells_of(count, seed=0, height=3, width=4, full=40, rank=6):
    """Cells of a picture lie in few directions, as a network's do."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(99).standard_normal((rank, full))
    return (random.standard_normal((count, height, width, rank)) @ directions).astype(np.float32)


@pytest.mark.parametrize("parts", [[7], [1, 3, 2, 1]])
def test_maps_are_inner_products(store, parts):
    ids = store.add(vectors_of(7), rows_of(7))
    cells = cells_of(7)
    cuts = np.cumsum([0, *parts])
    add_regions(store, ((ids[a:b], cells[a:b]) for a, b in itertools.pairwise(cuts)), components=6)
    query = np.random.default_rng(3).standard_normal(40)
    exact = cells.astype(float) @ query
    found = Regions(store).maps([int(ids[4]), int(ids[0]), 99], query)
    assert set(found) == {ids[0], ids[4]}
    for place in (0, 4):
        assert found[int(ids[place])].shape == (3, 4)
        # Six directions hold all of the cells; what is lost is the rounding to bytes.
        assert abs(found[int(ids[place])] - exact[place]).max() < 0.02 * abs(exact).max()


def test_a_map_is_fine_however_flat_it_is(store):
    ids = store.add(vectors_of(1), rows_of(1))
    cells = 0.01 * cells_of(1)
    add_regions(store, [(ids, cells + 100 * cells_of(1, 5)[0, 0, 0])])  # what all cells share is much larger
    query = np.random.default_rng(3).standard_normal(40)
    found = Regions(store).maps(ids, query)[int(ids[0])]
    exact = (cells[0].astype(float)) @ query
    assert abs((found - found.mean()) - (exact - exact.mean())).max() < 0.02 * np.ptp(exact)


def test_few_components_keep_what_matters_most(tmp_path):
    cells = cells_of(20, rank=40) * np.linspace(3, 0.01, 40, dtype=np.float32)
    query = np.random.default_rng(3).standard_normal(40)
    errors, sizes = [], []
    for components in (4, 16, 40):
        write_regions(tmp_path / f"{components}.sqlite", [(range(20), cells)], components)
        found = RegionFile(tmp_path / f"{components}.sqlite").maps(range(20), query)
        errors.append(max(abs(found[n] - cells[n].astype(float) @ query).max() for n in range(20)))
        sizes.append((tmp_path / f"{components}.sqlite").stat().st_size)
    assert errors[0] > errors[1] > errors[2]
    assert sizes[0] < sizes[2]


def test_a_store_lists_hashes_and_keeps_its_regions(store):
    ids = store.add(vectors_of(4), rows_of(4))
    assert not Regions(store)
    add_regions(store, [(ids[:2], cells_of(2))])
    add_regions(store, [(ids[2:], cells_of(2, 1))])
    names = [entry["file"] for entry in store.sides("regions")]
    assert len(names) == 2
    query = np.ones(40)
    before = Regions(store).maps(ids, query)
    assert set(before) == set(ids.tolist())
    store.add(vectors_of(1, 8), rows_of(1, first=9))
    store.compact()
    with Store.open(store.directory, verify=True) as reopened:
        after = Regions(reopened).maps(ids, query)
    assert all(np.array_equal(after[i], before[i]) for i in ids.tolist())
    path = store.directory / names[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert damage(store.directory) == [f"{path} is damaged: its content is not what was written"]
    with pytest.raises(ValueError, match="is damaged"):
        Regions(store)
    path.unlink()
    with pytest.raises(ValueError, match="is missing"):
        Regions(store)


@pytest.mark.parametrize("compact_first", [False, True])
def test_rows_that_go_take_their_regions_with_them(store, compact_first):
    ids = store.add(vectors_of(6), rows_of(6))
    cells, query = cells_of(6), np.ones(40)
    add_regions(store, [(ids[:4], cells[:4])])
    add_regions(store, [(ids[4:], cells[4:])])
    before = Regions(store).maps(ids, query)
    store.remove(ids[1:2])
    store.remove(ids[4:])
    left = [0, 2, 3]
    assert Regions(store).ids() == set(left)
    assert set(Regions(store).maps(ids, query)) == set(left)
    if compact_first:
        store.compact()
        (entry,) = store.sides("regions")  # the other file has nothing left
        with closing(RegionFile(store.directory / entry["file"])) as file:
            assert file.ids() == left
        assert "gone" not in entry
        with Store.open(store.directory, verify=True) as reopened:
            after = Regions(reopened).maps(ids, query)
        assert all(np.array_equal(after[i], before[i]) for i in left)
    else:
        store.add(vectors_of(7, 3), rows_of(7, first=10))  # joins both into one segment, without what was removed
        assert all("gone" in entry for entry in store.sides("regions"))
    # Rows under the ids that became free know nothing of those who had them.
    store.add(vectors_of(3, 8), [{**row, "id": i} for i, row in zip((1, 4, 99), rows_of(3, first=20), strict=True)])
    assert Regions(store).ids() == set(left)
    add_regions(store, [([1, 4], cells[:2])])
    assert Regions(store).ids() == {*left, 1, 4}
    assert np.array_equal(Regions(store).maps([1], query)[1].shape, (3, 4))
    store.compact()
    assert not any("gone" in entry for entry in store.sides("regions"))
    assert Regions(store).ids() == {*left, 1, 4}


def test_a_damaged_file_of_regions_is_not_rewritten_as_good(store):
    ids = store.add(vectors_of(4), rows_of(4))
    add_regions(store, [(ids, cells_of(4))])
    path = store.directory / store.sides("regions")[0]["file"]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    store.remove(ids[:1])
    version = store.version
    with pytest.raises(ValueError, match="is damaged"):
        store.compact()
    assert store.version == version
    assert not list(store.directory.glob(".tmp-*"))


def test_a_sync_takes_regions_along_and_away(store):
    add = embedder([])
    sync(store, listed(a="1", b="2"), add)
    ids = store.ids()
    add_regions(store, [(ids, cells_of(len(ids)))])
    sync(store, listed(z="1", b="3"), add)  # a is now called z, b has changed
    renamed, changed = store.ids_of(["z"]), store.ids_of(["b"])
    assert Regions(store).ids() == set(renamed.tolist())
    store.compact()
    assert Regions(store).ids() == set(renamed.tolist())
    assert not Regions(store).maps(changed, np.ones(40))


def test_regions_are_carried_to_the_same_windows_of_another_store(store, tmp_path):
    told = [{**row, "content": f"c{number // 4}"} for number, row in enumerate(rows_of(8))]
    ids = store.add(vectors_of(8), told)
    add_regions(store, [(ids[:2], cells_of(2)), (ids[2:6], cells_of(4, 1))])
    add_regions(store, [(ids[6:], cells_of(2, 2))])
    store.remove(ids[:1])
    query = np.ones(40)
    before = Regions(store).maps(ids, query)
    with Store.create(tmp_path / "other", SPACE) as other:
        rows = [{**row, "recording": f"new {row['recording']}", "path": "moved.mp4"} for row in told[::-1][:5]]
        rows[0]["start"] += 0.5  # other seconds are another window
        fresh = other.add(vectors_of(5)[::-1], [*rows, *rows_of(1, first=40)][:5])
        assert carry_regions(store, other) == 4
        found = Regions(other).maps(fresh, query)
    assert sorted(found) == fresh[1:].tolist()
    for place in range(1, 5):
        np.testing.assert_array_equal(found[int(fresh[place])], before[int(ids[7 - place])])
    stranger = Store.create(tmp_path / "stranger", replace(SPACE, digest="other"))
    with pytest.raises(ValueError, match="embed again"):
        carry_regions(store, stranger)


def test_a_hit_gets_its_box(store):
    spans = [("a", 0.0, 2.0), ("a", 2.0, 4.0), ("b", 0.0, 2.0)]
    rows = [{"recording": r, "path": r, "start": s, "end": e, "modality": "video"} for r, s, e in spans]
    ids = store.add(vectors_of(3), rows)
    sounds = store.add(vectors_of(2, 1), [{**rows[1], "modality": "audio"}, {**rows[2], "modality": "audio"}])
    cells = np.zeros((2, 2, 4, 5), np.float32)
    cells[0, 0, 1, 0], cells[1, 1, 3, 0] = 1.0, 0.5
    add_regions(store, [(ids[:2], cells)])
    built, regions = index.build(store), Regions(store)
    hits = search(store, built, vectors_of(1, 5), k=5)[0]
    found = {hit.id: hit.box for hit in locate(store, regions, hits, np.eye(1, 5)[0])}
    first, second = (0.25, 0.0, 0.5, 0.5), (0.75, 0.5, 1.0, 1.0)
    assert found == {ids[0]: first, ids[1]: second, ids[2]: None, sounds[0]: second, sounds[1]: None}
    sure = {hit.id: hit.box for hit in locate(store, regions, hits, np.eye(1, 5)[0], threshold=0.75)}
    assert sure == dict.fromkeys(found) | {ids[0]: first}
    # Of several, such as the windows of a sound, the best counts for each hit: their mean would reach no threshold.
    several = [np.eye(1, 5, k)[0] for k in range(4)]
    assert {hit.id: hit.box for hit in locate(store, regions, hits, several, threshold=0.75)} == sure
    assert {hit.id: hit.box for hit in locate(store, regions, hits, several)} == found
    assert not any(hit.box for hit in locate(store, regions, hits, np.mean(several, axis=0), threshold=0.75))


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ([], "no windows"),
        ([([0], np.ones((1, 2, 2)))], r"must be \[windows, height, width, components\]"),
        ([([0], cells_of(1)), ([1], cells_of(1, width=5))], "of one shape"),
        ([([0], np.full((1, 2, 2, 4), np.nan))], "finite"),
        ([([0], cells_of(1)), ([0], cells_of(1))], "one id"),
    ],
)
def test_what_is_no_region_is_told_and_changes_nothing(store, blocks, said):
    store.add(vectors_of(2), rows_of(2))
    before = store.version
    with pytest.raises(ValueError, match=said) as error:
        add_regions(store, blocks)
    assert "\n" not in str(error.value)
    assert store.version == before
    assert not store.sides("regions")
    assert not list(store.directory.glob(".tmp-*"))


def test_a_query_of_another_width_and_a_file_of_another_kind(store, tmp_path):
    ids = store.add(vectors_of(1), rows_of(1))
    add_regions(store, [(ids, cells_of(1))])
    with pytest.raises(ValueError, match="cells of width 40, the query has shape"):
        Regions(store).maps(ids, np.ones(WIDTH))
    (tmp_path / "no.sqlite").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no file of regions"):
        RegionFile(tmp_path / "no.sqlite")


def test_a_silent_picture_has_a_flat_map(store):
    ids = store.add(vectors_of(1), rows_of(1))
    add_regions(store, [(ids, np.zeros((1, 2, 2, 5), np.float32))])
    assert Regions(store).maps(ids, np.ones(5))[int(ids[0])].tolist() == [[0, 0], [0, 0]]


def test_boxes_by_hand():
    scores = np.zeros((4, 5))
    scores[1, 1:3] = [0.9, 1.0]
    scores[2, 2] = 0.6
    scores[2, 1] = 0.4  # below half way
    scores[3, 4] = 0.95  # as good, but not joined to the best
    assert box_of(scores) == ((1 / 5, 1 / 4, 3 / 5, 3 / 4), 1.0)
    assert box_of(scores, 0.97).box == (2 / 5, 1 / 4, 3 / 5, 2 / 4)
    assert box_of(scores, 0.3).box == (1 / 5, 1 / 4, 3 / 5, 3 / 4)
    assert box_of(scores, 5.0) is None
    assert box_of(np.full((2, 3), 0.5)) == ((0, 0, 1, 1), 0.5)
    assert box_of(10 * scores - 3).box == box_of(scores).box
    with pytest.raises(ValueError, match="finite"):
        box_of(np.array([[np.nan, 1.0]]))


def test_boxes_reach_the_edges():
    scores = np.zeros((3, 3))
    scores[0, 0] = 1.0
    assert box_of(scores).box == (0, 0, 1 / 3, 1 / 3)
    assert box_of(scores[::-1, ::-1]).box == (2 / 3, 2 / 3, 1, 1)
