"""Vectors on disk come back as they were, and nothing of others is ever replaced."""

import numpy as np
import pytest

from avssl.cli import _vectors
from avssl.embedding import Embedded
from avssl.methods.base import Space
from retrieval.space import Space as StoredSpace

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


def test_vectors_come_back(made, tmp_path):
    out = tmp_path / "vectors"
    for _ in range(2):  # the second time replaces the first
        _vectors.write(out, made, SPACE, SOURCE)
    assert _vectors.read_space(out) == SPACE
    assert _vectors.Source.read(out) == SOURCE
    read = {rows[0]["modality"]: (np.array(vectors), rows) for vectors, rows in _vectors.read(out)}
    assert set(read) == {"video", "text"}
    for modality, (vectors, rows) in read.items():
        assert np.array_equal(vectors, made.vectors[modality])
        assert rows == made.rows[modality]
    assert [path.name for path in tmp_path.iterdir()] == ["vectors"]


def test_nothing_else_is_replaced(made, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match="holds other files"):
        _vectors.write(mine, made, SPACE, SOURCE)
    assert (mine / "thesis.txt").read_text() == "years"
    with pytest.raises(ValueError, match="is a file"):
        _vectors.write(mine / "thesis.txt", made, SPACE, SOURCE)


def test_a_failure_leaves_what_was_there(made, tmp_path):
    out = tmp_path / "vectors"
    _vectors.write(out, made, SPACE, SOURCE)

    def fail():
        with _vectors.replacing_folder(out, (_vectors.SPACE, _vectors.SOURCE)) as partial:
            (partial / "half").write_text("x")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert _vectors.read_space(out) == SPACE
    assert [path.name for path in tmp_path.iterdir()] == ["vectors"]


def test_damage_is_named(made, tmp_path):
    out = tmp_path / "vectors"
    with pytest.raises(ValueError, match="holds no vectors; make them"):
        _vectors.read_space(out)
    _vectors.write(out, made, SPACE, SOURCE)
    (out / "vectors-video.npy").write_bytes(b"no numbers")
    with pytest.raises(ValueError, match=r"vectors-video\.npy is damaged"):
        list(_vectors.read(out))
    (out / "source.json").write_text("{}")
    with pytest.raises(ValueError, match=r"source\.json is damaged"):
        _vectors.Source.read(out)
