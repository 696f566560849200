"""What a store holds, refuses, and notices; crashes are in test_crash.py."""

import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from made_up import SPACE, WIDTH, rows_of, vectors_of

from retrieval import index
from retrieval.files import writer_lock
from retrieval.manifest import from_runs, to_runs
from retrieval.store import Store


def test_what_goes_in_comes_out(store):
    vectors = vectors_of(10)
    rows = rows_of(10)
    rows[3] |= {
        "path": "vidéos/наш дом 家.mp4",
        "narration": "zwölf Glöckchen 🔔 'quoted'; --",
        "content": "beef",
        "extra": {"ü": [1, None]},
    }
    ids = store.add(vectors, rows)
    assert ids.tolist() == list(range(10))
    again = Store.open(store.directory)
    found = again.rows([3, 9, 0])
    assert [row.id for row in found] == [3, 9, 0]
    assert (found[0].path, found[0].narration, found[0].content) == (rows[3]["path"], rows[3]["narration"], "beef")
    assert found[0].extra == {"ü": [1, None]}
    assert (found[1].recording, found[1].start, found[1].end) == ("r2", 2.0, 4.0)
    np.testing.assert_array_equal(again.vectors([7, 2]), vectors[[7, 2]])
    assert again.space == SPACE


def test_many_small_adds_leave_few_segments(store):
    vectors, rows = vectors_of(40), rows_of(40)
    for number in range(40):
        store.add(vectors[number : number + 1], rows[number : number + 1])
    assert len(store) == 40
    assert len(store.manifest["segments"]) <= 6
    np.testing.assert_array_equal(store.vectors(range(40)), vectors)
    assert [row.narration for row in store.rows(range(40))] == [row["narration"] for row in rows]
    blocks = list(store.blocks())
    order = np.argsort(np.concatenate([ids for ids, _ in blocks]))
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks])[order], vectors)
    data = [path for path in store.directory.iterdir() if path.suffix in (".npy", ".sqlite")]
    assert len(data) == 2 * len(store.manifest["segments"])


def test_own_ids_in_any_order(store):
    vectors, rows = vectors_of(3), rows_of(3)
    for row, identity in zip(rows, (90, 5, 2**40), strict=True):
        row["id"] = identity
    assert store.add(vectors, rows).tolist() == [90, 5, 2**40]
    np.testing.assert_array_equal(store.vectors([5, 90]), vectors[[1, 0]])
    assert store.add(vectors_of(1, seed=1), rows_of(1, first=8)).tolist() == [2**40 + 1]
    np.testing.assert_array_equal(store.vectors([5, 90, 2**40]), vectors[[1, 0, 2]])


def test_remove_and_compact(store):
    vectors = vectors_of(12)
    store.add(vectors[:8], rows_of(8))
    store.add(vectors[8:], rows_of(4, first=8))
    assert store.remove([1, 2, 9, 9]) == 3
    assert len(store) == 9
    assert store.ids().tolist() == [0, 3, 4, 5, 6, 7, 8, 10, 11]
    for gone in ([1], [77]):
        with pytest.raises(ValueError, match=f"holds no id {gone[0]}"):
            store.remove(gone)
        with pytest.raises(ValueError, match=f"holds no id {gone[0]}"):
            store.rows([0, *gone])
        with pytest.raises(ValueError, match=f"holds no id {gone[0]}"):
            store.vectors([0, *gone])
    before = store.rows(store.ids())
    store.compact()
    assert len(store.removed) == 0
    assert len(store.manifest["segments"]) == 1
    assert store.rows(store.ids()) == before
    np.testing.assert_array_equal(store.vectors(store.ids()), vectors[store.ids()])
    assert store.verify() == []
    version = store.version
    store.compact()
    assert store.version == version
    # A removed moment may come back, under a new id.
    assert store.add(vectors[1:2], rows_of(1, first=1)).tolist() == [12]
    store.remove(store.ids())
    store.compact()
    assert len(store) == 0
    assert store.add(vectors[:1], rows_of(1)).tolist() == [13]


def test_a_removed_moment_may_come_back_before_compacting(store):
    store.add(vectors_of(4), rows_of(4))
    store.remove([2])
    assert store.add(vectors_of(1), rows_of(1, first=2)).tolist() == [4]
    assert len(store) == 4
    assert store.rows([4])[0].narration == "moment 2"


def test_filters(store):
    store.add(vectors_of(8), rows_of(8))
    store.add(vectors_of(8, seed=1), rows_of(8, modality="text"))
    store.remove([1])
    assert store.ids("modality = 'text'").tolist() == list(range(8, 16))
    assert store.ids("extra ->> 'kind' = ? AND modality = ?", ["bell", "video"]).tolist() == [3, 5, 7]
    assert store.ids("narration LIKE '%moment 3'").tolist() == [3, 11]
    assert store.ids("start >= 6 -- a comment").tolist() == [3, 7, 11, 15]
    assert store.ids("1 = 0").tolist() == []
    assert len(store.ids("1 = 1")) == 15
    with pytest.raises(ValueError, match="malformed JSON"):
        store.ids("json_extract(narration, '$.a') = 1")


@pytest.mark.parametrize(
    "where",
    [
        "",
        "colour = 'red'",
        "start >",
        "1; DROP TABLE rows",
        "1) UNION SELECT sql FROM sqlite_master WHERE (1",
        "id IN (SELECT rowid FROM sqlite_master)",
        "EXISTS (SELECT 1 FROM rows a, rows b)",
        "id IN (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c)",
        "load_extension('x')",
        "length(randomblob(1000000000)) > 1",
        "1) LIMIT 1 /*",
        "id = ?",
        "1\0",
    ],
)
@pytest.mark.parametrize("filled", [False, True])
def test_a_filter_is_a_condition_and_nothing_else(store, where, filled):
    if filled:
        store.add(vectors_of(4), rows_of(4))
    with pytest.raises(ValueError, match="filter") as error:
        store.ids(where)
    assert "\n" not in str(error.value)
    assert len(store.ids()) == 4 * filled


def spoiled(vectors, **at):
    for place, value in at.items():
        vectors[int(place[1:])] = value
    return vectors


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
        ({"start": 9.0}, "end 6.0 is before start 9.0"),
        ({"modality": "smell"}, "'smell' is not one of the space's: video, audio, text"),
        ({"recording": None}, "recording must be text"),
        ({"path": ""}, "path must be text"),
        ({"path": "\udcff"}, "cannot be written as UTF-8"),
        ({"narraton": "x"}, "unknown key 'narraton'"),
        ({"extra": {"a": {1}}}, "extra must be an object"),
        ({"extra": "a"}, "extra must be an object"),
        ({"extra": {"a": float("inf")}}, "extra must be an object"),
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


def test_empty_store_and_empty_add(store):
    assert len(store) == 0
    assert store.add(np.empty((0, WIDTH)), []).tolist() == []
    assert store.remove([]) == 0
    store.compact()
    assert store.version == 0
    assert store.rows([]) == []
    assert store.vectors([]).shape == (0, WIDTH)
    assert store.verify() == []


def test_places_that_hold_no_store(tmp_path, store):
    with pytest.raises(ValueError, match="is not a store"):
        Store.open(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is not a store"):
        Store.open(tmp_path / "file")
    with pytest.raises(ValueError, match="a file is in the way"):
        Store.create(tmp_path / "file", SPACE)
    with pytest.raises(ValueError, match="already holds a store"):
        Store.create(store.directory, SPACE)


def full_store(directory):
    with Store.create(directory, SPACE) as store:
        store.add(vectors_of(20), rows_of(20))
        store.add(vectors_of(4, seed=1), rows_of(4, first=20))
        store.remove([3])
        index.build(store)
    return directory


def use(directory):
    """Everything a search reads."""
    with Store.open(directory) as store:
        index.load(store)
        store.rows(store.ids())
        store.vectors(store.ids())


def test_every_flipped_bit_cut_and_missing_file_is_found(tmp_path):
    whole = full_store(tmp_path / "whole")
    use(whole)
    names = sorted(path.name for path in whole.iterdir() if path.name != "lock")
    assert len(names) == 6, names
    random = np.random.default_rng(0)
    for name in names:
        raw = (whole / name).read_bytes()
        flips = [bytearray(raw) for _ in range(6)]
        for flip in flips:
            bit = int(random.integers(8 * len(raw)))
            flip[bit // 8] ^= 1 << bit % 8
        for damaged in [*flips, raw[: len(raw) // 2], b"", raw + b" ", None]:
            copy = tmp_path / "copy"
            shutil.copytree(whole, copy)
            if damaged is None:
                (copy / name).unlink()
            else:
                (copy / name).write_bytes(damaged)
            with pytest.raises(ValueError, match=name.replace(".", r"\.")) as error:
                Store.open(copy, verify=True)
            assert "\n" not in str(error.value)
            with pytest.raises(ValueError, match=name.replace(".", r"\.")):
                use(copy)
            shutil.rmtree(copy)


def test_verify_names_all_that_is_wrong(tmp_path):
    with Store.open(full_store(tmp_path / "store")) as store:
        first, second = (entry["vectors"] for entry in store.manifest["segments"])
        (store.directory / first).unlink()
        (store.directory / second).write_bytes(b"x")
        problems = store.verify()
    assert len(problems) == 2
    assert f"{first} is missing" in problems[0] + problems[1]
    assert f"{second} is damaged" in problems[0] + problems[1]


def test_a_manifest_cannot_point_outside(store):
    from retrieval import manifest

    later = manifest.successor(store.manifest)
    later["files"] = {"../secret.npy": {"sha256": "", "bytes": 0}}
    (store.directory / "manifest.json").write_bytes(manifest._encode(later))
    with pytest.raises(ValueError, match="no file of a store"):
        Store.open(store.directory)
    later["format"], later["files"] = "retrieval store 9", {}
    (store.directory / "manifest.json").write_bytes(manifest._encode(later))
    with pytest.raises(ValueError, match="format 'retrieval store 9'"):
        Store.open(store.directory)


def test_second_writer_is_told_who_writes(store):
    code = f"""
import sys
from pathlib import Path
from retrieval.files import writer_lock
with writer_lock(Path({str(store.directory)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=f"is being written by process {other.pid} on ") as error:
            store.add(vectors_of(1), rows_of(1))
        assert "\n" not in str(error.value)
        reader = Store.open(store.directory)
        assert len(reader) == 0
    finally:
        other.communicate("")
    store.add(vectors_of(1), rows_of(1))
    assert len(store) == 1


def test_a_writer_may_wait(store):
    patient = Store.open(store.directory, wait_seconds=30)
    entered = threading.Event()
    leave = threading.Event()

    def hold():
        with writer_lock(store.directory):
            entered.set()
            leave.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(30)
    threading.Timer(0.1, leave.set).start()
    patient.add(vectors_of(1), rows_of(1))
    holder.join()
    assert len(patient) == 1


def test_writers_that_take_turns_see_each_other(store):
    other = Store.open(store.directory)
    store.add(vectors_of(2), rows_of(2))
    assert other.add(vectors_of(2), rows_of(2, first=2)).tolist() == [2, 3]
    with pytest.raises(ValueError, match="in the store already, as id 3"):
        store.add(vectors_of(1), rows_of(1, first=3))
    assert len(store) == 4
    store.remove([0])
    assert len(other) == 4
    other.refresh()
    assert other.ids().tolist() == [1, 2, 3]


def test_a_reader_keeps_its_version_while_others_write(store):
    store.add(vectors_of(6), rows_of(6))
    reader = Store.open(store.directory)
    for number in range(6, 30):
        store.add(vectors_of(1, seed=number), rows_of(1, first=number))
    store.remove(range(6))
    store.compact()
    assert len(reader) == 6
    assert [row.narration for row in reader.rows(range(6))] == [f"moment {n}" for n in range(6)]
    np.testing.assert_array_equal(reader.vectors(range(6)), vectors_of(6))


def test_readers_that_open_during_writes_see_whole_states(store):
    code = f"""
import sys
from made_up import rows_of, vectors_of
from retrieval.store import Store
store = Store.open({str(store.directory)!r})
for number in range(25):
    store.add(vectors_of(4, seed=number), rows_of(4, first=4 * number))
    if number % 5 == 4:
        store.compact()
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    writer = subprocess.Popen([sys.executable, "-c", code], env=environment)
    seen = set()
    while writer.poll() is None:
        with Store.open(store.directory) as reader:
            assert len(reader) % 4 == 0
            assert [row.narration for row in reader.rows(reader.ids())] == [f"moment {n}" for n in range(len(reader))]
            for ids, vectors in reader.blocks():
                assert len(ids) == len(vectors)
            seen.add(len(reader))
    assert writer.returncode == 0
    assert len(seen) > 2
    store.refresh()
    assert len(store) == 100
    assert store.verify() == []


def test_a_full_disk_changes_nothing(store, monkeypatch):
    store.add(vectors_of(4), rows_of(4))

    def full(path, *_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    for name in ("write_vectors", "write_rows"):
        with monkeypatch.context() as patched:
            patched.setattr(f"retrieval.store.{name}", full)
            with pytest.raises(OSError, match="No space left"):
                store.add(vectors_of(2), rows_of(2, first=4))
    assert len(store) == 4
    with Store.open(store.directory, verify=True) as again:
        assert len(again) == 4
    assert not list(store.directory.glob(".tmp-*"))
    store.add(vectors_of(2), rows_of(2, first=4))
    assert len(list(store.directory.glob("*.npy"))) == len(store.manifest["segments"])


def test_runs_round_trip():
    random = np.random.default_rng(0)
    for size in (0, 1, 5, 60):
        ids = np.unique(random.integers(0, 80, size))
        np.testing.assert_array_equal(from_runs(to_runs(ids)), ids)
    assert to_runs(np.array([1, 2, 3, 7])) == [[1, 3], [7, 7]]
    assert json.loads(json.dumps(to_runs(np.array([4])))) == [[4, 4]]
