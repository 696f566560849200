"""The same hits from a store in a directory, by brute force, and from Milvus; and what Milvus cannot do is one line."""

import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from made_up import SPACE, WIDTH, rows_of, vectors_of

from retrieval.__main__ import main
from retrieval.engine import Directory, mirror
from retrieval.space import Space
from retrieval.store import Store

pytest.importorskip("pymilvus", reason="pymilvus is not installed: pip install avssl[milvus]")
pytest.importorskip("milvus_lite", reason="milvus-lite is not installed: pip install avssl[milvus]")

from retrieval.milvus import MilvusStore


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """One embedded file for all tests, each with a collection of its own: starting one takes a second."""
    path = tmp_path_factory.mktemp("milvus") / "moments.db"
    with MilvusStore.create(path, SPACE, "keeps_it_open"):
        yield path


@pytest.fixture
def milvus(uri, request):
    with MilvusStore.create(uri, SPACE, request.node.name.partition("[")[0]) as made:
        yield made


def pairs(results):
    return [[(hit.id, hit.score) for hit in hits] for hits in results]


def brute(vectors, ids, queries, k):
    wide = vectors.astype(np.float64)
    scores = [(wide * query.astype(np.float64)).sum(axis=1) for query in queries]
    return [sorted(zip(ids, row.tolist(), strict=True), key=lambda hit: (-hit[1], hit[0]))[:k] for row in scores]


def test_three_engines_agree_with_ties(store, milvus):
    random = np.random.default_rng(0)
    vectors = vectors_of(150)
    vectors[random.integers(150, size=75)] = vectors[0]  # so ties run through the k-th place
    store.add(vectors[:90], rows_of(90))
    store.add(vectors[90:], rows_of(150, modality="audio")[90:])
    store.remove(random.choice(150, 30, replace=False))
    mirror(store, milvus)
    directory = Directory(store)
    ids = store.ids().tolist()
    assert len(milvus) == len(directory) == 120
    queries = np.concatenate([vectors_of(6, 1), vectors[:1]])
    for k in (1, 3, 20, 500):
        wanted = brute(store.vectors(ids), ids, queries, k)
        assert pairs(directory.search(queries, k=k)) == wanted
        assert pairs(milvus.search(queries, k=k)) == wanted
    filters = [
        {"modality": "audio"},
        {"where": ("recording <> ? AND modality = 'video'", ["r3"])},
        {"where": "recording = 'nobody'"},
        {"where": "modality = 'smell'"},
        {"exclude_recording": ["r0", None, "r1", "r0", None, None, "r36"]},
        {"modality": "video", "where": ("recording = ?", ["r3"]), "exclude_recording": "r3"},
    ]
    for chosen in filters:
        wanted, found = (engine.search(queries, k=9, **chosen) for engine in (directory, milvus))
        assert pairs(found) == pairs(wanted), chosen
        assert found == wanted, chosen
    assert milvus.rows(ids[:5]) == directory.rows(ids[:5])
    assert np.array_equal(milvus.vectors(ids[::-1]), directory.vectors(ids[::-1]))


def test_directory_sees_what_is_added_and_removed(store):
    directory = Directory(store)
    vectors = vectors_of(8)
    ids = directory.add(vectors[:4], rows_of(4))
    assert directory.search(vectors[:1], k=1)[0][0].id == ids[0]
    later = directory.add(vectors[4:], rows_of(8)[4:])
    assert directory.search(vectors[5:6], k=1)[0][0].id == later[1]
    directory.remove([later[1]])
    assert later[1] not in [hit.id for hit in directory.search(vectors[5:6], k=20)[0]]


def test_add_and_remove(milvus):
    rows = rows_of(6)
    rows[1]["recording"] = rows[1]["path"] = "a\"b' or id > 0 -- \\ é\u2028"
    rows[2]["id"] = 7
    ids = milvus.add(vectors_of(6), rows)
    assert ids[2] == 7
    assert len(set(ids.tolist())) == 6
    assert [row.narration for row in milvus.rows(ids)] == [row["narration"] for row in rows]
    mine = rows[1]["recording"]
    assert [hit.id for hit in milvus.search(vectors_of(1), where=("recording = ?", [mine]))[0]] == [ids[1]]
    assert len(milvus.search(vectors_of(1), exclude_recording=mine)[0]) == 5
    assert milvus.remove(ids[:2]) == 2
    assert len(milvus) == 4
    assert ids[0] not in [hit.id for hit in milvus.search(vectors_of(1), k=10)[0]]
    # An id follows from what the row is about, so what was removed may come back as what it was.
    assert milvus.add(vectors_of(1), rows[:1]).tolist() == ids[:1].tolist()


def test_wrong_requests(milvus, uri, tmp_path):
    milvus.add(vectors_of(2), rows_of(2))
    again = {**rows_of(3)[2], "id": int(milvus.add(vectors_of(3)[2:], rows_of(3)[2:])[0])}
    wrong = [
        (lambda: milvus.add(vectors_of(1), rows_of(1)), "is in the store already, as id"),
        (lambda: milvus.add(vectors_of(1), [{**again, "start": 1.0}]), "is in the store already"),
        (lambda: milvus.add(vectors_of(4)[2:], [rows_of(9)[8]] * 2), "is also row 0"),
        (lambda: milvus.add(np.full((1, WIDTH), np.nan), rows_of(9)[8:]), "not finite"),
        (lambda: milvus.add(np.ones((1, WIDTH + 1)), rows_of(9)[8:]), "must be shaped"),
        (lambda: milvus.add(vectors_of(1), [{**rows_of(9)[8], "narration": "é" * 40_000}]), "more than 65535 bytes"),
        (lambda: milvus.remove([5]), "holds no id 5"),
        (lambda: milvus.search(vectors_of(1), k=0), "k must be"),
        (lambda: milvus.search(vectors_of(1), modality="smell"), "not one of the store's"),
        (lambda: milvus.search(vectors_of(1), where="start > 3"), "needs the store in its directory"),
        (lambda: milvus.search(vectors_of(1), where="recording = ?"), "needs the store in its directory"),
        (lambda: milvus.search(vectors_of(1), where=("recording = 'a'", ["b"])), "have no question mark"),
        (lambda: milvus.search(vectors_of(1), space=Space("main", "other", ("video",), WIDTH)), "embed again"),
        (lambda: MilvusStore.create(uri, SPACE, "keeps_it_open"), "already holds a collection"),
        (lambda: MilvusStore.open(uri, "nothing"), "holds no collection nothing"),
        (lambda: MilvusStore.open(uri, "no name"), "letters, digits and underscores"),
        (lambda: MilvusStore.open(tmp_path / "moments.sqlite"), "neither an address"),
        (lambda: MilvusStore.open(tmp_path / "none" / "moments.db"), "there is no folder"),
        (lambda: MilvusStore.create(uri, Space("main", "d", ("video",), 1), "narrow"), "2 to 32768"),
    ]
    for call, told in wrong:
        with pytest.raises(ValueError, match=told) as error:
            call()
        assert "\n" not in str(error.value)
    assert len(milvus) == 3


def test_mirror_makes_equal_from_anywhere(store, milvus):
    store.add(vectors_of(40), rows_of(40))
    assert mirror(store, milvus) == (40, 0, 0)
    assert mirror(store, milvus) == (0, 0, 40)
    # Half of it is lost, one row is another's, and a stranger came: what a killed copy or a careless hand leaves.
    milvus.remove(range(10, 30))
    milvus.remove([3])
    milvus.add(vectors_of(1, 5), [{**rows_of(1)[0], "id": 3, "start": 0.5}])
    milvus.add(vectors_of(1, 6), [{**rows_of(1)[0], "id": 99, "start": 0.25}])
    assert mirror(store, milvus) == (21, 2, 19)
    ids = store.ids().tolist()
    assert milvus.digests().keys() == set(ids)
    assert milvus.rows(ids) == store.rows(ids)
    assert np.array_equal(milvus.vectors(ids), store.vectors(ids))
    other = Store.create(store.directory.parent / "other", Space("main", "another", ("video",), WIDTH))
    with other, pytest.raises(ValueError, match="embed again"):
        mirror(other, milvus)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_by_address_and_server_gone(tmp_path):
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ConnectionError, match="does not answer"):
        MilvusStore.open(address, timeout_seconds=1)
    serving = (
        "import sys; from milvus_lite.adapter.grpc.server import run_server; "
        "run_server(sys.argv[1], '127.0.0.1', int(sys.argv[2]))"
    )
    words = [sys.executable, "-c", serving, tmp_path / "served", address.rpartition(":")[2]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as server:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    milvus = MilvusStore.create(address, SPACE, timeout_seconds=5)
                    break
                except ConnectionError:
                    assert time.monotonic() < deadline
                    assert server.poll() is None
                    time.sleep(0.2)
            ids = milvus.add(vectors_of(20), rows_of(20))
            with MilvusStore.open(address) as second:
                assert second.space == SPACE
                assert [hit.id for hit in second.search(vectors_of(1), k=1)[0]] == ids[:1].tolist()
        finally:
            server.kill()
    with pytest.raises(ConnectionError, match="does not answer") as error:
        milvus.search(vectors_of(1))
    assert "\n" not in str(error.value)
    milvus.close()


def test_a_file_outlives_its_process(tmp_path):
    path = tmp_path / "moments.db"
    with MilvusStore.create(path, SPACE) as first:
        ids = first.add(vectors_of(5), rows_of(5))
        with MilvusStore.open(path) as second:  # closing one does not take the file from the other
            assert len(second) == 5
        assert len(first) == 5
    with MilvusStore.open(path) as again:
        assert again.space == SPACE
        assert [hit.id for hit in again.search(vectors_of(5)[4:], k=1)[0]] == ids[4:].tolist()


def test_at_the_terminal(store, tmp_path, capsys):
    store.add(vectors_of(6), rows_of(6))
    path, query = str(tmp_path / "moments.db"), str(tmp_path / "q.npy")
    np.save(query, vectors_of(6)[4])
    assert main(["mirror", str(store.directory), path]) == 0
    assert "6 added, 0 removed, 0 were there" in capsys.readouterr().out
    store.remove([5])
    assert main(["mirror", str(store.directory), path]) == 0
    assert "0 added, 1 removed, 5 were there" in capsys.readouterr().out
    assert main(["search-milvus", path, "--vector", query, "--top", "1"]) == 0
    assert capsys.readouterr().out == "videos/r1.mp4 @ 00:00:00.0  1.000  moment 4\n"
    gone = f"http://127.0.0.1:{free_port()}"
    for words, told in (
        (["mirror", str(store.directory), gone], "does not answer"),
        (["search-milvus", gone, "--vector", query], "does not answer"),
        (["search-milvus", path, "--vector", query, "--where", "start > 1"], "needs the store in its directory"),
    ):
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert told in err
        assert err.count("\n") == 1
