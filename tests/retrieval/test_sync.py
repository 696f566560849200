"""A store follows a changing set of recordings; kills in between are in test_crash.py."""

import numpy as np
import pytest
from collection import embedder, listed, random_changes, rows_for, state_of, vectors_for
from made_up import SPACE

from retrieval.store import Store
from retrieval.sync import Counts, Made, Wanted, plan, sync
from retrieval.sync_rows import sync_rows


def counts(new=0, changed=0, renamed=0, deleted=0, unchanged=0, empty=0):
    return Counts(new, changed, renamed, deleted, unchanged, empty)


def test_new_changed_renamed_and_deleted_recordings(store):
    asked = []
    embed = embedder(asked)
    assert sync(store, listed(a="1", b="2", c="3", d="4"), embed) == counts(new=4)
    assert asked == ["a", "b", "c", "d"]
    before = {row.recording: row for row in store.rows(store.ids())}
    vectors = store.manifest["segments"][0]["vectors"]

    wanted = listed(a="1", b="changed", moved="3", e="5")
    told = plan(store, wanted)
    assert ([r.key for r in told.new], [r.key for r in told.changed]) == (["e"], ["b"])
    assert (dict(told.renamed), told.deleted, told.unchanged) == ({"c": wanted[2]}, ("d",), 1)
    asked.clear()
    assert sync(store, wanted, embed) == counts(new=1, changed=1, renamed=1, deleted=1, unchanged=1)
    assert asked == ["b", "e"]
    assert state_of(store) == {r.key: (r.path, r.content) for r in wanted}
    after = {row.recording: row for row in store.rows(store.ids())}
    assert after["a"] == before["a"]
    assert after["moved"].id == before["c"].id
    assert after["moved"].path == "films/moved.mp4"
    # What was only renamed keeps its file of vectors, and with it its index.
    assert vectors in [entry["vectors"] for entry in store.manifest["segments"]] or len(store.manifest["segments"]) == 1

    asked.clear()
    version = store.version
    assert sync(store, wanted, embed) == counts(unchanged=4)
    assert (asked, store.version) == ([], version)
    assert store.verify() == []


def test_a_rename_alone_leaves_vectors_and_ids_as_they_are(store):
    sync(store, listed(a="1", b="2"), embedder([]))
    ids, entry = store.ids(), store.manifest["segments"][0]
    wanted = [Wanted("a", "elsewhere/a.mp4", "1"), Wanted("c", "films/c.mp4", "2")]
    assert sync(store, wanted, embedder([])) == counts(renamed=2)
    later = store.manifest["segments"][0]
    assert (later["vectors"], later["ids"]) == (entry["vectors"], entry["ids"])
    np.testing.assert_array_equal(store.ids(), ids)
    assert state_of(store) == {"a": ("elsewhere/a.mp4", "1"), "c": ("films/c.mp4", "2")}
    assert store.ids("recording = 'b'").tolist() == []
    np.testing.assert_array_equal(store.vectors(store.ids_of(["c"])), vectors_for("2"))


@pytest.mark.parametrize(
    ("wanted", "asked", "expected"),
    [
        ({"a": "2", "b": "1"}, [], counts(renamed=2, deleted=1)),  # two files swapped names, the third is gone
        ({"b": "1"}, [], counts(renamed=1, deleted=1)),  # one file took the place of another
        ({"b": "1", "a": "new"}, ["a"], counts(renamed=1, changed=1, deleted=1)),
        ({"a": "3", "b": "1", "c": "2"}, [], counts(renamed=3)),  # in a circle
        ({"x": "1", "y": "1", "z": "1"}, ["y", "z"], counts(new=2, renamed=1, deleted=2)),  # copies
        ({"a": "1", "b": "1", "c": "1"}, ["b", "c"], counts(unchanged=1, changed=2)),
    ],
)
def test_names_that_change_hands(store, wanted, asked, expected):
    sync(store, listed(a="1", b="2", c="3"), embedder([]))
    seen = []
    found = sync(store, listed(**wanted), embedder(seen))
    assert (found, seen) == (expected, asked)
    assert state_of(store) == {r.key: (r.path, r.content) for r in listed(**wanted)}
    for name, content in wanted.items():
        np.testing.assert_array_equal(store.vectors(store.ids_of([name])), vectors_for(content))


@pytest.mark.parametrize("commit_vectors", [1, 9, 10000])
def test_interrupted_anywhere_it_ends_the_same(tmp_path, commit_vectors):
    """Whatever the embedding reached, the next sync ends in the rows, ids and vectors that one sync makes."""

    class Stop(Exception):
        pass

    def breaking(after):
        def embed(recordings):
            for number, made in enumerate(embedder([])(recordings)):
                if number == after:
                    raise Stop
                yield made

        return embed

    for seed in range(3):
        goals = random_changes(seed, 3)
        whole = Store.create(tmp_path / f"whole-{seed}", SPACE)
        for goal in goals:
            sync(whole, goal, embedder([]), commit_vectors=commit_vectors, allow_empty=True)
        broken = Store.create(tmp_path / f"broken-{seed}", SPACE)
        for goal in goals:
            for after in range(4):
                try:
                    sync(broken, goal, breaking(after), commit_vectors=commit_vectors, allow_empty=True)
                except Stop:
                    continue
            sync(broken, goal, embedder([]), commit_vectors=commit_vectors, allow_empty=True)
        assert state_of(broken) == {r.key: (r.path, r.content) for r in goals[-1]}
        assert broken.rows(broken.ids()) == whole.rows(whole.ids())
        np.testing.assert_array_equal(broken.vectors(broken.ids()), whole.vectors(whole.ids()))


def test_what_gives_no_vectors_is_not_held_and_asked_for_again(store):
    sync(store, listed(a="1", b="2"), embedder([]))
    asked = []
    assert sync(store, listed(a="1", b="broken", c="broken"), embedder(asked)) == counts(unchanged=1, empty=2)
    assert state_of(store) == {"a": ("films/a.mp4", "1")}
    assert "2 without vectors" in str(sync(store, listed(a="1", b="broken", c="broken"), embedder(asked)))
    assert asked == ["b", "c"] * 2


def test_mistakes_are_one_line_and_change_nothing(store):
    sync(store, listed(a="1"), embedder([]))
    version = store.version

    def refused(said, wanted, embed):
        with pytest.raises(ValueError, match=said) as error:
            sync(store, wanted, embed)
        assert "\n" not in str(error.value)
        assert store.version == version

    new, made = listed(a="1", b="2"), next(iter(embedder([])(listed(b="2"))))
    refused("would delete all 3 vectors", [], embedder([]))
    refused("wanted twice", [*new, *new], embedder([]))
    refused("hash", [Wanted("a", "a", "")], embedder([]))
    refused("not asked for", new, lambda _: [made._replace(key="z")])
    refused("twice", new, lambda _: [made, made])
    refused("'b' has 1 vectors and 3 rows", new, lambda _: [made._replace(vectors=made.vectors[:1])])
    refused(r"recording 'b': new vectors must be shaped", new, lambda _: [made._replace(vectors=np.ones((3, 2)))])
    refused("wanted is", new, lambda _: [made._replace(rows=rows_for("b", "other"))])
    refused("without an id", new, lambda _: [made._replace(rows=[row | {"id": 1} for row in made.rows])])
    assert sync(store, [], embedder([]), allow_empty=True) == counts(deleted=1)
    assert len(store) == 0


def given(**contents):
    rows = [row for name, content in contents.items() for row in rows_for(name, content)]
    return np.concatenate([vectors_for(content) for content in contents.values()]), rows


def test_rows_made_elsewhere(store):
    assert sync_rows(store, [given(a="1", b="2"), given(c="3")]) == counts(new=3)
    assert sync_rows(store, [given(a="1", b="2"), given(c="3")]) == counts(unchanged=3)
    # The words of a recording may change while its media file does not.
    vectors, rows = given(a="1", b="2", z="3")
    rows[4] = rows[4] | {"narration": "other words"}
    assert sync_rows(store, [(vectors, rows)]) == counts(changed=1, renamed=1, unchanged=1)
    assert store.ids("narration = 'other words'").tolist() == [10]
    rows[0] = rows[0] | {"start": -0.0, "extra": {"a": [1, 0.1], "ü": None}}
    assert sync_rows(store, [(vectors, rows)]) == counts(changed=1, unchanged=2)
    assert sync_rows(store, [(vectors, rows)]) == counts(unchanged=3)
    # Only what is new is at hand; what is stale is not taken.
    assert sync_rows(store, [given(n="9", z="stale")], listed(a="1", n="9", z="4")) == counts(
        new=1, unchanged=1, deleted=1, empty=1
    )
    assert set(state_of(store)) == {"a", "n"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": 3}, "gives ids itself"),
        ({"content": "x"}, "disagree about its path or its content"),
        ({"modality": "smell"}, "row 1: modality 'smell'"),
    ],
)
def test_wrong_rows_made_elsewhere(store, change, said):
    vectors, rows = given(a="1")
    with pytest.raises(ValueError, match=said):
        sync_rows(store, [(vectors, [rows[0], rows[1] | change, rows[2]])])
    with pytest.raises(ValueError, match="3 vectors and 2 rows"):
        sync_rows(store, [(vectors, rows[1:])])
    assert store.version == 0


def test_vectors_that_came_before_a_mistake_stay_and_are_not_asked_for_again(store):
    def half(recordings):
        made = list(embedder([])(recordings))
        return [*made[:2], Made("z", *made[2][1:])]

    with pytest.raises(ValueError, match="not asked for"):
        sync(store, listed(a="1", b="2", c="3"), half, commit_vectors=1)
    assert set(state_of(store)) == {"a", "b"}
    asked = []
    assert sync(store, listed(a="1", b="2", c="3"), embedder(asked)) == counts(new=1, unchanged=2)
    assert asked == ["c"]
