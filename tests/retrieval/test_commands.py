"""The commands that change a store: add, remove, sync, compact; build and those that read are in test_main.py."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_up import SPACE, rows_of, vectors_of

from retrieval.__main__ import main
from retrieval.store import Store


def write(name, numbers):
    """Vectors NAME.npy and rows NAME.jsonl of these moments, with a content hash for each recording."""
    vectors, rows = vectors_of(40), rows_of(40)
    np.save(f"{name}.npy", vectors[numbers])
    lines = [json.dumps(rows[number] | {"content": rows[number]["recording"]}) for number in numbers]
    Path(f"{name}.jsonl").write_text("\n".join(lines))
    return ["--vectors", f"{name}.npy", "--rows", f"{name}.jsonl"]


@pytest.fixture
def folder(tmp_path, monkeypatch, capsys):
    """A folder with the store s of eight moments of two recordings; it is the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("space.json").write_text(SPACE.to_json())
    Path("other.json").write_text(SPACE.to_json().replace(SPACE.digest, "another"))
    assert main(["build", "s", *write("first", range(8)), "--space", "space.json", "--dtype", "float16"]) == 0
    capsys.readouterr()
    return tmp_path


def told(capsys, *words, code=0):
    assert main([str(word) for word in words]) == code
    out, err = capsys.readouterr()
    assert err == ""
    return out


def find(capsys, number):
    """Id of the best hit for that moment's own vector."""
    np.save("q.npy", vectors_of(40)[number])
    return json.loads(told(capsys, "search", "s", "--vector", "q.npy", "--top", 1, "--json"))["id"]


def test_add_extends_the_index(folder, capsys):
    assert "kept as float16" in told(capsys, "info", "s")
    assert told(capsys, "add", "s", *write("more", range(8, 12)), "--space", "space.json") == (
        "s: 4 added, 12 indexed (exact)\n"
    )
    assert find(capsys, 10) == 10
    assert find(capsys, 3) == 3


def test_an_add_that_was_killed_before_its_index_is_finished_by_the_same_command(folder, capsys):
    words = ["add", "s", *write("more", range(8, 12))]
    rows = [json.loads(line) for line in Path("more.jsonl").read_text().splitlines()]
    with Store.open("s") as store:
        store.add(np.load("more.npy"), rows)  # what is done before the index is
    assert told(capsys, *words) == "s: 0 added, 12 indexed (exact)\n"
    assert find(capsys, 10) == 10
    assert main([str(word) for word in words]) == 2  # nothing was left to finish
    assert "is in the store already" in capsys.readouterr().err


def test_add_to_a_store_that_has_no_index(folder, capsys):
    Store.create("bare", SPACE).close()
    assert told(capsys, "add", "bare", *write("more", range(2))) == (
        "bare: 2 added; no index yet: python -m retrieval build bare\n"
    )


KILLED = """
import os, signal, sys
from retrieval import index
from retrieval.__main__ import main
from retrieval.store import Store
owner, name = {"create": (Store, "add"), "add": (index, "build")}[sys.argv[1]]
setattr(owner, name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
main(sys.argv[2:])
"""


@pytest.mark.parametrize("after", ["create", "add"])
def test_a_build_that_was_killed_is_finished_by_the_same_command(folder, capsys, after):
    words = ["build", "k", *write("all", range(8)), "--space", "space.json", "--dtype", "float16"]
    killed = subprocess.run([sys.executable, "-c", KILLED, after, *words], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    with Store.open("k") as store:
        assert (len(store), store.manifest["indexes"]) == (0 if after == "create" else 8, [])
    added = 8 if after == "create" else 0
    assert told(capsys, *words).startswith(f"k: {added} added, 8 indexed (exact")
    assert told(capsys, *words).startswith("k: 0 added, 8 indexed (exact"), "and again does no harm"
    assert told(capsys, "verify", "k") == "k: every file is as it was written\n"
    with Store.open("k") as store, Store.open("s") as whole:
        assert store.rows(store.ids()) == whole.rows(whole.ids())
        np.testing.assert_array_equal(store.vectors(store.ids()), whole.vectors(whole.ids()))


def test_a_build_does_not_pass_over_rows_that_say_something_else(folder, capsys):
    vectors, rows = vectors_of(40)[:8], Path("first.jsonl").read_text().splitlines()
    np.save("turned.npy", vectors[::-1])
    Path("words.jsonl").write_text("\n".join([json.dumps(json.loads(rows[0]) | {"narration": "else"}), *rows[1:]]))
    for vectors, rows in (("turned.npy", "first.jsonl"), ("first.npy", "words.jsonl")):
        assert main(["build", "s", "--vectors", vectors, "--rows", rows]) == 2
        assert "is in the store already" in capsys.readouterr().err
    assert len(Store.open("s")) == 8


def test_what_a_store_is_large_is_told_in_units_that_say_something(folder, capsys):
    size = told(capsys, "info", "s").splitlines()[-1].split()
    assert size[0] == "size"
    assert float(size[1]) > 0
    assert size[2] == "kB"


def test_remove_by_id_and_by_condition(folder, capsys):
    assert told(capsys, "remove", "s", 3, 5) == "s: 2 removed, 6 left\n"
    where = ["--where", "recording = 'r1'"]
    assert told(capsys, "remove", "s", *where, code=1) == (
        "s: 3 of 6 vectors, of 1 recording, meet the condition\nnothing is removed; add --yes to remove them\n"
    )
    assert len(Store.open("s")) == 6
    assert told(capsys, "remove", "s", *where, "--yes") == "s: 3 removed, 3 left\n"
    assert told(capsys, "remove", "s", *where) == "s: 0 removed, 3 left\n"
    assert find(capsys, 2) == 2
    assert find(capsys, 6) in (0, 1, 2)
    assert told(capsys, "compact", "s") == "s: 3 vectors, 5 removed ones are gone from the files\n"
    assert find(capsys, 2) == 2


def test_sync_follows_files(folder, capsys):
    files = write("later", range(4, 14))
    assert told(capsys, "sync", "s", *files, "--space", "space.json") == (
        "s: 2 new, 0 changed, 0 renamed, 1 deleted, 1 unchanged, 10 indexed (exact)\n"
    )
    assert [find(capsys, number) for number in (5, 9)] == [5, 9]
    # Only what is new lies in files; a list tells what else is wanted.
    listed = [{"recording": f"r{n}", "path": f"videos/r{n}.mp4", "content": f"r{n}"} for n in (1, 2, 3, 4)]
    Path("all.jsonl").write_text("\n".join(map(json.dumps, listed)))
    files = write("new", range(16, 20))
    assert told(capsys, "sync", "s", *files, "--recordings", "all.jsonl") == (
        "s: 1 new, 0 changed, 0 renamed, 0 deleted, 3 unchanged, 14 indexed (exact)\n"
    )
    assert told(capsys, "sync", "s", *write("none", []), "--yes").startswith("s: 0 new, 0 changed, 0 renamed, 4 del")
    assert told(capsys, "verify", "s") == "s: every file is as it was written\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "nowhere", "--vectors", "first.npy", "--rows", "first.jsonl"], "nowhere is not a store"),
        (["add", "s", "--vectors", "first.npy", "--rows", "first.jsonl"], "is in the store already"),
        (["add", "s", "--vectors", "first.npy", "--rows", "first.jsonl", "--space", "other.json"], "the same run"),
        (["remove", "s"], "name the ids"),
        (["remove", "s", "1", "--where", "id = 1"], "name the ids"),
        (["remove", "s", "99"], "holds no id 99"),
        (["remove", "s", "--where", "nope = 1", "--yes"], "no such column: nope"),
        (["sync", "s", "--vectors", "none.npy", "--rows", "none.jsonl"], "would delete all 8 vectors of s"),
        (["sync", "s", "--vectors", "none.npy", "--rows", "first.jsonl"], "0 vectors and 8 rows"),
        (["sync", "s", "--vectors", "first.npy", "--rows", "deep.jsonl"], "deep.jsonl line 1"),
        (["sync", "s", "--vectors", "first.npy", "--rows", "first.jsonl", "--recordings", "none.jsonl"], "delete all"),
        (
            ["sync", "s", "--vectors", "first.npy", "--rows", "first.jsonl", "--recordings", "first.jsonl"],
            "recording 1",
        ),
        (["sync", "s", "--vectors", "none.npy", "--rows", "none.jsonl"], "add --yes if it is so meant"),
        (["compact", "nowhere"], "is not a store"),
        (["build", "s", "--dtype", "float32"], "keeps vectors as float16"),
        (["build", "s", "--kind", "best"], "unknown kind of index 'best'"),
        (["export", "nowhere", "x.parquet"], "is not a store"),
        (["export", "s", "nowhere/x.parquet"], "nowhere"),
    ],
)
def test_mistakes_are_one_line_and_code_2(folder, capsys, words, said):
    write("none", [])
    Path("deep.jsonl").write_text("[" * 100_000)
    before = {path: path.read_bytes() for path in Path("s").iterdir() if path.name != "lock"}
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert {path: path.read_bytes() for path in Path("s").iterdir() if path.name != "lock"} == before


def test_export(folder, capsys):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    assert told(capsys, "export", "s", "s.parquet") == "s.parquet: 8 rows\n"
    assert Path("s.parquet").stat().st_size > 0
