"""What the README shows works as it stands there, in its order."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from made_up import SPACE, rows_of, vectors_of

import retrieval
from retrieval.__main__ import main

README = (Path(retrieval.__file__).parent / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files that the README speaks of."""
    monkeypatch.chdir(tmp_path)
    rows = [{**row, "content": row["recording"], "narration": "the bell rings"} for row in rows_of(40)]
    for vectors, name, part in (("v", "rows", slice(0, 32)), ("w", "more", slice(32, 40))):
        np.save(f"{vectors}.npy", vectors_of(40)[part])
        Path(f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows[part]))
    np.save("q.npy", vectors_of(1))
    Path("space.json").write_text(SPACE.to_json())
    held = [{"recording": f"r{k}", "path": f"videos/r{k}.mp4", "content": f"r{k}"} for k in range(10)]
    Path("all.jsonl").write_text("\n".join(map(json.dumps, held)))


def test_python(folder, capsys):
    (code,) = [text for language, text in BLOCKS if language == "python"]
    given = {"vectors": vectors_of(8), "rows": rows_of(8), "queries": vectors_of(1, 1)}
    exec(code.replace("width=512", f"width={SPACE.width}"), given)
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_terminal(folder, capsys):
    (text,) = [text for language, text in BLOCKS if not language]
    told = {}
    for line in text.splitlines():
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "retrieval"]
        name = words[3]
        if name == "serve":  # it runs until it is stopped
            continue
        if name == "export":
            pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install avssl[parquet]")
        if name == "mirror":
            pytest.importorskip("milvus_lite", reason="milvus-lite is not installed: pip install avssl[milvus]")
        assert main(words[3:]) == 0, line
        told[name] = capsys.readouterr().out
    assert "32 added" in told["build"]
    assert told["search"].splitlines()[0] == "videos/r0.mp4 @ 00:00:00.0  1.000  the bell rings"
    assert "4 removed, 36 left" in told["remove"]
    assert "36 rows" in told["export"]
    assert told["search-milvus"].splitlines()[0] == told["search"].splitlines()[0]
