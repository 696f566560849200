"""TIFFs that FFmpeg shows black: pieces of JPEG; and those whose pixels are not decoded."""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from avssl.data import tiff
from avssl.data.manifest import make
from avssl.data.media import decode, probe, scan
from avssl.data.open import Unreadable

SMOOTH = np.kron(np.random.default_rng(0).integers(0, 255, (10, 14, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
PICTURE = Image.fromarray(SMOOTH).crop((0, 0, 215, 150))


def seen(path: Path) -> np.ndarray:
    return decode(path, times=[0.0]).video[0].transpose(1, 2, 0).astype(int)


@pytest.mark.parametrize("kind", ["RGB", "L", "YCbCr"])
def test_jpeg_in_a_tiff_is_shown(tmp_path: Path, kind: str) -> None:
    PICTURE.convert(kind).save(tmp_path / "a.tif", compression="jpeg")
    truth = np.asarray(Image.open(tmp_path / "a.tif").convert("RGB"))
    assert np.abs(seen(tmp_path / "a.tif") - truth).mean() < 3
    header = probe(tmp_path / "a.tif")
    assert (header.format, header.pictures[0].width, header.pictures[0].height) == ("tiff_pipe", 215, 150)
    assert scan(tmp_path / "a.tif").frames == 1
    assert make(tmp_path, workers=1).recordings[0].is_picture


def test_jpeg_in_a_tiff_is_turned_as_it_says(tmp_path: Path) -> None:
    for orientation in range(1, 9):
        path = tmp_path / f"{orientation}.tif"
        PICTURE.save(path, compression="jpeg", tiffinfo={tiff.ORIENTATION: orientation})
        truth = np.asarray(ImageOps.exif_transpose(Image.open(path)))
        assert np.abs(seen(path) - truth).mean() < 3, orientation


def tiled(big: bool, side: int = 64, missing: int = 0) -> bytes:
    """A TIFF of tiles, each a JPEG with tables of its own; those at the right and at the bottom stand over."""
    order, tiles = ">" if big else "<", []
    for top in range(0, PICTURE.height, side):
        for left in range(0, PICTURE.width, side):
            held = io.BytesIO()
            PICTURE.crop((left, top, left + side, top + side)).save(held, "JPEG", quality=95, subsampling=0)
            tiles.append(held.getvalue())
    kept = len(tiles) - missing
    places = np.cumsum([8, *(len(one) for one in tiles)]).tolist()
    lists = struct.pack(f"{order}{2 * kept}I", *places[:kept], *(len(one) for one in tiles[:kept]))
    rows = [
        (256, 3, 1, PICTURE.width), (257, 3, 1, PICTURE.height), (259, 3, 1, 7), (262, 3, 1, 6), (277, 3, 1, 3),
        (322, 3, 1, side), (323, 3, 1, side), (324, 4, kept, places[-1]), (325, 4, kept, places[-1] + 4 * kept),
    ]  # fmt: skip
    told = b"".join(
        struct.pack(f"{order}HHI", *row[:3]) + struct.pack(f"{order}HH" if row[1] == 3 else f"{order}I",
                                                           *((row[3], 0) if row[1] == 3 else (row[3],)))
        for row in rows
    )  # fmt: skip
    head = (b"MM\0*" if big else b"II*\0") + struct.pack(f"{order}I", places[-1] + len(lists))
    return head + b"".join(tiles) + lists + struct.pack(f"{order}H", len(rows)) + told + bytes(4)


@pytest.mark.parametrize("big", [False, True])
def test_tiles_stand_in_their_places(tmp_path: Path, big: bool) -> None:
    (tmp_path / "a.tif").write_bytes(tiled(big))
    assert np.abs(seen(tmp_path / "a.tif") - np.asarray(PICTURE)).mean() < 5


def test_what_cannot_be_shown_is_left_out_with_its_reason(tmp_path: Path) -> None:
    PICTURE.convert("CMYK").save(tmp_path / "cmyk.tif", compression="jpeg")
    (tmp_path / "few.tif").write_bytes(tiled(False, missing=1))
    PICTURE.save(tmp_path / "cut.tif", compression="jpeg")
    content = bytearray((tmp_path / "cut.tif").read_bytes())
    told = tiff.tags(tmp_path / "cut.tif")
    end = told[tiff.STRIPS][0] + told[tiff.STRIP_BYTES][0]
    content[end - 60 : end] = bytes(60)
    (tmp_path / "cut.tif").write_bytes(content)
    (tmp_path / "no tiles.tif").write_bytes(tiled(False).replace(struct.pack("<H", 322), struct.pack("<H", 999)))
    Image.fromarray(SMOOTH[..., 0].astype(np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(SMOOTH[..., 0].astype(np.int32)).save(tmp_path / "whole.tif")
    PICTURE.save(tmp_path / "plain.tif", compression="tiff_lzw")
    found = make(tmp_path, workers=1)
    assert [one.path for one in found.recordings] == ["plain.tif"]
    reasons = {name: reason.split(";")[0] for name, reason in found.left_out}
    assert reasons == {
        "cmyk.tif": "holds JPEGs of a kind that is not read in a TIFF",
        "few.tif": "names 11 of its 12 JPEGs",
        "cut.tif": "is broken: one of its JPEGs cannot be decoded",
        "no tiles.tif": "holds JPEGs of 0x64 pixels",
        "float.tif": "has floating-point pixels of 32 bits, which are not decoded",
        "whole.tif": "has pixels of 32 bits, which are not decoded",
    }


def test_a_tiff_of_jpegs_is_held_to_the_same_size(tmp_path: Path) -> None:
    content = tiled(False).replace(
        struct.pack("<HHIH", 256, 3, 1, PICTURE.width), struct.pack("<HHIH", 256, 3, 1, 60000)
    )
    (tmp_path / "wide.tif").write_bytes(content)
    with pytest.raises(Unreadable, match="claims pictures of 60000x150; at most 35 million pixels"):
        probe(tmp_path / "wide.tif")


def test_damaged_directories_tell_what_they_can(tmp_path: Path) -> None:
    content, rng = tiled(False), np.random.default_rng(3)
    begin = struct.unpack("<I", content[4:8])[0]
    for cut in (0, 3, 6, 8, begin, begin + 1, begin + 20):
        (tmp_path / "a.tif").write_bytes(content[:cut])
        assert tiff.size(tiff.tags(tmp_path / "a.tif")) is None
    for _ in range(60):
        broken = bytearray(content)
        for place in rng.integers(begin, len(content), 4):
            broken[place] = int(rng.integers(256))
        (tmp_path / "a.tif").write_bytes(broken)
        with contextlib.suppress(Unreadable):
            decode(tmp_path / "a.tif", times=[0.0])
