"""kill -9 and a full disk at random points: the store opens, verifies, and holds the state before or after a change."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import writer
from collection import embedder, random_changes, state_of
from faults import seeded, trials
from made_up import SPACE, cells_of_row

from retrieval import index
from retrieval.kinds import flat
from retrieval.parts import write_structure
from retrieval.regions import Regions
from retrieval.search import search
from retrieval.store import Store
from retrieval.sync import sync


@pytest.fixture(scope="module")
def children():
    with writer.Children() as started:
        yield started


def killed(children, random, directory, what, seed, number, kill):
    """Let a child work and die, every second time before a random call, else at a random moment. What it told."""
    calls = int(random.integers(1, 60)) if kill % 2 else 0
    child = children.start(directory, what, seed, number, calls)
    if not calls:
        time.sleep(float(random.uniform(0, 0.15)))
        os.kill(child, signal.SIGKILL)
    told, code = children.end()
    assert code == -signal.SIGKILL, told
    return [int(line.removeprefix("done ")) for line in told]


def test_killed_writers_leave_a_whole_state(store, children):
    random, seed = seeded("kills in add, remove, compact, build, extend")
    number, present, next_id = 0, {}, 0
    for kill in range(trials(6, 70)):
        for done in killed(children, random, store.directory, "change", seed, number, kill):
            assert done == number
            present, next_id = writer.after(seed, number, present, next_id)
            number += 1
        with Store.open(store.directory, verify=True) as found:
            number, present, next_id = settled(found, seed, number, present, next_id)
            writer.change(found, seed, number)
            present, next_id = writer.after(seed, number, present, next_id)
            number += 1
            check_content(found, present)
            check_no_litter(found)


def test_a_full_disk_leaves_a_whole_state(store, children):
    """No file can grow beyond a limit, which is somewhere in the sizes of the files that are written."""
    random, seed = seeded("full disks")
    number, present, next_id, full = 0, {}, 0, 0
    for _ in range(trials(3, 80)):
        children.start(store.directory, "change", seed, number, limit=int(10 ** random.uniform(0, 4.6)))
        told, code = children.end()
        assert code == 0, told
        for line in told:
            if line.startswith("full "):
                full += 1
                break
            assert line == f"done {number}"
            present, next_id = writer.after(seed, number, present, next_id)
            number += 1
        with Store.open(store.directory, verify=True) as found:
            assert set(found.ids().tolist()) == set(present)
            check_content(found, present)
            writer.change(found, seed, number)
            present, next_id = writer.after(seed, number, present, next_id)
            number += 1
            check_content(found, present)
            check_no_litter(found)
            if len(present) > 400:
                found.remove(found.ids())
                present = {}
    assert full


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, a disk that is always full")
def test_an_index_that_does_not_fit_is_no_index():
    """FAISS's own writer says nothing when the last bytes do not fit."""
    with pytest.raises(OSError, match="No space left"):
        write_structure(flat(8), Path("/dev/full"))


def settled(found, seed, number, present, next_id):
    """The change that was under way has happened or not: which of the two, or neither?"""
    ids = set(found.ids().tolist())
    if ids != set(present):
        present, next_id = writer.after(seed, number, present, next_id)
        number += 1
    assert ids == set(present)
    check_content(found, present)
    return number, present, next_id


def check_content(store, present):
    ids = sorted(present)
    assert store.ids().tolist() == ids
    batches = {origin: writer.batch(origin, 12) for origin, _ in present.values()}
    for row, vector in zip(store.rows(ids), store.vectors(ids), strict=True):
        origin, place = present[row.id]
        np.testing.assert_array_equal(vector, batches[origin][0][place])
        assert row.narration == batches[origin][1][place]["narration"]
    # Regions are of rows that are there, whole, and of no one else's picture.
    maps = Regions(store).maps(ids, np.ones(5))
    assert set(maps) == Regions(store).ids() <= set(ids)
    for identity, found in maps.items():
        np.testing.assert_allclose(found, cells_of_row(identity).sum(axis=2), atol=0.15)
    for entry in store.manifest["indexes"]:
        try:
            built = index.load(store, entry["kind"])
        except ValueError as error:
            assert "has changed since its index was built" in str(error)  # noqa: PT017
            continue
        if ids:
            hits = search(store, built, store.vectors(ids[:1]), k=len(ids) + 5)[0]
            assert sorted(hit.id for hit in hits) == ids


def check_no_litter(store):
    names = {path.name for path in Path(store.directory).iterdir()}
    assert names == set(store.manifest["files"]) | {"manifest.json", "lock"}


def test_a_killed_sync_is_finished_by_the_next(store, children, tmp_path):
    random, seed = seeded("kills in sync")
    whole = Store.create(tmp_path / "whole", SPACE)
    goals, number, reached = random_changes(seed, writer.GOALS), 0, 0
    for kill in range(trials(4, 50)):
        done = killed(children, random, store.directory, "follow", seed, number, kill)
        number += len(done)
        while reached < number:
            writer.follow(whole, seed, reached)
            reached += 1
        before, goal = state_of(whole), {r.key: (r.path, r.content) for r in goals[number]}
        with Store.open(store.directory, verify=True) as found:
            held = state_of(found)
            # Under each name what was there or what shall be; nothing is missing but what moved to another name.
            assert all(told in (before.get(name), goal.get(name)) for name, told in held.items())
            contents = {content for _, content in held.values()}
            assert all(name in held or before[name][1] in contents for name in before if name in goal)
            sync(found, goals[number], embedder([]), commit_vectors=4, allow_empty=True)
            writer.follow(whole, seed, number)
            number, reached = number + 1, reached + 1
            assert state_of(found) == goal
            assert found.rows(found.ids()) == whole.rows(whole.ids())
            np.testing.assert_array_equal(found.vectors(found.ids()), whole.vectors(whole.ids()))
            check_no_litter(found)
