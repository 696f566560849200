"""kill -9 at random points: the store opens, verifies, and holds the state before or after a change, never between."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import writer

from retrieval import index
from retrieval.search import search
from retrieval.store import Store

KILLS = int(os.environ.get("RETRIEVAL_KILLS", "10"))


def test_killed_writers_leave_a_whole_state(store):
    seed = int(os.environ.get("RETRIEVAL_SEED", "0")) or int.from_bytes(os.urandom(4), "big")
    print(f"RETRIEVAL_SEED={seed}")  # shown when the test fails, to repeat it
    random = np.random.default_rng(seed)
    number, present, next_id = 0, {}, 0
    for kill in range(KILLS):
        # Every second time at a random call, else at a random moment.
        calls = int(random.integers(1, 60)) if kill % 2 else 0
        words = [sys.executable, writer.__file__, *map(str, (store.directory, seed, number, calls))]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout.readline() == "ready\n"
        if not calls:
            time.sleep(float(random.uniform(0, 0.1)))
            process.kill()
        told = process.communicate()[0].split()
        assert process.returncode == -9, told
        for done in told:
            assert int(done) == number
            present, next_id = writer.after(seed, number, present, next_id)
            number += 1

        with Store.open(store.directory, verify=True) as found:
            ids = set(found.ids().tolist())
            later, later_id = writer.after(seed, number, present, next_id)
            print(f"kill {kill}: {number} changes, {len(ids)} rows")
            if ids != set(present):
                assert ids == set(later)
                present, next_id, number = later, later_id, number + 1
            check_content(found, present)
            writer.change(found, seed, number)
            present, next_id = writer.after(seed, number, present, next_id)
            number += 1
            check_content(found, present)
            names = {path.name for path in Path(store.directory).iterdir()}
            assert names == set(found.manifest["files"]) | {"manifest.json", "lock"}


def check_content(store, present):
    ids = sorted(present)
    assert store.ids().tolist() == ids
    batches = {origin: writer.batch(origin, 12) for origin, _ in present.values()}
    for row, vector in zip(store.rows(ids), store.vectors(ids), strict=True):
        origin, place = present[row.id]
        np.testing.assert_array_equal(vector, batches[origin][0][place])
        assert row.narration == batches[origin][1][place]["narration"]
    covered = [entry["vectors"] for entry in store.manifest["segments"]]
    for entry in store.manifest["indexes"]:
        if entry["segments"] == covered and ids:
            hits = search(store, index.load(store), store.vectors(ids[:1]), k=len(ids) + 5)[0]
            assert sorted(hit.id for hit in hits) == ids
