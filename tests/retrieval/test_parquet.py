"""A store goes to Parquet and comes back as it was; a damaged file is told, never read."""

import json
import os
import stat

import numpy as np
import pytest
from made_up import SPACE, WIDTH, cells_of_row, rows_of, vectors_of

pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install avssl[parquet]")

import pyarrow.parquet as arrow

from retrieval import parquet
from retrieval.__main__ import main
from retrieval.regions import Regions, add_regions


@pytest.fixture
def filled(store):
    store.add(vectors_of(30), rows_of(30))
    odd = {
        **rows_of(1)[0],
        "recording": "é\u2028",
        "narration": 'a "quoted" line\nand more',
        "id": 2**60,
        "content": "abc",
    }
    odd["extra"] = {"nested": {"a": [1, None, "ü"]}, "n": 0.1}
    store.add(vectors_of(1, 1) * 3, [odd])
    store.remove([3, 4])
    return store


def test_round_trip(filled, tmp_path):
    path = tmp_path / "moments.parquet"
    for _ in range(2):  # the second time replaces the first
        assert parquet.export(filled, path) == 29
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["moments.parquet"]
    assert parquet.read_space(path) == SPACE
    with parquet.restore(path, tmp_path / "again") as again:
        ids = filled.ids()
        assert np.array_equal(again.ids(), ids)
        assert again.rows(ids) == filled.rows(ids)
        assert np.array_equal(again.vectors(ids), filled.vectors(ids))
        assert again.verify() == []
    with pytest.raises(ValueError, match="is there already"):
        parquet.restore(path, tmp_path / "again")


def test_what_an_export_may_not_replace(filled, tmp_path):
    folder, inside, link = filled.directory, filled.directory / "inside", tmp_path / "link.parquet"
    inside.mkdir()
    link.symlink_to(folder / "manifest.json")
    for path in (folder / "manifest.json", folder / "new.parquet", inside / "new.parquet", link):
        with pytest.raises(ValueError, match=r"would lie in the store .* name a file outside"):
            parquet.export(filled, path)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ValueError, match="is no regular file"):
            parquet.export(filled, path)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert filled.verify() == []
    assert not list(inside.iterdir())


def test_an_export_follows_a_link(filled, tmp_path):
    (tmp_path / "link.parquet").symlink_to(tmp_path / "real.parquet")
    assert parquet.export(filled, tmp_path / "link.parquet") == 29
    assert (tmp_path / "link.parquet").is_symlink()
    assert parquet.read_space(tmp_path / "real.parquet") == SPACE


def test_others_can_read_it(filled, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 7)
    path = tmp_path / "moments.parquet"
    parquet.export(filled, path)
    table = arrow.read_table(path)
    assert table.num_rows == 29
    assert table.schema.field("vector").type.list_size == WIDTH
    assert json.loads(table.schema.metadata[b"retrieval_space"])["digest"] == SPACE.digest
    held = {row["id"]: row for row in table.to_pylist()}
    vector = filled.vectors([7])[0]
    assert np.array_equal(np.array(held[7]["vector"], np.float32), vector)
    assert json.loads(held[7]["extra"])["kind"] == "bell"
    assert max(len(rows) for _, rows in parquet.read(path)) <= 7


def test_regions_that_are_left_out_are_told(filled, tmp_path, capsys):
    words = ["export", str(filled.directory), str(tmp_path / "moments.parquet")]
    assert main(words) == 0
    assert capsys.readouterr() == (f"{words[2]}: 29 rows\n", "")
    add_regions(filled, [([5, 6, 7], np.stack([cells_of_row(identity) for identity in (5, 6, 7)]))], components=5)
    filled.remove([6])
    assert main(words) == 0
    told = capsys.readouterr()
    assert told.out == f"{words[2]}: 28 rows\n"
    assert told.err == "the regions of 2 windows are left out: avssl regions makes them again\n"
    with parquet.restore(words[2], tmp_path / "again") as again:
        assert Regions(again).ids() == set()


def test_an_empty_store(store, tmp_path):
    assert parquet.export(store, tmp_path / "none.parquet") == 0
    with parquet.restore(tmp_path / "none.parquet", tmp_path / "again") as again:
        assert len(again) == 0


def test_damage_is_told(filled, tmp_path):
    """Every flipped byte is refused or, in what no reader looks at, changes nothing."""
    path, broken = tmp_path / "moments.parquet", tmp_path / "broken.parquet"
    parquet.export(filled, path)

    def content(file):
        return [(vectors.tobytes(), rows) for vectors, rows in parquet.read(file)]

    whole, wanted, told = path.read_bytes(), content(path), []
    for place in np.random.default_rng(0).integers(len(whole), size=200):
        data = bytearray(whole)
        data[place] ^= 1 << int(place) % 8
        broken.write_bytes(data)
        try:
            assert content(broken) == wanted, place
        except ValueError as error:
            told.append(str(error))
    assert len(told) > 100
    assert all("broken.parquet is" in line and "\n" not in line for line in told), told
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is damaged"):
        parquet.restore(broken, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_wrong_requests(filled, tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        parquet.export(filled, tmp_path / "none" / "moments.parquet")
    with pytest.raises(ValueError, match="no such file"):
        parquet.read_space(tmp_path / "none.parquet")
    other = tmp_path / "other.parquet"
    arrow.write_table(arrow.read_table(_exported(filled, tmp_path)).replace_schema_metadata({}), other)
    with pytest.raises(ValueError, match="is not ours"):
        parquet.read_space(other)


def _exported(store, folder):
    parquet.export(store, folder / "moments.parquet")
    return folder / "moments.parquet"
