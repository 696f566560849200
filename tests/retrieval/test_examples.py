"""The worked examples run as they are, as a user would start them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import retrieval

EXAMPLES = sorted((Path(retrieval.__file__).parent / "examples").glob("*.py"))
TOLD = {
    "cross_modal": ["text -> video", "videos/r2.mp4 @ 00:00:10.0", "chance", "hubness"],
    "intra_modal": ["itself left out", "only sirens", "measured", "chance"],
    "follow_a_collection": ["1 new", "1 renamed", "1 deleted", "0 new"],
    "moments_and_mixtures": ["a bell, but not rain", "more like", "in one list"],
    "copies": ["rows in Parquet", "on a Milvus", "the same hits: True"],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    if path.stem == "copies":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install avssl[parquet]")
        pytest.importorskip("milvus_lite", reason="milvus-lite is not installed: pip install avssl[milvus]")
    environment = {**os.environ, "PYTHONPATH": str(Path(retrieval.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    for words in TOLD[path.stem]:
        assert words in done.stdout, done.stdout
    assert list(tmp_path.iterdir()) == []
