"""What is too much for a service: too long, too often, too many at once, too slow, and clients that go away."""

import contextlib
import socket
import threading

import pytest
from running import Painter, multipart, running

from retrieval.serve.app import Service
from retrieval.serve.settings import Limits, Settings


def test_too_long_questions(service):
    answer = service.post("/api/search", {"text": "red", "x": "y" * (64 << 10)})
    assert answer.status == 413


def limited(stored, tmp_path, **limits):
    return running(stored, tmp_path / "up", Painter(), Settings(port=0, limits=Limits(**limits)))


def test_uploads_that_are_too_large_with_and_without_a_stated_length(stored, tmp_path):
    with limited(stored, tmp_path, upload_bytes=1000) as client:
        assert client.upload("/api/search/upload", b"red", kind="audio").status == 200
        with contextlib.closing(socket.create_connection(("127.0.0.1", client.port), timeout=20)) as stated:
            stated.sendall(b"POST /api/search/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n")
            assert stated.recv(100).startswith(b"HTTP/1.1 413")
        body = multipart([("file", "a", b"r" * 200_000)], {"kind": "audio"})
        head = "POST /api/search/upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        with contextlib.closing(socket.create_connection(("127.0.0.1", client.port), timeout=20)) as chunked:
            chunked.sendall(head.encode() + f"{len(body):x}\r\n".encode() + body[:150_000])
            assert chunked.recv(100).startswith(b"HTTP/1.1 413")
        assert not list(client.folder.iterdir())


def test_who_asks_too_often_is_told_to_wait(stored, tmp_path):
    with limited(stored, tmp_path, uploads_per_minute=2) as client:
        answers = [client.upload("/api/search/upload", b"red", kind="audio") for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert int(answers[-1].headers["retry-after"]) > 0
    with limited(stored, tmp_path, requests_per_minute=3) as client:
        assert [client.get("/api/info").status for _ in range(4)] == [200, 200, 200, 429]


def test_too_many_questions_that_wait_for_the_network(stored, tmp_path):
    begun, go_on = threading.Semaphore(0), threading.Event()

    class Busy(Painter):
        def embed(self, kind, given):
            begun.release()
            assert go_on.wait(30)
            return super().embed(kind, given)

    settings = Settings(port=0, limits=Limits(waiting=1))
    with running(stored, tmp_path / "up", Busy(), settings) as client:
        first = []
        thread = threading.Thread(target=lambda: first.append(client.post("/api/search", {"text": "red"})))
        thread.start()
        assert begun.acquire(timeout=30)
        assert client.post("/api/search", {"text": "red"}).status == 503
        assert client.get("/api/info").status == 200  # what needs no network goes on
        go_on.set()
        thread.join(30)
        assert first[0].status == 200


def closes(connection):
    """Whether the other side ends the connection; what it still says is let go."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(1 << 16):
            pass
    return True


def test_slow_clients_are_given_up(stored, tmp_path):
    limits = {"header_seconds": 0.3, "body_seconds": 0.3, "stall_seconds": 0.3}
    with limited(stored, tmp_path, **limits) as client:
        address = ("127.0.0.1", client.port)
        with contextlib.closing(socket.create_connection(address, timeout=20)) as silent:
            assert closes(silent)
        with contextlib.closing(socket.create_connection(address, timeout=20)) as dribbling:
            dribbling.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
            with contextlib.suppress(ConnectionError):
                while True:  # ends when the server has closed it, for sending to a closed connection fails
                    dribbling.sendall(b"y")
                    threading.Event().wait(0.02)
        with contextlib.closing(socket.create_connection(address, timeout=20)) as body:
            body.sendall(b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n{")
            assert b" 408 " in body.recv(200)
            assert closes(body)
        assert client.get("/api/info").status == 200


@pytest.mark.parametrize("path", ["/api/search", "/api/search/upload", "/api/items/0/heat"])
def test_a_client_that_goes_away_is_no_error(stored, tmp_path, capfd, path):
    """It closes in the middle of what it sends: nothing is logged, and others are answered."""
    ended = threading.Event()

    class Told(Service):
        async def search(self, request):
            return await self._until_gone(super().search(request))

        async def search_upload(self, request):
            return await self._until_gone(super().search_upload(request))

        async def heat(self, request):
            return await self._until_gone(super().heat(request))

        async def _until_gone(self, answer):
            try:
                return await answer
            finally:
                ended.set()

    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000\r\n"
    head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    body = multipart([("file", "a", b"r" * 2000)], {"kind": "audio"})
    with running(stored, tmp_path / "up", Painter(), Settings(port=0), Told) as client:
        with contextlib.closing(socket.create_connection(("127.0.0.1", client.port), timeout=20)) as leaving:
            leaving.sendall(head.encode() + body[:1000])
        assert ended.wait(30)
        assert client.get("/api/info").status == 200
        assert not list(client.folder.iterdir())
    assert capfd.readouterr().err == ""


def test_a_client_that_takes_nothing_is_given_up(tmp_path):
    from running import make_store

    large = tmp_path / "large.mp4"
    with open(large, "wb") as file:
        file.truncate(256 << 20)
    store = make_store(tmp_path / "store", (large, "large"))
    with limited(store, tmp_path, stall_seconds=0.3) as client:
        stalled = socket.create_connection(("127.0.0.1", client.port), timeout=20)
        with contextlib.closing(stalled), contextlib.suppress(ConnectionError):
            stalled.sendall(b"GET /media/0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            threading.Event().wait(1.5)
            taken = 0
            while data := stalled.recv(1 << 20):
                taken += len(data)
        assert taken < 256 << 20


def test_a_head_without_end_is_refused(service):
    with contextlib.closing(socket.create_connection(("127.0.0.1", service.port), timeout=20)) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * (200 << 10))
            assert b" 400 " in connection.recv(200)
        assert closes(connection)
