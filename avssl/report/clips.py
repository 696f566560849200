"""Moments cut out of recordings: as files to keep, or small enough to stand inside a page."""

import base64
import io
import re
import shutil
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from avssl.data.encode import write_clip
from avssl.data.media import decode, probe
from retrieval.files import replacing
from retrieval.search import Hit

HZ = 48000
CHUNK_SECONDS = 2.0
"""pictures decoded at once, so that a long moment needs no more memory than a short one"""
LEAST_SECONDS = 0.5
MOST_FPS = 30.0
STILL_HEIGHT = 192

Made = TypeVar("Made", bound="Clip | str")


def cut(path: Path, start: float, end: float, out: Path, *, height: int = 0, fps: float = 0.0, hz: int = HZ,
        crf: int = 23) -> None:  # fmt: skip
    """Write ``start`` to ``end`` (seconds) of a video to an mp4, with its sound if it has any.

    Args:
        path: the recording; it must have a picture.
        start: first moment.
        end: after the last; at least half a second is cut.
        out: the file; it appears whole.
        height: of the picture in pixels; 0 keeps the recording's.
        fps: pictures per second; 0 keeps the recording's, up to 30.
        hz: of the sound.
        crf: quality, lower is better.
    """
    header = probe(path)
    picture = header.pictures[0]
    rate = fps or min(picture.fps, MOST_FPS)
    end = max(end, start + LEAST_SECONDS)
    size = (picture.height, picture.width)
    if height and height < picture.height:
        size = (height, max(2, round(picture.width * height / picture.height / 2) * 2))
    sound = decode(path, audio=(start, end - start), hz=hz).audio if header.sounds else None
    write_clip(out, _frames(path, start, end, rate, size), rate, sound, hz, crf=crf)


def _frames(path: Path, start: float, end: float, fps: float, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    count, step = max(1, round((end - start) * fps)), max(1, round(CHUNK_SECONDS * fps))
    for first in range(0, count, step):
        times = start + np.arange(first, min(first + step, count)) / fps
        yield from decode(path, times=times, size=size).video.transpose(0, 2, 3, 1)


def cut_hit(hit: Hit, folder: Path, rank: int) -> Path:
    """Cut a found moment into ``folder`` and return the file: a video as .mp4, a sound as .wav, a picture as it is."""
    path = Path(hit.path)
    header = probe(path)
    stem = re.sub(r"[^\w.-]+", "_", path.stem)[:80]
    name = f"{rank:02d}-{stem}_at_{hit.peak:.1f}s"
    if header.duration is None:
        out = folder / f"{name}{path.suffix}"
        with replacing(out) as partial:
            shutil.copyfile(path, partial)
    elif header.pictures:
        out = folder / f"{name}.mp4"
        cut(path, hit.start, hit.end, out)
    else:
        out = folder / f"{name}.wav"
        _cut_sound(path, hit.start, hit.end, header.sounds[0].hz, out)
    return out


def _cut_sound(path: Path, start: float, end: float, hz: int, out: Path) -> None:
    sound = decode(path, audio=(start, max(end - start, LEAST_SECONDS)), hz=hz).audio
    with replacing(out) as partial, wave.open(str(partial), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(hz)
        file.writeframes(np.rint(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())


class Clip(NamedTuple):
    """A video inside a page: itself, and a still to show before it is played, both as ``data:`` addresses."""

    address: str
    poster: str


class Budget:
    """Media as data addresses, until a number of bytes is spent; after that there are none.

    Args:
        most: bytes of all of them together, as they stand in the page.
    """

    def __init__(self, most: int):
        self.left = most

    def clip(self, path: Path, start: float, end: float, *, height: int = 128, fps: float = 12.5) -> Clip | None:
        """``start`` to ``end`` (seconds) of a video, small; None when the budget is spent."""
        if self.left <= 0:
            return None
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "clip.mp4"
            cut(path, start, end, out, height=height, fps=fps, hz=16000, crf=30)
            return self.video(out, (end - start) / 2)

    def video(self, path: Path, still_seconds: float = 0.0) -> Clip | None:
        """A whole video file with the still at a moment; None when the budget is spent."""
        picture = decode(path, times=[still_seconds]).video[0].transpose(1, 2, 0)
        made = Clip(_address("video/mp4", path.read_bytes()), _address("image/jpeg", _image(picture)))
        return self.again(made)

    def sound(self, path: Path, start: float, end: float) -> str | None:
        """``start`` to ``end`` (seconds) of a sound; None when the budget is spent."""
        if self.left <= 0:
            return None
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "sound.wav"
            _cut_sound(path, start, end, 16000, out)
            return self.file("audio/wav", out)

    def picture(self, path: Path, seconds: float = 0.0, height: int = STILL_HEIGHT) -> str | None:
        """A picture file, or a moment of a video, ``height`` pixels high; None when the budget is spent."""
        if self.left <= 0:
            return None
        header = probe(path).pictures[0]
        size = (height, max(2, round(header.width * height / header.height / 2) * 2))
        return self.again(
            _address("image/jpeg", _image(decode(path, times=[seconds], size=size).video[0].transpose(1, 2, 0)))
        )

    def drawn(self, picture: NDArray[np.uint8]) -> str | None:
        """A drawing [H, W, 3], every pixel as it is; None when the budget is spent."""
        return self.again(_address("image/png", _image(picture, "png")))

    def file(self, kind: str, path: Path) -> str | None:
        """A file of a media type; None when the budget is spent."""
        return self.again(_address(kind, path.read_bytes()))

    def again(self, made: Made) -> Made | None:
        """What stands in the page already, or is about to: it takes its place; None when there is none left."""
        size = sum(map(len, made)) if isinstance(made, Clip) else len(made)
        if size > self.left:
            return None
        self.left -= size
        return made


def _address(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _image(picture: NDArray[np.uint8], kind: str = "jpg") -> bytes:
    from matplotlib.image import imsave

    data = io.BytesIO()
    imsave(data, picture, format=kind, pil_kwargs={"quality": 70} if kind == "jpg" else None)
    return data.getvalue()
