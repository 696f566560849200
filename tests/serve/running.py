"""A service that runs in this process, with a network that knows three colors, and what is needed to ask it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avssl.data.encode import write_clip
from retrieval import index
from retrieval.regions import add_regions
from retrieval.serve.app import Service
from retrieval.serve.collection import Collection
from retrieval.serve.encoder import Heat, Sought
from retrieval.serve.server import listen, make_server
from retrieval.serve.settings import Settings
from retrieval.space import Space
from retrieval.store import Store

WIDTH = 8
SPACE = Space(name="main", digest="0123456789abcdef", modalities=("video", "audio", "text"), width=WIDTH)
COLORS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
SHOUT = "<img src=x onerror=\"document.title='hacked'\"> red & <script>document.title='hacked'</script>"
SIZE = (64, 48)


def unit(place: int, other: float = 0.0) -> np.ndarray:
    vector = np.full(WIDTH, other, np.float32)
    vector[place] = 1.0
    return vector / np.linalg.norm(vector)


def write_colors(path: Path, seconds: int = 2, fps: int = 10, size: tuple[int, int] = SIZE) -> Path:
    """A recording that is red, then green, then blue, for some seconds each, with a tone."""
    names = [name for name in COLORS for _ in range(seconds * fps)]
    frames = [np.full((size[1], size[0], 3), COLORS[name], np.uint8) for name in names]
    sound = 0.1 * np.sin(2 * np.pi * 440 * np.arange(seconds * 3 * 16000) / 16000).astype(np.float32)
    write_clip(path, frames, fps, sound, gop=5)
    return path


def rows_of(path: Path, recording: str, **extra: Any) -> list[dict[str, Any]]:
    """Three moments of two seconds, as pictures, sounds and words."""
    said = {"red": SHOUT, "green": "now green grass", "blue": "blue sky"}
    return [
        {
            "recording": recording, "path": str(path), "start": 2.0 * place, "end": 2.0 * place + 2.0,
            "modality": modality, "narration": said[name], "extra": {"color": name, "place": place, **extra},
        }
        for modality in SPACE.modalities
        for place, name in enumerate(COLORS)
    ]  # fmt: skip


def vectors_of(other: float = 0.0) -> np.ndarray:
    return np.stack([unit(place, other + 0.1 * number) for number in range(3) for place in range(3)])


def corner(place: int) -> np.ndarray:
    """Cells [2, 4, 3] of a picture that shows a color in its upper right cell."""
    cells = np.zeros((2, 4, len(COLORS)), np.float32)
    cells[0, 3, place] = 1.0
    return cells


def make_store(directory: Path, *recordings: tuple[Path, str], regions: bool = False) -> Path:
    with Store.create(directory, SPACE) as store:
        for number, (path, recording) in enumerate(recordings):
            store.add(vectors_of(0.05 * number), rows_of(path, recording, tag="<b>bold</b>" if number else "plain"))
        if recordings:
            index.build(store)
        if regions:
            pictures = store.rows(store.ids("modality = 'video'"))
            cells = np.stack([corner(row.extra["place"]) for row in pictures])
            add_regions(store, [([row.id for row in pictures], cells)])
    return directory


@dataclass
class Painter:
    """Knows the three colors by name; of a file it reads the bytes, as the name of a color."""

    kinds: tuple[str, ...] = ("text", "image", "audio", "video")
    localizes: tuple[str, ...] = ("text", "audio")
    space: Space = SPACE
    seen: list[tuple[str, Any]] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)

    def embed(self, kind: str, given: str | Path) -> np.ndarray:
        if kind != "text":
            self.paths.append(Path(given))
            given = Path(given).read_bytes()[:40].decode("utf-8", "replace")
        self.seen.append((kind, given))
        if given == "crash":
            raise RuntimeError("a fault of ours")
        if given == "slow":
            raise TimeoutError("took longer than 60 s")
        if given not in COLORS:
            where = f"{self.paths[-1]}: " if kind != "text" else ""
            raise ValueError(f"{where}is no color")
        return unit(list(COLORS).index(given))[None]

    def seek(self, kind: str, given: str | Path) -> Sought | None:
        """As what is embedded; a sound, too."""
        name = given if kind == "text" else Path(given).read_bytes()[:40].decode("utf-8", "replace")
        self.seen.append(("seek", name))
        return Sought(np.eye(len(COLORS), dtype=np.float32)[list(COLORS).index(str(name))], 0.5)

    def localize(self, path: Path, start: float, end: float, kind: str, given: str | Path | None) -> Heat:
        self.seen.append((kind, given if kind == "text" else path.name))
        levels = np.zeros((3, 2, 4), np.uint8)
        levels[:, 0, 3] = (40, 120, 255)
        return Heat(levels, np.linspace(start, end, 3).tolist(), "as painted")

    def close(self) -> None:
        pass


@dataclass
class Asked:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks a service on this machine; the Host header is right unless another is given."""

    def __init__(self, port: int, service: Service, folder: Path, painter: Painter | None):
        self.port, self.service, self.folder, self.painter = port, service, folder, painter
        self.url = f"http://127.0.0.1:{port}/"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Asked:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Asked(answer.status, answer.headers, answer.read())

    def get(self, path: str, **headers: str) -> Asked:
        return self.ask("GET", path, **headers)

    def post(self, path: str, asked: Any, **headers: str) -> Asked:
        return self.ask("POST", path, json.dumps(asked).encode(), content_type="application/json", **headers)

    def upload(self, path: str, content: bytes, name: str = "query", **fields: str) -> Asked:
        return self.send(path, [("file", name, content)], fields)

    def send(self, path: str, files: list[tuple[str, str, bytes]], fields: dict[str, str]) -> Asked:
        return self.ask("POST", path, multipart(files, fields), content_type="multipart/form-data; boundary=x")


def spans(answer: Asked) -> list[tuple[str, float, str]]:
    """The recording, start and modality of each moment that was found."""
    assert answer.status == 200, answer.body
    return [(hit["recording"], hit["start"], hit["modality"]) for hit in answer.json["moments"]]


def multipart(files: list[tuple[str, str, bytes]], fields: dict[str, str]) -> bytes:
    """A body of parts between --x."""
    parts = [(f'form-data; name="{name}"', value.encode()) for name, value in fields.items()]
    parts += [(f'form-data; name="{field}"; filename="{name}"', content) for field, name, content in files]
    body = b"".join(
        b"--x\r\nContent-Disposition: " + head.encode() + b"\r\n\r\n" + content + b"\r\n" for head, content in parts
    )
    return body + b"--x--\r\n"


@contextlib.contextmanager
def running(
    directory: Path, folder: Path, painter: Painter | None, settings: Settings, kind: type[Service] = Service
) -> Iterator[Client]:
    """The service on a free port of this machine, until the block ends."""
    folder.mkdir(exist_ok=True)
    with contextlib.closing(Collection(directory)) as collection:
        service = kind(collection, painter, settings, folder)
        with contextlib.closing(listen(settings)) as listening:
            server = make_server(service.app(), settings)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
            thread.start()
            try:
                yield Client(listening.getsockname()[1], service, folder, painter)
            finally:
                server.should_exit = True
                thread.join(20)
                assert not thread.is_alive()
