"""Recordings by byte ranges, and nothing that is not a recording."""

import os

import pytest
from running import SPACE, running, unit

from retrieval import index
from retrieval.serve.media import byte_range, type_of
from retrieval.serve.settings import Settings
from retrieval.store import Store


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", (0, 0)), ("bytes=0-", (0, 99)), ("bytes=10-19", (10, 19)), ("bytes=90-200", (90, 99)),
        ("bytes=99-99", (99, 99)), ("bytes=-1", (99, 99)), ("bytes=-30", (70, 99)), ("bytes=-500", (0, 99)),
        ("bytes=100-", (1, 0)), ("bytes=100-200", (1, 0)), ("bytes=-0", (1, 0)),
        ("bytes=5-4", None), ("bytes=-", None), ("bytes=a-b", None), ("bytes=0-1,3-4", None), ("lines=0-1", None),
        ("bytes=0-1x", None), ("bytes", None), ("", None), ("bytes=--1", None), ("bytes=٣-", None),
        ("bytes=" + "9" * 19 + "-", (1, 0)), ("bytes=" + "9" * 400 + "-", None),
    ],
)  # fmt: skip
def test_ranges(header, span):
    assert byte_range(header, 100) == span


def test_no_range_of_nothing_exists():
    assert byte_range("bytes=0-", 0) == (1, 0)
    assert byte_range("bytes=-5", 0) in ((1, 0), (0, -1))


def test_the_bytes_are_those_of_the_file(service, colors):
    whole = colors.read_bytes()
    answer = service.get("/media/0")
    assert (answer.status, answer.body) == (200, whole)
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    part = service.get("/media/0", Range="bytes=100-299")
    assert (part.status, part.body) == (206, whole[100:300])
    assert part.headers["content-range"] == f"bytes 100-299/{len(whole)}"
    end = service.get("/media/0", Range="bytes=-7")
    assert (end.status, end.body) == (206, whole[-7:])
    beyond = service.get("/media/0", Range=f"bytes={len(whole)}-")
    assert (beyond.status, beyond.body, beyond.headers["content-range"]) == (416, b"", f"bytes */{len(whole)}")
    several = service.get("/media/0", Range="bytes=0-1,5-6")
    assert (several.status, several.body) == (200, whole)
    head = service.ask("HEAD", "/media/0", Range="bytes=0-9")
    assert (head.status, head.body, head.headers["content-length"]) == (206, b"", "10")


def test_a_file_that_changed_is_sent_whole(service):
    tag = service.get("/media/0").headers["etag"]
    assert service.get("/media/0", Range="bytes=0-9", If_Range=tag).status == 206
    assert service.get("/media/0", Range="bytes=0-9", If_Range='"old"').status == 200
    unchanged = service.get("/media/0", If_None_Match=tag)
    assert (unchanged.status, unchanged.body) == (304, b"")


def test_only_recordings_are_served_however_a_row_names_them(tmp_path, colors):
    inside = tmp_path / "inside"
    inside.mkdir()
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (inside / "page.svg").write_text("<svg onload='alert(1)'/>")
    os.mkfifo(inside / "pipe.mp4")
    (inside / "folder.mp4").mkdir()
    (inside / "link.mp4").symlink_to(colors)
    (inside / "notes.txt").write_text("secret")
    (inside / "called.mp4").symlink_to(inside / "notes.txt")
    good = inside / "good.mp4"
    good.write_bytes(b"clip")
    (inside / "empty.wav").write_bytes(b"")
    paths = [
        secret, "/etc/passwd", inside / "page.svg", inside / "pipe.mp4", inside / "folder.mp4", inside / "gone.mp4",
        inside / "link.mp4", f"{inside}/../inside/x\0.mp4", "http://127.0.0.1/x.mp4", inside / "empty.wav", good,
        inside / "called.mp4",
    ]  # fmt: skip
    with Store.create(tmp_path / "store", SPACE) as store:
        rows = [
            {"recording": f"r{n}", "path": str(path), "start": 0, "end": 1, "modality": "video"}
            for n, path in enumerate(paths)
        ]
        store.add([unit(0)] * len(paths), rows)
        index.build(store)
    with running(tmp_path / "store", tmp_path / "up", None, Settings(port=0, media=inside)) as client:
        statuses = [client.get(f"/media/{number}").status for number in range(len(paths))]
        assert statuses == [404] * 9 + [200, 200, 404]
        assert client.get("/media/10", Range="bytes=1-2").body == b"li"
        assert client.get("/media/9", Range="bytes=0-").status == 416
    with running(tmp_path / "store", tmp_path / "up", None, Settings(port=0)) as client:
        statuses = [client.get(f"/media/{number}").status for number in range(len(paths))]
        assert statuses == [404] * 6 + [200] + [404] * 2 + [200, 200, 404]


def test_types():
    assert type_of("a.MP4") == "video/mp4"
    assert type_of("a.html") == type_of("a.svg") == type_of("a") == type_of("/etc/passwd") == ""
