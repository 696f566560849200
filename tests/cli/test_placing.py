"""Folders are replaced whole, found again after a kill, and nothing of others is ever touched."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from avssl.cli._placing import check_ours, making, replacing_folder
from retrieval.files import writer_lock
from retrieval.space import Space
from retrieval.store import Store

SPACE = Space("main", "d" * 64, ("video", "text"), 4)
MARKS = ("mark",)


def put(folder, text):
    """A whole folder."""
    folder.mkdir()
    (folder / "mark").write_text(text)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_nothing_else_is_replaced(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    check_ours(mine, MARKS)
    (mine / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match="holds other files"):
        check_ours(mine, MARKS)
    with pytest.raises(ValueError, match="is a file"):
        check_ours(mine / "thesis.txt", MARKS)


def test_a_failure_leaves_what_was_there(tmp_path):
    out = tmp_path / "vectors"
    put(out, "old")

    def fail():
        with making(out, MARKS), replacing_folder(out, MARKS) as partial:
            (partial / "half").write_text("x")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert (out / "mark").read_text() == "old"
    assert names(tmp_path) == ["vectors"]


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from avssl.cli._placing import making, replacing_folder

left = int(sys.argv[2])

def counted(function):
    def call(*arguments, **options):
        global left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return function(*arguments, **options)
    return call

folder = Path(sys.argv[1])
with making(folder, ("mark",)), replacing_folder(folder, ("mark",)) as partial:
    os.replace, shutil.rmtree = counted(os.replace), counted(shutil.rmtree)
    (partial / "mark").write_text("new")
"""


@pytest.mark.parametrize(
    ("calls", "back", "held", "left"),
    [
        (0, False, "old", ["partial"]),
        (1, True, "old", ["old", "partial"]),
        (2, False, "new", ["old"]),
        (3, False, "new", ["gone"]),
    ],
)
def test_a_kill_loses_nothing_and_the_next_cleans_up(tmp_path, calls, back, held, left):
    index = tmp_path / "index [1]"
    put(index, "old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(index), str(calls)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert index.exists() == (not back)
    beside = {name.rpartition(".")[2] for name in names(tmp_path) if name != index.name}
    assert beside == {*left, "lock"}
    with making(index, MARKS) as restored:
        assert restored == back
        assert (index / "mark").read_text() == held
        assert names(tmp_path) == [".index [1].lock", "index [1]"]
    with making(index, MARKS) as restored:
        assert not restored
    assert names(tmp_path) == ["index [1]"]


def test_what_was_there_stays_until_something_whole_is_in_its_place(tmp_path):
    (tmp_path / ".index.7.old").mkdir()  # not whole: nothing to put back, and perhaps all that there is
    with making(tmp_path / "index", MARKS) as restored:
        assert not restored
        assert (tmp_path / ".index.7.old").exists()
        put(tmp_path / "index", "new")
    assert names(tmp_path) == ["index"]


def test_only_ours_is_put_back_or_deleted(tmp_path):
    for name in (".index.x.old", ".index.7.partial", ".other.7.old", ".index.8.gone", ".index.7.partial.bak"):
        put(tmp_path / name, "theirs")
    for name in (".index.7.partial", ".index.8.gone"):
        (tmp_path / name / "thesis.txt").write_text("years")
    (tmp_path / ".index.9.gone").write_text("a file")
    (tmp_path / ".index.10.gone").symlink_to(tmp_path / ".other.7.old")
    before = names(tmp_path)
    with making(tmp_path / "index", MARKS) as restored:
        assert not restored
    assert names(tmp_path) == before
    with making(tmp_path / "nowhere" / "index", MARKS) as restored:
        assert not restored


def test_what_a_living_process_makes_is_left_alone(tmp_path):
    index = tmp_path / "index"
    with making(index, MARKS), replacing_folder(index, MARKS) as partial:
        (partial / "mark").write_text("mine")
        with pytest.raises(ValueError, match=rf"{index} is being written by process \d+"), making(index, MARKS):
            pass
    assert (index / "mark").read_text() == "mine"
    assert names(tmp_path) == ["index"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_whose_place_is_not_ours_can_be_changed(tmp_path):
    put(tmp_path / "index", "old")
    tmp_path.chmod(0o555)
    try:
        with making(tmp_path / "index", MARKS) as restored:
            assert not restored
    finally:
        tmp_path.chmod(0o755)


def test_a_store_that_is_written_is_not_replaced(tmp_path):
    path, marks = tmp_path / "index", ("manifest.json",)
    store = Store.create(path, SPACE)
    row = {"recording": "a", "path": "a.mp4", "start": 0.0, "end": 1.0, "modality": "video"}
    with store.locked():
        with pytest.raises(ValueError, match="is being written by process"), replacing_folder(path, marks):
            pass
        store.add(np.eye(4)[:1], [row])
    with replacing_folder(path, marks) as partial:
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
        with replacing_folder(path, ("manifest.json",)) as partial:
            Store.create(partial, SPACE)
            waiting = pool.submit(write)
            begun.wait()
            assert not entered.wait(0.2)
        waiting.result()
