"""TIFFs of which FFmpeg shows nothing, or black: left out with the reason."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image

from avssl.data import tiff
from avssl.data.manifest import make

SMOOTH = np.kron(np.random.default_rng(0).integers(0, 255, (10, 14, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
PICTURE = Image.fromarray(SMOOTH)


def test_what_is_not_decoded_is_left_out_with_its_reason(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "jpeg.tif", compression="jpeg")
    Image.fromarray(SMOOTH[..., 0].astype(np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(SMOOTH[..., 0].astype(np.int32)).save(tmp_path / "whole.tif")
    PICTURE.save(tmp_path / "plain.tif", compression="tiff_lzw")
    Image.fromarray(SMOOTH[..., 0].astype(np.uint16)).save(tmp_path / "deep.tif")
    found = make(tmp_path, workers=1)
    assert [one.path for one in found.recordings] == ["deep.tif", "plain.tif"]
    assert {name: reason.split(",")[0] for name, reason in found.left_out} == {
        "jpeg.tif": "has JPEGs inside a TIFF",
        "float.tif": "has floating-point pixels of 32 bits",
        "whole.tif": "has pixels of 32 bits",
    }


def test_damaged_directories_tell_what_they_can(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "plain.tif")
    content = (tmp_path / "plain.tif").read_bytes()
    begin = struct.unpack("<I", content[4:8])[0]
    for cut in (0, 3, 6, 8, begin, begin + 1):
        (tmp_path / "a.tif").write_bytes(content[:cut])
        assert tiff.size(tiff.tags(tmp_path / "a.tif")) is None
    assert tiff.size(tiff.tags(tmp_path / "plain.tif")) == (PICTURE.width, PICTURE.height)
