"""Vectors on disk come back as they were."""

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
