"""What strangers may not do: other names, other sites, other files, no token, and questions that are none."""

import contextlib
import json
import socket

import pytest
from running import Painter, running

from retrieval.serve.settings import Limits, Settings

TOKEN = "a-token-that-nobody-guesses"
CLIMBS = [
    "/page/../../settings.py", "/page/..%2f..%2fsettings.py", "/page/%2e%2e/%2e%2e/settings.py",
    "/page//etc/passwd", "/page/%2fetc%2fpasswd", "/page/settings.py", "/media/../../etc/passwd",
    "/media/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/media//etc/passwd", "/media/etc/passwd", "/media/0/../../x",
    "/media/file:%2f%2f%2fetc%2fpasswd", "/media/http:%2f%2f127.0.0.1%2f", "/media/-1", "/media/0x1", "/media/1e3",
    "/api/items/../info%00", "//etc/passwd", "/..%5c..%5cwindows", "/page/index.html%00.js", "/api/items/0%00",
]  # fmt: skip


@pytest.mark.parametrize("path", CLIMBS)
def test_no_path_of_a_request_leads_to_a_file(service, path):
    answer = service.get(path)
    assert answer.status == 404, (path, answer.body[:200])
    assert "error" in answer.json
    assert b"root:" not in answer.body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "192.168.0.7", "["])
def test_other_names_are_refused(service, host):
    assert service.get("/api/info", Host=host).status == 400
    assert service.get("/", Host=host).status == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8080", "LOCALHOST:5"])
def test_names_of_this_machine_are_good(service, host):
    assert service.get("/api/info", Host=host).status == 200


def test_other_sites_may_not_ask(service):
    good = service.url.rstrip("/")
    assert service.post("/api/search", {"text": "red"}, Origin=good).status == 200
    for origin in ("http://evil.example", "null", good + ".evil.example", "http://127.0.0.1:1", "http://["):
        answer = service.post("/api/search", {"text": "red"}, Origin=origin)
        assert answer.status == 403, origin
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    for site in ("cross-site", "same-site"):
        assert service.get("/media/0", Sec_Fetch_Site=site).status == 403
        assert service.get("/api/info", Sec_Fetch_Site=site).status == 403
    assert service.get("/", Sec_Fetch_Site="cross-site").status == 200  # a link to the page is no harm


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/api/info", "/media/0", "/nothing", "/openapi.json"])
def test_every_answer_is_sealed(service, path):
    headers = service.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["server"] is None
    assert "access-control-allow-origin" not in headers


@pytest.fixture
def locked(stored, tmp_path):
    limits = Limits(guesses_per_minute=4)
    settings = Settings(port=0, token=TOKEN, limits=limits)
    with running(stored, tmp_path / "up", Painter(), settings) as client:
        yield client


def test_a_token_opens_by_header_and_by_cookie(locked):
    assert locked.get("/").status == 200
    assert locked.get("/api/info", Authorization=f"Bearer {TOKEN}").status == 200
    opened = locked.post("/api/session", {}, Authorization=f"Bearer {TOKEN}")
    assert opened.status == 204
    cookie = opened.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    kept = cookie.partition(";")[0]
    assert locked.get("/media/0", Cookie=kept).status == 200
    assert locked.get("/api/info", Cookie=kept[:-1] + "x").status == 401


def test_wrong_tokens_are_refused_and_then_not_even_looked_at(locked):
    statuses = [locked.get("/api/info", Authorization=f"Bearer {guess}").status for guess in ("", "x", TOKEN[:-1])]
    assert statuses == [401, 401, 401]
    assert locked.get("/media/0").status == 401
    assert locked.get("/api/info", Authorization="Bearer \xe9").status == 429


def test_others_can_only_ask_where_there_is_a_token():
    with pytest.raises(ValueError, match="needs a token"):
        Settings(host="0.0.0.0")
    with pytest.raises(ValueError, match="at least 16"):
        Settings(host="0.0.0.0", token="short")
    settings = Settings(host="0.0.0.0", token=TOKEN, names=("box.lan",))
    assert settings.allows("box.lan:8765")
    assert settings.allows("10.1.2.3:8765")
    assert not settings.allows("evil.example")


@pytest.mark.parametrize(
    "asked",
    [
        [], 3, {}, {"text": ""}, {"text": 3}, {"text": "x" * 1001}, {"text": "red", "top": 0},
        {"text": "red", "top": 101},
        {"text": "red", "top": True}, {"text": "red", "among": "smell"}, {"item": -1}, {"item": "0"}, {"item": 2**70},
        {"text": "red", "where": "1=1"}, {"text": "red", "filters": []}, {"text": "red", "filters": {"sql": "1"}},
        {"text": "red", "filters": {"columns": {'a"b': 1}}}, {"text": "red", "filters": {"columns": {"a": [1]}}},
        {"text": "red", "filters": {"since": "now"}}, {"text": "red", "filters": {"since": 10**400}},
        {"text": "red", "filters": {"until": -(10**400)}}, {"text": "red", "filters": {"columns": {"a": 2**63}}},
        {"text": "\ud800"}, {"text": "red", "path": "/etc/passwd"},
    ],
)  # fmt: skip
def test_wrong_questions_are_one_line(service, asked):
    answer = service.post("/api/search", asked)
    assert answer.status == 400, answer.body
    assert "\n" not in answer.json["error"]
    assert 0 < len(answer.json["error"]) < 300


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"text": NaN}', b"[" * 60000, b'{"top": 1e999, "text": "red"}'])
def test_what_is_no_json(service, body):
    assert service.ask("POST", "/api/search", body).status == 400


@pytest.mark.parametrize(
    ("files", "fields"),
    [
        ([], {"kind": "audio"}),
        ([("file", "a", b"red"), ("file", "b", b"red")], {"kind": "audio"}),
        ([("file", "a", b"red"), ("other", "b", b"red")], {"kind": "audio"}),
        ([("path", "a", b"red")], {"kind": "audio"}),
        ([("file", "a", b"red")], {}),
        ([("file", "a", b"red")], {"kind": "text"}),
        ([("file", "a", b"red")], {"kind": "audio", "url": "http://127.0.0.1/"}),
        ([("file", "a", b"red")], {"kind": "audio", "question": "["}),
        ([("file", "a", b"red")], {"kind": "audio", "question": '{"path": "/etc/passwd"}'}),
        ([("file", "a", b"red")], {"kind": "audio", "question": "1" * (65 << 10)}),
        ([("file", "a", b"")], {"kind": "audio"}),
        ([("file", "a", b"\x00\x01 no color")], {"kind": "video"}),
    ],
)
def test_wrong_uploads(service, files, fields):
    answer = service.send("/api/search/upload", files, fields)
    assert answer.status == 400, answer.body
    assert str(service.folder) not in answer.json["error"]
    assert not list(service.folder.iterdir())


@pytest.mark.parametrize(
    "body", [b"", b"--x", b"--x\r\n\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\nred\r\n--x--"]
)
def test_what_is_no_upload(service, body):
    answer = service.ask("POST", "/api/search/upload", body, content_type="multipart/form-data; boundary=x")
    assert answer.status == 400, answer.body


def test_a_fault_of_ours_tells_nothing_and_removes_the_upload(service):
    answer = service.upload("/api/search/upload", b"crash", kind="audio")
    assert answer.status == 500
    assert "fault" not in answer.json["error"]
    slow = service.upload("/api/search/upload", b"slow", kind="audio")
    assert slow.status == 422
    assert not list(service.folder.iterdir())


@pytest.mark.parametrize("name", ["../../../tmp/x", "/etc/passwd", "http://127.0.0.1/x", "a\\..\\b", "x" * 300])
def test_the_name_of_an_upload_is_nobodys(service, name):
    answer = service.upload("/api/search/upload", b"red", name=name, kind="image")
    assert answer.status == 200
    kept = service.painter.paths[-1]
    assert kept.parent == service.folder
    assert len(kept.name) == 32


def test_no_address_is_ever_fetched(service):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as trap:
        trap.settimeout(0.5)
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/secret"
        assert service.post("/api/search", {"text": url}).status == 400
        assert service.upload("/api/search/upload", url.encode(), name=url, kind="video").status == 400
        assert service.upload("/api/search/upload", f"#EXTM3U\n{url}\n".encode(), kind="audio").status == 400
        assert service.post("/api/search", {"text": "red", "url": url}).status == 400
        assert service.post("/api/items/0/heat", {"text": "red", "file": url}).status == 400
        assert service.get("/media/0?url=" + url).status == 200
        with pytest.raises(TimeoutError):
            trap.accept()


def test_no_websockets_and_no_other_methods(service):
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "eA==",
        "Sec-WebSocket-Version": "13",
    }
    assert (
        service.ask("GET", "/api/info", **{name.replace("-", "_"): value for name, value in upgrade.items()}).status
        == 200
    )
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"):
        assert service.ask(method, "/api/items/0").status == 405
    assert json.loads(service.get("/api/search").body)["error"]
