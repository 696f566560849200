"""What the first bytes of a still picture tell, before anything of it is decoded: its format, its size, whether it is
several."""

from __future__ import annotations

import os
import re
import struct
from typing import BinaryIO

HEAD = 64
"""bytes that tell the format"""
LOOKED = 1 << 20
"""bytes of a JPEG in which its size is looked for; thumbnails and profiles stand before it"""
MOST = 1 << 28
"""bytes of a JPEG in which its end is looked for"""
_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")  # coded data holds 0xff only before 0 and restarts (d0 to d7)
# FFmpeg takes names of pictures for patterns ("a%d.png"), so the format is told by the content.
_MAGIC = (
    (b"\x89PNG", "png_pipe"),
    (b"\xff\xd8\xff", "jpeg_pipe"),
    (b"BM", "bmp_pipe"),
    (b"II*\0", "tiff_pipe"),
    (b"MM\0*", "tiff_pipe"),
    (b"P6", "ppm_pipe"),
    (b"P5", "pgm_pipe"),
    (b"\0\0\0\x0cjP  ", "j2k_pipe"),
)
PICTURE_FORMATS = frozenset(["gif", "apng", "webp_pipe", *(name for _, name in _MAGIC)])
"""FFmpeg's names; AVIF is read as a video of one frame"""
SINGLE_FORMATS = PICTURE_FORMATS - {"gif", "apng"}
"""those of which the first picture counts alone"""


def format_of(head: bytes) -> str | None:
    """FFmpeg's name for what begins with these HEAD bytes, or None where it is no picture told by them."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp_pipe"
    if head.startswith(b"\x89PNG") and b"acTL" in head:
        return "apng"  # an animation, of which a reader of PNG shows the first picture alone
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)


def is_animated_webp(head: bytes) -> bool:
    """Whether a WebP holds several pictures, which FFmpeg does not decode."""
    return head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)


def may_be_turned(path: str | os.PathLike[str], format_name: str) -> bool:
    """Whether a still picture may say that it is to be turned to be shown, which only decoding tells for sure."""
    if format_name not in ("jpeg_pipe", "png_pipe", "webp_pipe"):
        return format_name == "tiff_pipe"
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return False
    return any(word in content for word in (b"Exif\0", b"eXIf", b"EXIF"))


def is_cut(path: str | os.PathLike[str], head: bytes) -> bool:
    """Whether a JPEG or GIF that begins with these HEAD bytes ends before its first picture does: FFmpeg fills the
    rest and says nothing. Of other formats it says so."""
    try:
        if format_of(head) == "jpeg_pipe":
            return _is_cut_jpeg(path)
        return head.startswith(b"GIF8") and _is_cut_gif(path)
    except OSError:
        return False


def _is_cut_jpeg(path: str | os.PathLike[str]) -> bool:
    with open(path, "rb") as file:
        file.seek(-min(len(_END), os.path.getsize(path)), os.SEEK_END)
        if file.read() == _END:
            return False
        file.seek(0)
        content = file.read(MOST)
    return len(content) < MOST and not _has_end(content)


def _has_end(content: bytes) -> bool:
    """Whether a JPEG has its end marker; those of thumbnails in its segments do not count."""
    place = 2
    while found := _MARKER.search(content, place):
        kind, place = content[found.start() + 1], found.end()
        if kind == 0xD9:
            return True
        if kind != 0xD8:
            place += int.from_bytes(content[place : place + 2], "big")
    return False


def _is_cut_gif(path: str | os.PathLike[str]) -> bool:
    """What an animation lacks at its end is no fault of its first picture, over which the others are drawn."""
    with open(path, "rb") as file:
        file.seek(_palette(file.read(13)[10:11]), os.SEEK_CUR)
        while (kind := file.read(1)) == b"!":
            file.read(1)
            if not _skip_blocks(file):
                return True
        if kind == b",":
            file.seek(_palette(file.read(9)[8:9]) + 1, os.SEEK_CUR)
            return not _skip_blocks(file)
    return kind == b""


def _palette(flags: bytes) -> int:
    """Bytes of the color table that this byte of a GIF speaks of."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _skip_blocks(file: BinaryIO) -> bool:
    """Go past a GIF's blocks, each behind its length, to the length of 0 that ends them; False where it lacks."""
    while length := file.read(1):
        if length == b"\0":
            return True
        file.seek(length[0], os.SEEK_CUR)
    return False


def size(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """(width, height) that a PNG or JPEG claims; None where it does not tell."""
    try:
        with open(path, "rb") as file:
            head = file.read(LOOKED)
    except OSError:
        return None
    if head.startswith(b"\x89PNG") and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return width, height
    return _jpeg(head) if head.startswith(b"\xff\xd8\xff") else None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    """The size in the frame header, which follows other segments."""
    place = 2
    while place + 9 <= len(head) and head[place] == 0xFF:
        kind, length = head[place + 1], int.from_bytes(head[place + 2 : place + 4], "big")
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[place + 5 : place + 9])
            return width, height
        place += 2 + length if kind != 0xFF else 1
    return None
