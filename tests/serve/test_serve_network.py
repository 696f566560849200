"""The service over a real network, untrained: strangers' files are read apart, and what comes out is as in search."""

import contextlib
import json
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from contract import tiny
from running import make_store, multipart, running, write_colors

from avssl.cli import _network, _served
from avssl.cli._vectors import Source
from avssl.embedding import Embedder, query
from avssl.embedding.regions import Span, embed_regions, sought
from avssl.train.build import Loaded
from retrieval import index
from retrieval.regions import add_regions
from retrieval.serve.settings import Limits, Settings
from retrieval.space import Space
from retrieval.store import Store

LIMITS = Limits(upload_seconds=8.0)


@pytest.fixture(scope="module")
def loaded():
    run = tiny.run("trimodal")
    return Loaded(run.cfg, run.method().eval(), run.inputs, "d" * 64, None, 0)


@pytest.fixture(scope="module")
def folder(loaded, tmp_path_factory):
    """An index of two recordings, the second of which is not there any more."""
    made = tmp_path_factory.mktemp("network")
    clip = write_colors(made / "clip.mp4")
    embedder = Embedder(loaded.method, loaded.inputs)
    vectors = query(embedder, "video", clip)
    space = Space("main", loaded.digest, embedder.modalities, vectors.shape[1])
    with Store.create(made / "index", space) as store:
        rows = [
            {"recording": path.stem, "path": str(path), "start": float(at), "end": at + 0.5, "modality": "video"}
            for path in (clip, made / "gone.mp4")
            for at in range(len(vectors))
        ]
        store.add(np.concatenate([vectors, vectors]), rows)
        index.build(store)
    Source(str(made), embedder.window.seconds, 0.25).write(made / "index")
    return made


@pytest.fixture(scope="module")
def network(loaded, folder):
    patch = pytest.MonkeyPatch()
    patch.setattr(_network, "load", lambda *_: loaded)
    with Store.open(folder / "index") as store:
        made = _served.Network(folder / "index", None, store.space, LIMITS, "cpu")
    yield made
    made.close()
    patch.undo()


@pytest.fixture(scope="module")
def client(network, folder, tmp_path_factory):
    settings = Settings(port=0, limits=LIMITS)
    with running(folder / "index", tmp_path_factory.mktemp("up"), network, settings) as made:
        yield made


@pytest.mark.parametrize("kind", ["text", "audio", "video", "image"])
def test_vectors_are_those_of_search(network, loaded, folder, kind):
    given = "the bell rings" if kind == "text" else folder / "clip.mp4"
    expected = query(Embedder(loaded.method, loaded.inputs), kind, given)
    assert np.allclose(network.embed(kind, given), expected, atol=1e-5)


def test_an_augmented_index_is_asked_as_it_was_made(network, loaded, folder, tmp_path):
    source = Source.read(folder / "index")
    replace(source, augment=True).write(tmp_path)
    made = _served.Network(tmp_path, folder, network.space, LIMITS, "cpu")
    found = made.embed("audio", folder / "clip.mp4")
    made.close()
    expected = query(Embedder(loaded.method, loaded.inputs, augment=True), "audio", folder / "clip.mp4")
    assert np.allclose(found, expected, atol=1e-5)
    assert not np.allclose(found, network.embed("audio", folder / "clip.mp4"), atol=1e-4)


@pytest.mark.parametrize("kind", ["text", "audio", "video"])
def test_what_is_sought_in_pictures_is_what_search_seeks(network, loaded, folder, kind):
    given = "the bell rings" if kind == "text" else folder / "clip.mp4"
    expected, found = sought(Embedder(loaded.method, loaded.inputs), kind, given), network.seek(kind, given)
    assert (expected is None) == (found is None) == (kind == "video")
    if found is not None:
        assert np.allclose(found.vector, expected, atol=1e-5)
        assert found.threshold is None  # no scale was chosen for this run


def test_words_and_sounds_get_boxes_over_the_network(client, folder, loaded):
    """The index has regions of its first window alone, added while it is served."""
    with Store.open(folder / "index") as store:
        row = store.rows([0])[0]
        spans = [Span(row.id, Path(row.path), row.start)]
        add_regions(store, embed_regions(Embedder(loaded.method, loaded.inputs), spans))
    for answer in (
        client.post("/api/search", {"text": "the bell rings", "top": 50, "windows": True}),
        client.upload("/api/search/upload", (folder / "clip.mp4").read_bytes(), kind="audio",
                      question='{"top": 50, "windows": true}'),
    ):  # fmt: skip
        assert answer.status == 200, answer.body
        boxes = {hit["id"]: hit["box"] for hit in answer.json["moments"]}
        told = boxes.pop(0)
        assert 0 <= told["left"] < told["right"] <= 1
        assert 0 <= told["top"] < told["bottom"] <= 1
        assert (told["start"], told["end"]) == (row.start, row.end)
        assert boxes
        assert set(boxes.values()) == {None}


def test_a_clip_finds_itself(client, folder):
    content = (folder / "clip.mp4").read_bytes()
    found = client.upload("/api/search/upload", content, kind="video", question='{"top": 2, "windows": true}').json
    assert found["moments"][0]["score"] == pytest.approx(1.0, abs=1e-4)
    assert not list(client.folder.iterdir())


@pytest.mark.parametrize("how", ["own", "text", "sound"])
def test_heat_maps_have_a_map_for_each_picture_of_the_moment(client, folder, how):
    span = {"start": 1.0, "end": 2.25}
    if how == "sound":
        content = (folder / "clip.mp4").read_bytes()
        answer = client.upload("/api/items/0/heat", content, kind="audio", question=json.dumps(span))
    else:
        answer = client.post("/api/items/0/heat", span | ({"text": "bell"} if how == "text" else {}))
    assert answer.status == 200, answer.body
    times = answer.json["times"]
    assert times == pytest.approx([1.0 + k / 8 for k in range(10)])
    levels = np.array(answer.json["levels"])
    assert levels.shape == (len(times), answer.json["rows"] * answer.json["columns"])
    assert levels.min() >= 0
    assert levels.max() <= 255
    assert not list(client.folder.iterdir())


def test_a_recording_that_is_gone_has_no_heat_map(client):
    gone = client.get('/api/items?filters={"recording":"gone"}').json["moments"][0]["id"]
    assert client.post(f"/api/items/{gone}/heat", {}).status == 404


@pytest.mark.parametrize(
    ("content", "kind", "told"),
    [
        (b"", "audio", "the upload: is empty"),
        (b"no media at all", "video", "the upload"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio", "the upload"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "image", "the upload"),
        (b"#EXTM3U\n{url}\n", "audio", "playlist"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "video", "playlist"),
        (b'<?xml version="1.0"?><MPD><BaseURL>{url}</BaseURL></MPD>', "video", "playlist"),
        (b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 4 RTP/AVP 96\n", "video", "playlist"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='{url}'/></svg>", "image", "the upload"),
    ],
)
def test_what_is_no_plain_media_file_is_refused_and_nothing_is_fetched(client, content, kind, told):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as trap:
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/x.ts".encode()
        answer = client.upload("/api/search/upload", content.replace(b"{url}", url), kind=kind)
        trap.setblocking(False)
        with pytest.raises(BlockingIOError):
            trap.accept()
    assert answer.status == 400, answer.body
    assert told in answer.json["error"]
    assert str(client.folder) not in answer.json["error"]
    assert not list(client.folder.iterdir())


def test_what_is_too_long_or_lacks_what_is_asked(client, tmp_path):
    long = write_colors(tmp_path / "long.mp4", seconds=4)
    answer = client.upload("/api/search/upload", long.read_bytes(), kind="video")
    assert "at most 8 s" in answer.json["error"]
    picture = Path(tmp_path / "still.png")
    from PIL import Image

    Image.new("RGB", (40, 30), "red").save(picture)
    assert client.upload("/api/search/upload", picture.read_bytes(), kind="image").status == 200
    silent = client.upload("/api/search/upload", picture.read_bytes(), kind="audio")
    assert (silent.status, "no sound" in silent.json["error"]) == (400, True)


def test_a_reader_that_dies_costs_one_answer(client, network, folder):
    hand = network._apart._hand
    hand.process.kill()
    hand.process.join()
    content = (folder / "clip.mp4").read_bytes()
    body = multipart([("file", "x", content)], {"kind": "audio"})
    answers = [
        client.ask("POST", "/api/search/upload", body, content_type="multipart/form-data; boundary=x").status
        for _ in range(2)
    ]
    assert answers[-1] == 200


def test_a_run_that_is_gone_or_another_is_told(folder, tmp_path, network):
    with Store.open(folder / "index") as store:
        space = store.space
    other = make_store(tmp_path / "other")
    Source(str(tmp_path / "nowhere"), 1.0, 0.5).write(other)
    with pytest.raises(ValueError, match="is not there any more"):
        _served.Network(other, None, space, LIMITS)
    with (
        pytest.raises(ValueError, match="embed again"),
        running(other, tmp_path / "up", network, Settings(port=0)),
    ):
        pass
