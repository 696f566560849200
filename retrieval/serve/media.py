"""Recordings to players: by the id of a row, in byte ranges, and nothing that is not a recording."""

import os
import re
import stat
from pathlib import Path
from typing import Any

import anyio
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

CHUNK_BYTES = 256 << 10
TYPES = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm",
    ".mkv": "video/x-matroska", ".avi": "video/x-msvideo", ".mpg": "video/mpeg", ".mpeg": "video/mpeg",
    ".ts": "video/mp2t", ".mts": "video/mp2t", ".m2ts": "video/mp2t", ".flv": "video/x-flv", ".wmv": "video/x-ms-wmv",
    ".asf": "video/x-ms-asf", ".dv": "video/dv", ".mxf": "application/mxf", ".ogv": "video/ogg",
    ".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".oga": "audio/ogg",
    ".opus": "audio/ogg", ".m4a": "audio/mp4", ".aac": "audio/aac", ".aiff": "audio/aiff", ".aif": "audio/aiff",
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
    ".bmp": "image/bmp", ".tif": "image/tiff", ".tiff": "image/tiff",
}  # fmt: skip
"""the only files that are served, so that rows that name something else give nothing away"""
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})\Z", re.ASCII)


def type_of(path: str) -> str:
    """Media type of a recording by its name; "" for what is none."""
    return TYPES.get(Path(path).suffix.lower(), "")


class Recording(Response):
    """A recording as an answer: whole, or the range that was asked for. Raises HTTPException 404 if it is not there.

    path: as the row of the store has it. inside: a folder it must lie in, links followed; None takes any.
    """

    def __init__(self, path: str, inside: Path | None, headers: Any):
        kind = type_of(path)
        # Not blocking, because a pipe would wait for a writer for ever.
        self._descriptor = os.open(locate(path, inside), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        found = os.fstat(self._descriptor)
        tag = f'"{found.st_size:x}-{found.st_mtime_ns:x}"'
        self.first, self.last, size = 0, found.st_size - 1, found.st_size
        wanted = headers.get("range")
        if wanted and headers.get("if-range", tag) == tag:
            span = byte_range(wanted, size)
            self.status_code = 200 if span is None else 206
            self.first, self.last = span or (0, size - 1)
        else:
            self.status_code = 200
        told = {"accept-ranges": "bytes", "content-type": kind, "etag": tag, "cache-control": "private, no-cache"}
        if self.first > self.last and self.status_code == 206:
            self.status_code, told["content-range"] = 416, f"bytes */{size}"
            self.first, self.last = 0, -1
        elif self.status_code == 206:
            told["content-range"] = f"bytes {self.first}-{self.last}/{size}"
        elif headers.get("if-none-match") == tag:
            self.status_code, self.first, self.last = 304, 0, -1
        if self.status_code != 304:
            told["content-length"] = str(self.last - self.first + 1)
        self.raw_headers = [(name.encode(), value.encode()) for name, value in told.items()]
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it a piece at a time; a file that has meanwhile been cut ends the connection."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            at, end = self.first, self.last + 1
            while scope["method"] != "HEAD" and at < end:
                piece = await anyio.to_thread.run_sync(os.pread, self._descriptor, min(CHUNK_BYTES, end - at), at)
                if not piece:
                    raise OSError("a recording became shorter while it was sent")
                at += len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            os.close(self._descriptor)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte of a Range header (first > last: none of them exists); None for one to be ignored.

    Several ranges, and what is no range of bytes, may be answered with the whole file (RFC 9110, 14.2).
    """
    found = _RANGE.match(header.replace(" ", ""))
    if not found or found.group(0) == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        return (max(0, size - int(last)), size - 1) if int(last) else (1, 0)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        return (1, 0)
    return int(first), min(int(last), size - 1) if last else size - 1


def locate(path: str, inside: Path | None) -> Path:
    """Where a recording is, links followed. Raises HTTPException 404 unless it is a regular file of a type that is
    served (by its own name too: a link may be called anything), inside the folder that recordings must be in.
    """
    try:
        real = Path(path).resolve(strict=True)
        good = type_of(path) and type_of(real.name) and stat.S_ISREG(real.stat().st_mode) and os.access(real, os.R_OK)
        if good and (inside is None or real.is_relative_to(inside.resolve())):
            return real
    except (OSError, ValueError, RuntimeError):
        pass
    raise HTTPException(404, "the recording of this moment is not where the store says")
