"""The running server: one address, clients that must not dawdle, and an end that leaves nothing behind."""

import asyncio
import signal
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from retrieval.serve.app import Service
from retrieval.serve.collection import Collection
from retrieval.serve.encoder import Encoder
from retrieval.serve.settings import EVERYWHERE, Limits, Settings

KEEP_ALIVE_SECONDS = 15
HEAD_BYTES = 32 << 10


class Patient(H11Protocol):
    """A connection that is given up when a request's head does not come, or nothing of an answer is taken."""

    def __init__(self, *arguments: Any, limits: Limits, **named: Any):
        super().__init__(*arguments, **named)
        self._limits = limits
        self._head: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Wait on while a head is not whole: the time for it runs from its first byte, however often one comes."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            if self._head is None:
                self._await_head()
        elif self._head is not None:
            self._head.cancel()
            self._head = None

    def pause_writing(self) -> None:
        """The client takes nothing at the moment."""
        super().pause_writing()
        self._stall = self.loop.call_later(self._limits.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It goes on."""
        super().resume_writing()
        self._forget_stall()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        super().connection_lost(exc)
        self._forget_stall()
        if self._head is not None:
            self._head.cancel()

    def _await_head(self) -> None:
        self._head = self.loop.call_later(self._limits.header_seconds, self.transport.abort)

    def _forget_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


def make_server(app: ASGIApp, settings: Settings) -> uvicorn.Server:
    """A server for `app`; `run(sockets=[listen(settings)])` runs it until its `should_exit` is set."""
    config = uvicorn.Config(
        app,
        http=partial(Patient, limits=settings.limits),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=3,
        limit_concurrency=settings.limits.connections,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    return uvicorn.Server(config)


def listen(settings: Settings) -> socket.socket:
    """The socket of an address. Raises ValueError, one line, when it cannot be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind)
    except OSError as error:
        raise ValueError(f"{settings.host} is no address to listen on: {error.strerror}") from None
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except OSError as error:
        found.close()
        raise ValueError(
            f"cannot listen on {settings.host} port {settings.port} ({error.strerror}); choose another with --port"
        ) from None
    return found


def address(settings: Settings, listening: socket.socket) -> str:
    """What to open in a browser; the token is behind the #, which browsers keep to themselves."""
    port = listening.getsockname()[1]
    host = socket.gethostname() if settings.host in EVERYWHERE else settings.host
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + (f"#token={settings.token}" if settings.token else "")


def serve(
    directory: str | Path,
    encoder: Encoder | None,
    settings: Settings,
    *,
    open_browser: bool = False,
    tell: Callable[[str], None] = print,
) -> None:
    """Serve a store until Ctrl-C or SIGTERM. Raises ValueError, one line, if it cannot be begun."""
    with closing(Collection(directory)) as collection, tempfile.TemporaryDirectory(prefix="retrieval-") as folder:
        service = Service(collection, encoder, settings, Path(folder))
        with closing(listen(settings)) as listening, _ended_by_signal():
            url = address(settings, listening)
            held = len(collection.now().store)
            tell(f"{collection.directory}: {held} vector{'s' if held != 1 else ''} at {url}")
            tell("others can reach it: they need the token in this address" if not settings.loopback else "end: Ctrl-C")
            if open_browser:
                threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
            make_server(service.app(), settings).run(sockets=[listening])


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that what must be removed is. uvicorn sends both again at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
