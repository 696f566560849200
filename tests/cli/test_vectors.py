"""Vectors on disk come back as they were, and nothing of others is ever replaced."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from avssl.cli import _vectors
from avssl.embedding import Embedded
from avssl.methods.base import Space
from retrieval.files import writer_lock
from retrieval.space import Space as StoredSpace
from retrieval.store import Store

SPACE = StoredSpace("main", "d" * 64, ("video", "text"), 4)
SOURCE = _vectors.Source("runs/x", 1.0, 0.5)


@pytest.fixture
def made() -> Embedded:
    vectors = {"video": np.eye(3, 4, dtype=np.float32), "text": np.ones((1, 4), np.float32)}
    rows = {
        "video": [{"recording": f"é{k}", "start": float(k), "modality": "video"} for k in range(3)],
        "text": [{"recording": "a", "start": 0.0, "modality": "text", "narration": "the bell\u2028rings"}],
    }
    return Embedded(Space(("video", "text"), 4), vectors, rows)


def write(folder, *shards):
    """A folder of these shards."""
    partial = folder.with_name(".partial")
    partial.mkdir()
    (partial / _vectors.PLAN).write_text("{}")
    for number, made in enumerate(shards):
        _vectors.write_shard(partial / _vectors.SHARD.format(number), made)
    _vectors.seal(partial, folder, SPACE, SOURCE)


@pytest.mark.parametrize("block", [1, 1 << 20])
def test_vectors_come_back(made, tmp_path, monkeypatch, block):
    monkeypatch.setattr(_vectors, "BLOCK_BYTES", block)
    out = tmp_path / "vectors"
    for _ in range(2):  # the second time replaces the first
        write(out, made)
    assert _vectors.read_space(out) == SPACE
    assert _vectors.Source.read(out) == SOURCE
    read = {rows[0]["modality"]: (np.array(vectors), rows) for vectors, rows in _vectors.read(out)}
    assert set(read) == {"video", "text"}
    for modality, (vectors, rows) in read.items():
        assert np.array_equal(vectors, made.vectors[modality])
        assert rows == made.rows[modality]
    assert [path.name for path in tmp_path.iterdir()] == ["vectors"]


def test_shards_are_given_out_together(made, tmp_path):
    silent = Embedded(made.space, {"video": made.vectors["video"]}, {"video": made.rows["video"]})
    nothing = Embedded(made.space, {}, {})
    write(tmp_path / "vectors", made, nothing, silent)
    blocks = [(rows[0]["modality"], len(vectors), len(rows)) for vectors, rows in _vectors.read(tmp_path / "vectors")]
    assert blocks == [("text", 1, 1), ("video", 6, 6)]


def test_nothing_else_is_replaced(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    _vectors.check_ours(mine, (_vectors.SPACE,))
    (mine / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match="holds other files"):
        _vectors.check_ours(mine, (_vectors.SPACE,))
    with pytest.raises(ValueError, match="is a file"):
        _vectors.check_ours(mine / "thesis.txt", (_vectors.SPACE,))


def test_a_failure_leaves_what_was_there(made, tmp_path):
    out = tmp_path / "vectors"
    write(out, made)

    def fail():
        with _vectors.replacing_folder(out, (_vectors.SPACE, _vectors.SOURCE)) as partial:
            (partial / "half").write_text("x")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert _vectors.read_space(out) == SPACE
    assert [path.name for path in tmp_path.iterdir()] == ["vectors"]


KILLED = """
import os, signal, sys
from pathlib import Path
from avssl.cli import _vectors

real, left = os.replace, [int(sys.argv[2])]

def replace(*paths):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return real(*paths)

os.replace = replace
with _vectors.replacing_folder(Path(sys.argv[1]), ("mark",)) as partial:
    (partial / "mark").write_text("new")
"""


@pytest.mark.parametrize(("renames", "back", "held"), [(0, False, "old"), (1, True, "old"), (2, False, "new")])
def test_a_kill_between_renames_loses_nothing(tmp_path, renames, back, held):
    index = tmp_path / "index [1]"
    index.mkdir()
    (index / "mark").write_text("old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(index), str(renames)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert index.exists() == (not back)
    assert _vectors.put_back(index, ("mark",)) == back
    assert (index / "mark").read_text() == held
    assert not _vectors.put_back(index, ("mark",))


def test_only_what_is_whole_is_put_back(tmp_path):
    for name in (".index.7.old", ".index.x.old", ".index.7.partial", ".other.7.old"):
        (tmp_path / name).mkdir()
    for name in (".index.x.old", ".index.7.partial", ".other.7.old"):
        (tmp_path / name / "mark").touch()
    assert not _vectors.put_back(tmp_path / "index", ("mark",))
    assert not _vectors.put_back(tmp_path / "nowhere" / "index", ("mark",))


def test_a_store_that_is_written_is_not_replaced(tmp_path):
    path, marks = tmp_path / "index", ("manifest.json",)
    store = Store.create(path, SPACE)
    row = {"recording": "a", "path": "a.mp4", "start": 0.0, "end": 1.0, "modality": "video"}
    with store.locked():
        with pytest.raises(ValueError, match="is being written by process"), _vectors.replacing_folder(path, marks):
            pass
        store.add(np.eye(4)[:1], [row])
    with _vectors.replacing_folder(path, marks) as partial:
        Store.create(partial, SPACE)
        with pytest.raises(ValueError, match="is being written by process"):
            store.remove([0])
    assert len(Store.open(path)) == 0
    store.add(np.eye(4)[:1], [row])  # into the one that took its place
    assert len(Store.open(path)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_a_writer_that_waits_gets_the_lock_of_the_new_store(tmp_path):
    path = tmp_path / "index"
    store = Store.create(path, SPACE, wait_seconds=30)
    begun, entered = threading.Event(), threading.Event()

    def write():
        begun.set()
        with store.locked():
            entered.set()
            with pytest.raises(ValueError, match="is being written by process"), writer_lock(path):
                pass

    with ThreadPoolExecutor(1) as pool:
        with _vectors.replacing_folder(path, ("manifest.json",)) as partial:
            Store.create(partial, SPACE)
            waiting = pool.submit(write)
            begun.wait()
            assert not entered.wait(0.2)
        waiting.result()


def test_damage_is_named(made, tmp_path):
    out = tmp_path / "vectors"
    with pytest.raises(ValueError, match="holds no vectors; make them"):
        _vectors.read_space(out)
    write(out, made)
    shard = out / "shard-00000"
    for name in ("vectors-video.npy", "rows-text.jsonl", "done.json"):
        data = bytearray((shard / name).read_bytes())
        data[len(data) // 2 if name != "done.json" else 0] ^= 1
        (shard / name).write_bytes(data)
        with pytest.raises(ValueError, match=name.replace(".", r"\.") + ".*embed again"):
            list(_vectors.read(out))
        data[len(data) // 2 if name != "done.json" else 0] ^= 1
        (shard / name).write_bytes(data)
    assert len(list(_vectors.read(out))) == 2
    (shard / "rows-text.jsonl").unlink()
    with pytest.raises(ValueError, match=r"rows-text\.jsonl is missing"):
        _vectors.check_intact(out)
    (out / "source.json").write_text("{}")
    with pytest.raises(ValueError, match=r"source\.json is damaged"):
        _vectors.Source.read(out)
