"""What a TIFF says of itself; and one whose pieces are JPEGs, of which FFmpeg shows nothing, made into a plain one."""

from __future__ import annotations

import os
import struct

import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from avssl.data.still import jpeg_ends

Told = dict[int, tuple[int, ...]]
"""tag -> whole numbers"""
WIDTH, HEIGHT, BITS, COMPRESSION, COLORS, ORIENTATION, CHANNELS = 256, 257, 258, 259, 262, 274, 277
STRIPS, ROWS, STRIP_BYTES, PLANES, SAMPLE, TABLES, DNG = 273, 278, 279, 284, 339, 347, 50706
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 322, 323, 324, 325
BLACK_IS_ZERO, RGB, YCBCR = 1, 2, 6
MOST_NUMBERS = 1 << 20
MOST_BYTES = 1 << 28
MOST_PIXELS = 1 << 26
_NUMBERS = {1: "B", 3: "H", 4: "I", 7: "B"}
# An Adobe segment, without which FFmpeg takes three channels for YCbCr.
_AS_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


def tags(path: str | os.PathLike[str]) -> Told:
    """What the first directory of a TIFF holds; nothing where there is none."""
    found: Told = {}
    try:
        with open(path, "rb") as file:
            head = file.read(8)
            order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
            if order is None:
                return found
            file.seek(*struct.unpack(f"{order}I", head[4:]))
            (count,) = struct.unpack(f"{order}H", file.read(2))
            for tag, kind, many, value in struct.iter_unpack(f"{order}HHI4s", file.read(12 * count)):
                if kind not in _NUMBERS or not 0 < many <= MOST_NUMBERS:
                    continue
                layout = f"{order}{many}{_NUMBERS[kind]}"
                size = struct.calcsize(layout)
                if size > len(value):
                    file.seek(*struct.unpack(f"{order}I", value))
                    value = file.read(size)
                found[tag] = struct.unpack(layout, value[:size])
    except (OSError, struct.error):
        pass
    return found


def size(told: Told) -> tuple[int, int] | None:
    """(width, height), or None where they are not told."""
    return (told[WIDTH][0], told[HEIGHT][0]) if told.get(WIDTH) and told.get(HEIGHT) else None


def is_of_jpegs(told: Told) -> bool:
    """Whether its pieces are JPEGs; FFmpeg reads those of cameras' raw pictures itself."""
    return told.get(COMPRESSION) in ((6,), (7,)) and DNG not in told


def undecodable(told: Told) -> str | None:
    """The kind of its pixels, where it is one that is not decoded."""
    bits = max(told.get(BITS, (1,)), default=1)
    if 3 in told.get(SAMPLE, ()):
        return f"floating-point pixels of {bits} bits"
    return f"pixels of {bits} bits" if bits > 16 else None


def plain(path: str | os.PathLike[str], told: Told) -> bytes:
    """The first picture of a TIFF of JPEGs, as a TIFF without compression. ValueError: why it cannot be made."""
    claimed, channels, colors = size(told), told.get(CHANNELS, (1,)), told.get(COLORS, (YCBCR,))
    known = (channels, colors) in (((1,), (BLACK_IS_ZERO,)), ((3,), (RGB,)), ((3,), (YCBCR,)))
    joined = told.get(PLANES, (1,)) == (1,) and told[COMPRESSION] == (7,)
    if claimed is None or not known or not joined or set(told.get(BITS, (8,))) != {8}:
        raise ValueError("holds JPEGs of a kind that is not read in a TIFF")
    (width, height), tiled = claimed, TILES in told
    if tiled:
        wide, high = told.get(TILE_WIDTH, (0,))[0], told.get(TILE_HEIGHT, (0,))[0]
    else:
        wide, high = width, min(height, told.get(ROWS, (height,))[0])
    offsets, lengths = (told.get(tag, ()) for tag in ((TILES, TILE_BYTES) if tiled else (STRIPS, STRIP_BYTES)))
    if not 0 < wide * high <= MOST_PIXELS:
        raise ValueError(f"holds JPEGs of {wide}x{high} pixels")
    across = -(-width // wide)
    count = across * -(-height // high)
    if min(len(offsets), len(lengths)) < count:
        raise ValueError(f"names {min(len(offsets), len(lengths))} of its {count} JPEGs")
    begin = b"\xff\xd8" + (_AS_RGB if colors == (RGB,) else b"") + bytes(told.get(TABLES, ()))[2:-2]
    picture = np.empty((height, width, channels[0]), np.uint8)
    context = VideoCodecContext.create("mjpeg", "r")
    context.thread_count = 1
    context.options = {"max_pixels": str(MOST_PIXELS)}
    with open(path, "rb") as file:
        for place in range(count):
            top, left = place // across * high, place % across * wide
            here = picture[top : top + high, left : left + wide]
            file.seek(offsets[place])
            pixels = _pixels(context, begin + file.read(min(lengths[place], MOST_BYTES))[2:], channels[0])
            if pixels.shape[0] < here.shape[0] or pixels.shape[1] < here.shape[1]:
                raise ValueError("holds JPEGs that are smaller than it says")
            here[:] = pixels[: here.shape[0], : here.shape[1]]
    return _written(picture, told.get(ORIENTATION, (1,))[0])


def _pixels(context: VideoCodecContext, jpeg: bytes, channels: int) -> NDArray[np.uint8]:
    """One piece as uint8 [H, W, C]."""
    try:
        frames = context.decode(Packet(jpeg)) if jpeg_ends(jpeg) else []
    except FFmpegError:
        frames = []
    if not frames:
        raise ValueError("is broken: one of its JPEGs cannot be decoded")
    pixels = frames[0].to_ndarray(format="rgb24" if channels == 3 else "gray")
    return np.asarray(pixels, np.uint8).reshape(*pixels.shape[:2], channels)


def _written(picture: NDArray[np.uint8], orientation: int) -> bytes:
    height, width, channels = picture.shape
    rows = [
        (WIDTH, 1, width), (HEIGHT, 1, height), (BITS, channels, 8), (COMPRESSION, 1, 1),
        (COLORS, 1, RGB if channels == 3 else BLACK_IS_ZERO), (STRIPS, 1, 0), (ORIENTATION, 1, orientation),
        (CHANNELS, 1, channels), (ROWS, 1, height), (STRIP_BYTES, 1, picture.size),
    ]  # fmt: skip
    begin = struct.pack("<4sI4H", b"II*\0", 16, 8, 8, 8, 8) + struct.pack("<H", len(rows))
    after = len(begin) + 12 * len(rows) + 4
    for tag, count, value in rows:
        # eight bits per channel stand after the head, where they do not fit here
        begin += struct.pack(
            "<HHII", tag, 3 if tag in (BITS, ORIENTATION) else 4, count, after if tag == STRIPS else value
        )
    return begin + bytes(4) + picture.tobytes()
