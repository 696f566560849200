"""python -m retrieval, as a user at a terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_up import SPACE, WIDTH, rows_of, vectors_of

import retrieval
from retrieval.__main__ import main

ROOT = Path(retrieval.__file__).parents[1]


def python(*words, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, **options)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with all that is needed to build a store; it is the working directory."""
    monkeypatch.chdir(tmp_path)
    np.save("v.npy", vectors_of(6))
    np.save("q.npy", vectors_of(6)[4])
    np.save("wide.npy", np.ones((1, WIDTH + 1)))
    np.save("nan.npy", np.full(WIDTH, np.nan))
    rows = rows_of(6)
    rows[4] |= {"path": "vidéo 家.mp4", "start": 83.4, "end": 85.0, "narration": "the bell\x1b[31m\nrings"}
    Path("rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    Path("space.json").write_text(SPACE.to_json())
    Path("other.json").write_text(SPACE.to_json().replace(SPACE.digest, "another"))
    return tmp_path


BUILD = ["build", "s", "--vectors", "v.npy", "--rows", "rows.jsonl", "--space", "space.json"]


def test_build_search_verify_info(folder, capsys):
    assert main(BUILD) == 0
    told = capsys.readouterr().out
    assert told == "s: 6 added, 6 indexed (exact: 6 vectors are fewer than 100,000, so looking at all is quick)\n"
    assert main(["search", "s", "--vector", "q.npy", "--top", "1", "--space", "space.json"]) == 0
    score = float((vectors_of(6)[4].astype(float) ** 2).sum())
    assert capsys.readouterr().out == f"vidéo 家.mp4 @ 00:01:23.4  {score:.3f}  the bell [31m rings\n"
    assert main(["search", "s", "--vector", "v.npy", "--top", "2", "--json"]) == 0
    hits = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [hit["query"] for hit in hits] == [q for q in range(6) for _ in range(2)]
    assert hits[8]["scores"] == {"video": hits[8]["score"]}
    assert {name: hits[8][name] for name in hits[8] if name not in ("score", "scores")} == {
        "query": 4,
        "id": 4,
        "recording": "r1",
        "path": "vidéo 家.mp4",
        "start": 83.4,
        "end": 85.0,
        "peak": 83.4,
        "modality": "video",
        "narration": "the bell\x1b[31m\nrings",
        "extra": {"kind": "drum"},
        "content": "",
        "calibrated": None,
        "box": None,
    }
    assert main(["search", "s", "--vector", "q.npy", "--modality", "text"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["search", "s", "--vector", "q.npy", "--where", "id IN (1, 2)", "--merge-seconds", "0.1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert main(["info", "s"]) == 0
    told = capsys.readouterr().out
    assert "6 in 1 segments, 0 removed" in told
    assert "exact, 6 vectors" in told
    assert main(["build", "s"]) == 0
    assert "0 added, 6 indexed" in capsys.readouterr().out
    assert main(["verify", "s"]) == 0
    assert "as it was written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search", "nowhere", "--vector", "q.npy"], "nowhere is not a store"),
        (["search", "s", "--vector", "none.npy"], "none.npy"),
        (["search", "s", "--vector", "rows.jsonl"], "rows.jsonl is no .npy file of numbers: write one with numpy.save"),
        (["search", "s", "--vector", "wide.npy"], "shaped [N, 8]"),
        (["search", "s", "--vector", "nan.npy"], "query vector 0 is not finite"),
        (["search", "s", "--vector", "q.npy", "--top", "0"], "--top is 0"),
        (["search", "s", "--vector", "q.npy", "--merge-seconds", "-1"], "--merge-seconds is -1"),
        (["search", "s", "--vector", "q.npy", "--where", "nope = 1"], "no such column: nope"),
        (["search", "s", "--vector", "q.npy", "--modality", "smell"], "'smell'"),
        (["search", "s", "--vector", "q.npy", "--space", "other.json"], "embed again with the same run"),
        ([*BUILD[:-1], "other.json"], "embed again with the same run"),
        (["build", "s", "--vectors", "v.npy"], "--vectors and --rows go together"),
        (["build", "s", "--vectors", "v.npy", "--rows", "space.json"], "6 vectors and 1 rows"),
        (["build", "s", "--vectors", "v.npy", "--rows", "v.npy"], "v.npy line 1"),
        (["build", "new"], "--space is needed"),
        (["build", "new", "--space", "rows.jsonl"], "rows.jsonl: a space must be"),
        (["build", "v.npy", "--space", "space.json"], "a file is in the way"),
        (["verify", "nowhere"], "is not a store"),
        (["info", "nowhere"], "is not a store"),
    ],
)
def test_mistakes_are_one_line_and_code_2(folder, capsys, words, said):
    assert main(BUILD) == 0
    capsys.readouterr()
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert told.err.startswith("retrieval: ")
    assert told.err.count("\n") == 1
    assert not Path("new").exists()


def test_verify_names_the_damaged_file(folder, capsys):
    assert main(BUILD) == 0
    name = next(Path("s").glob("rows-*")).name
    Path("s", name).write_bytes(b"x")
    capsys.readouterr()
    assert main(["verify", "s"]) == 2
    assert f"{name} is damaged" in capsys.readouterr().err


def test_as_a_process(folder):
    done = python("-m", "retrieval", *BUILD)
    assert (done.returncode, done.stderr) == (0, "")
    wrong = python("-m", "retrieval", "search", "s")
    assert wrong.returncode == 2
    assert "--vector" in wrong.stderr


def test_neither_torch_nor_avssl_is_imported():
    folder = Path(retrieval.__file__).parent
    modules = sorted(path.stem for path in folder.glob("*.py") if path.stem[0] != "_")
    modules += sorted(f"commands.{path.stem}" for path in folder.glob("commands/*.py") if path.stem[0] != "_")
    code = f"""
import importlib, sys
for name in {modules!r} + ["__main__"]:
    importlib.import_module("retrieval." + name)
from retrieval.index import import_faiss
import_faiss()
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {{"torch", "avssl", "scipy", "pandas"}}))
"""
    done = python("-c", code)
    assert done.stdout == "[]\n", done.stderr
