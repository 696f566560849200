"""What a TIFF says of itself, where FFmpeg gives no picture, or a black one, and does not say why."""

from __future__ import annotations

import os
import struct

Told = dict[int, tuple[int, ...]]
"""tag -> whole numbers"""
WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLE, DNG = 256, 257, 258, 259, 339, 50706
MOST_NUMBERS = 64
_NUMBERS = {1: "B", 3: "H", 4: "I", 7: "B"}


def tags(path: str | os.PathLike[str]) -> Told:
    """What the first directory of a TIFF holds of short numbers; nothing where there is none."""
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


def undecodable(told: Told) -> str | None:
    """What in it is not decoded: JPEGs, which FFmpeg shows black but for those of cameras' raw pictures; or its
    pixels."""
    if told.get(COMPRESSION) in ((6,), (7,)) and DNG not in told:
        return "JPEGs inside a TIFF"
    bits = max(told.get(BITS, (1,)), default=1)
    if 3 in told.get(SAMPLE, ()):
        return f"floating-point pixels of {bits} bits"
    return f"pixels of {bits} bits" if bits > 16 else None
