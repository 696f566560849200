"""Damage, a full disk and a forged manifest are noticed; kills are in test_crash.py."""

import json
import shutil

import numpy as np
import pytest
from made_up import SPACE, rows_of, vectors_of

from retrieval import index
from retrieval.manifest import from_runs, to_runs
from retrieval.store import Store


def full_store(directory):
    with Store.create(directory, SPACE) as store:
        store.add(vectors_of(20), rows_of(20))
        store.add(vectors_of(4, seed=1), rows_of(4, first=20))
        store.remove([3])
        index.build(store)
    return directory


def use(directory):
    """Everything a search reads."""
    with Store.open(directory) as store:
        index.load(store)
        store.rows(store.ids("modality = 'video'"))
        store.vectors(store.ids())


def test_every_flipped_bit_cut_and_missing_file_is_found(tmp_path):
    whole = full_store(tmp_path / "whole")
    use(whole)
    names = sorted(path.name for path in whole.iterdir() if path.name != "lock")
    assert len(names) == 10, names
    random = np.random.default_rng(0)
    for name in names:
        raw = (whole / name).read_bytes()
        flips = [bytearray(raw) for _ in range(6)]
        for flip in flips:
            bit = int(random.integers(8 * len(raw)))
            flip[bit // 8] ^= 1 << bit % 8
        for damaged in [*flips, raw[: len(raw) // 2], b"", raw + b" ", None]:
            copy = tmp_path / "copy"
            shutil.copytree(whole, copy)
            if damaged is None:
                (copy / name).unlink()
            else:
                (copy / name).write_bytes(damaged)
            with pytest.raises(ValueError, match=name.replace(".", r"\.")) as error:
                Store.open(copy, verify=True)
            assert "\n" not in str(error.value)
            with pytest.raises(ValueError, match=name.replace(".", r"\.")):
                use(copy)
            shutil.rmtree(copy)


def test_verify_names_all_that_is_wrong(tmp_path):
    with Store.open(full_store(tmp_path / "store")) as store:
        first, second = (entry["vectors"] for entry in store.manifest["segments"])
        (store.directory / first).unlink()
        (store.directory / second).write_bytes(b"x")
        problems = store.verify()
    assert len(problems) == 2
    assert f"{first} is missing" in problems[0] + problems[1]
    assert f"{second} is damaged" in problems[0] + problems[1]


def test_a_manifest_cannot_point_outside(store):
    from retrieval import manifest

    later = manifest.successor(store.manifest)
    later["files"] = {"../secret.npy": {"sha256": "", "bytes": 0}}
    (store.directory / "manifest.json").write_bytes(manifest._encode(later))
    with pytest.raises(ValueError, match="no file of a store"):
        Store.open(store.directory)
    later["format"], later["files"] = "retrieval store 9", {}
    (store.directory / "manifest.json").write_bytes(manifest._encode(later))
    with pytest.raises(ValueError, match="format 'retrieval store 9'"):
        Store.open(store.directory)


def test_a_full_disk_changes_nothing(store, monkeypatch):
    store.add(vectors_of(4), rows_of(4))

    def full(file, *_):
        file.write(b"half") if hasattr(file, "write") else file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    for name in ("write_array", "write_rows", "write_columns"):
        with monkeypatch.context() as patched:
            patched.setattr(f"retrieval.writing.{name}", full)
            with pytest.raises(OSError, match="No space left"):
                store.add(vectors_of(2), rows_of(2, first=4))
    assert len(store) == 4
    with Store.open(store.directory, verify=True) as again:
        assert len(again) == 4
    assert not list(store.directory.glob(".tmp-*"))
    store.add(vectors_of(2), rows_of(2, first=4))
    assert len(list(store.directory.glob("*.npy"))) == 2 * len(store.manifest["segments"])


def test_runs_round_trip():
    random = np.random.default_rng(0)
    for size in (0, 1, 5, 60):
        ids = np.unique(random.integers(0, 80, size))
        np.testing.assert_array_equal(from_runs(to_runs(ids)), ids)
    assert to_runs(np.array([1, 2, 3, 7])) == [[1, 3], [7, 7]]
    assert json.loads(json.dumps(to_runs(np.array([4])))) == [[4, 4]]
