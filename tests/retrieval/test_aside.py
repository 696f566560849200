"""Folders in which something is made that takes long: beside what it is for, and gone whoever is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_up import rows_of, vectors_of

from retrieval import files
from retrieval.files import aside
from retrieval.regions import Regions, add_regions

HOLDER = """
import sys, time
from pathlib import Path
from retrieval.files import aside
with aside(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("made")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that makes something in a folder of its own; and that folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()


def test_it_is_beside_and_goes_also_after_an_error(tmp_path):
    def fail():
        with aside(tmp_path) as folder:
            assert folder.parent == tmp_path
            (folder / "deep").mkdir()
            (folder / "deep" / "file").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_at_the_next_start_and_what_is_in_use_stays(holder, tmp_path):
    process, theirs = holder
    with aside(tmp_path) as folder:
        assert (theirs / "half").is_file()
        assert folder != theirs
    assert (theirs / "half").is_file()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (theirs / "half").is_file(), "nobody was there to remove it"
    with aside(tmp_path):
        assert not theirs.exists()


def test_a_folder_that_was_taken_for_a_left_one_is_made_again(tmp_path, monkeypatch):
    made = []
    mkdtemp = files.tempfile.mkdtemp

    def taken(**where):
        made.append(mkdtemp(**where))
        if len(made) == 1:
            os.rmdir(made[0])
            os.mkdir(made[0])  # the same name, another folder
        return made[-1]

    monkeypatch.setattr(files.tempfile, "mkdtemp", taken)
    monkeypatch.setattr(files, "_is_at", lambda path, descriptor: str(path) != made[0])
    with aside(tmp_path) as folder:
        assert str(folder) == made[1]
    assert not Path(made[1]).exists()


def test_a_folder_swept_before_it_could_be_opened_is_made_again(tmp_path, monkeypatch):
    made = []
    mkdtemp = files.tempfile.mkdtemp

    def swept(**where):
        made.append(mkdtemp(**where))
        if len(made) == 1:
            os.rmdir(made[0])
        return made[-1]

    monkeypatch.setattr(files.tempfile, "mkdtemp", swept)
    with aside(tmp_path) as folder:
        assert str(folder) == made[1]


def test_any_next_change_of_a_store_removes_what_a_killed_writer_left(store):
    left = store.directory / f"{files.ASIDE}killed"
    with aside(store.directory) as theirs:
        left.mkdir()
        (left / "half").write_text("made")
        store.add(vectors_of(1), rows_of(1))
        assert theirs.is_dir()
    assert not left.exists()


def test_regions_are_made_in_the_stores_folder(store, monkeypatch):
    """Not in the system's folder for temporary files, where a killed run would leave gigabytes."""
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.setattr(files.tempfile, "tempdir", "/nowhere")
    ids = store.add(vectors_of(2), rows_of(2))
    seen = []

    def blocks():
        yield ids, np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype(np.float32)
        seen.extend(path.name for path in store.directory.glob(f"{files.ASIDE}*"))

    add_regions(store, blocks(), components=4)
    assert len(seen) == 1
    assert Regions(store).ids() == set(ids.tolist())
    assert not list(store.directory.glob(f"{files.ASIDE}*"))
