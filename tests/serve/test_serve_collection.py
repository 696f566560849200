"""A store that is written while it is served, and how a service begins."""

import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from running import SPACE, Painter, make_store, rows_of, running, vectors_of

from retrieval import index
from retrieval.serve import main
from retrieval.serve.settings import Settings
from retrieval.store import Store


def test_what_others_write_shows_without_a_restart(tmp_path, colors):
    directory = make_store(tmp_path / "store", (colors, "first"))
    with running(directory, tmp_path / "up", Painter(), Settings(port=0)) as client:
        recordings = lambda: {hit["recording"] for hit in client.get("/api/items").json["moments"]}  # noqa: E731
        assert recordings() == {"first"}
        with Store.open(directory) as store:
            store.add(vectors_of(0.3), rows_of(colors, "second"))
            behind = client.post("/api/search", {"text": "red"}).json
            assert "index" in behind["behind"]
            assert {hit["recording"] for hit in behind["moments"]} == {"first"}
            index.build(store)
            assert recordings() == {"first", "second"}
            assert client.post("/api/search", {"text": "red"}).json["behind"] == ""
            store.remove(store.ids("recording = ?", ["first"]))
        assert recordings() == {"second"}
        found = client.post("/api/search", {"text": "red", "top": 9}).json["moments"]
        assert {hit["recording"] for hit in found} == {"second"}


def test_an_empty_store_that_is_filled(tmp_path, colors):
    directory = make_store(tmp_path / "store")
    with running(directory, tmp_path / "up", Painter(), Settings(port=0)) as client:
        assert client.post("/api/search", {"text": "red"}).json["moments"] == []
        with Store.open(directory) as store:
            store.add(vectors_of(), rows_of(colors, "first"))
            index.build(store)
        assert client.post("/api/search", {"text": "blue"}).json["moments"][0]["peak"] == 4.0


def test_a_store_that_goes_away_leaves_the_last_view(tmp_path, colors):
    directory = make_store(tmp_path / "store", (colors, "first"))
    with running(directory, tmp_path / "up", Painter(), Settings(port=0)) as client:
        (directory / "manifest.json").write_text("{}")
        answer = client.post("/api/search", {"text": "red"}).json
        assert answer["moments"]
        assert answer["behind"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "nowhere"),
        (["{store}", "--host", "0.0.0.0", "--token", "short"], "at least 16"),
        (["{store}", "--port", "99999"], "port 99999"),
        (["{store}", "--host", "nobody.invalid", "--token", "x" * 20], "no address"),
        (["{store}", "--media", "/nowhere"], "no such folder"),
        (["{unindexed}"], "index"),
    ],
)
def test_what_cannot_be_begun_is_one_line(tmp_path, colors, words, told):
    places = {"store": make_store(tmp_path / "store", (colors, "first")), "unindexed": tmp_path / "unindexed"}
    with Store.create(places["unindexed"], SPACE) as store:
        store.add(vectors_of(), rows_of(colors, "first"))
    with pytest.raises(ValueError, match=told) as raised:
        main([word.format(**places) for word in words])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_alone_without_torch_and_ends_tidily(stored, tmp_path, how):
    script = "import sys; from retrieval.serve import main; code = main(sys.argv[1:]); "
    script += "assert not {'torch', 'avssl'} & set(sys.modules); print('ended', code)"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(stored), "--port", "0"], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert url.startswith("http://127.0.0.1:")
        assert process.stdout.readline().startswith("end")
        with urllib.request.urlopen(url, timeout=20) as page:
            assert b"<title>Find the moment</title>" in page.read()
        assert list(tmp_path.iterdir())
        process.send_signal(how)
        assert process.stdout.read().split() == ["ended", "0"]
        assert process.wait(20) == 0
        assert not list(tmp_path.iterdir())
    finally:
        process.kill()
        process.wait()
