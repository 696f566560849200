"""The files of an index: moved, damaged, missing, half written, and built by one while another loads."""

import shutil
import threading

import numpy as np
import pytest
from gathering import SPACE, clustered

from retrieval import index, loading, parts
from retrieval.kinds import KINDS
from retrieval.store import Store

QUERIES = clustered(24, seed=3)[0]


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store", SPACE) as made:
        made.add(*clustered(900))
        yield made


def files(store):
    return [name for part in index.find_entry(store)["parts"] for name in (part["file"], part["apart"]) if name]


def test_lists_on_disk_move_with_the_store(store, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(parts, "SHARD", 70)  # so that each part is put together from several
    built = index.build(store, "ivf-disk", flat_below=100)
    in_memory = index.build(store, "ivf-sq8", flat_below=100)
    before = built.nearest(QUERIES, 10)
    for one, other in zip(before, in_memory.nearest(QUERIES, 10), strict=True):
        np.testing.assert_array_equal(one, other)
    lists = [name for name in store.manifest["files"] if name.endswith(".lists")]
    assert len(lists) == 3
    assert str(store.directory).encode() not in b"".join(path.read_bytes() for path in store.directory.iterdir())
    store.close()
    moved = tmp_path / "elsewhere" / "moved"
    shutil.copytree(store.directory, moved)
    shutil.rmtree(store.directory)
    with Store.open(moved, verify=True) as again:
        for one, other in zip(before, index.load(again, "ivf-disk").nearest(QUERIES, 10), strict=True):
            np.testing.assert_array_equal(one, other)
        again.add(*clustered(30, seed=1))
        assert len(index.extend(again, kind="ivf-disk")) == 930
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("kind", KINDS)
def test_any_changed_file_is_refused(store, kind):
    index.build(store, kind, flat_below=100)
    assert len(files(store)) == (6 if kind == "ivf-disk" else 3)
    for name in files(store):
        path = store.directory / name
        whole = path.read_bytes()
        for place in np.linspace(0, len(whole) - 1, 7).astype(int):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            with pytest.raises(ValueError, match=f"{name} is damaged: .*build the index again"):
                index.load(store)
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            index.load(store)
        path.unlink()
        with pytest.raises(ValueError, match=f"{name} is missing; build the index again"):
            index.load(store)
        path.write_bytes(whole)
    assert len(index.load(store)) == 900


def test_a_file_that_faiss_cannot_read_is_told(store, monkeypatch):
    monkeypatch.setattr(loading, "sha256_of", lambda _: "0" * 64)
    index.build(store)
    for entry in store.manifest["files"].values():
        entry["sha256"] = "0" * 64
    (store.directory / files(store)[0]).write_bytes(b"not an index")
    with pytest.raises(ValueError, match="is no FAISS index; build the index again"):
        index.load(store)


def test_lists_of_another_length_are_told(store, monkeypatch):
    index.build(store, "ivf-disk", flat_below=100)
    monkeypatch.setattr(loading, "sha256_of", lambda _: "0" * 64)
    for entry in store.manifest["files"].values():
        entry["sha256"] = "0" * 64
    path = store.directory / next(name for name in files(store) if name.endswith(".lists"))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="does not hold 6 lists"):
        index.load(store)


@pytest.mark.parametrize("kind", KINDS)
def test_what_fails_while_it_is_built_leaves_the_old(store, kind, monkeypatch):
    before = index.build(store, kind, flat_below=100).nearest(QUERIES, 5)

    def full(*_):
        raise OSError(28, "No space left on device")

    for part in ("fill", "with_lists") if kind == "ivf-disk" else ("fill",):
        with monkeypatch.context() as patched:
            patched.setattr(parts if kind == "ivf-disk" and part == "fill" else index, part, full)
            with pytest.raises(OSError, match="No space left"):
                index.build(store, kind, flat_below=100)
        assert index.find_entry(store)["kind"] == kind
        np.testing.assert_array_equal(index.load(store).nearest(QUERIES, 5)[1], before[1])
    store.add(*clustered(3, seed=5))  # whoever writes next sweeps what was left
    names = {path.name for path in store.directory.iterdir()}
    assert names == set(store.manifest["files"]) | {"manifest.json", "lock"}


@pytest.mark.parametrize("kind", KINDS)
def test_threads_share_an_index(store, kind):
    built = index.build(store, kind, flat_below=100)
    filters = [None, store.ids("start < 450"), np.arange(0, 900, 2)]
    expected = [built.nearest(QUERIES, 5, only=only)[1] for only in filters]
    wrong = []

    def ask():
        for number in range(20):
            only = filters[number % 3]
            if not np.array_equal(built.nearest(QUERIES, 5, only=only)[1], expected[number % 3]):
                wrong.append(number)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_a_person_is_told(store):
    index.build(store, "ivf-sq8", flat_below=100)
    first, *middle, last = index.describe(index.find_entry(store))
    assert first == "ivf-sq8, 900 vectors in 3 parts"
    told = [line.split(":")[0] for line in middle]
    assert told == [f"{name}, 300 vectors, 40 bytes of memory each" for name in store.space.modalities]
    assert all("of 6 lists looked at" in line for line in middle)
    assert last.startswith("recall@10 of 0.98 asked, measured at 900: audio -> audio ")
    assert last.count("->") == 9
    index.build(store, "exact")
    assert index.describe(index.find_entry(store))[1].endswith(" vectors, 136 bytes of memory each: all looked at")
    index.build(store, "ivf-disk", flat_below=100)
    assert "300 vectors, 0 bytes of memory each" in index.describe(index.find_entry(store))[1]
