"""Still pictures by their first bytes: formats, sizes that are claimed, animations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avssl.data import still
from avssl.data.manifest import make
from avssl.data.media import decode
from avssl.data.open import Unreadable, open_media

NOISE = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
PICTURE = Image.fromarray(NOISE)


@pytest.mark.parametrize("suffix", ["jpg", "jfif", "png", "bmp", "gif", "webp", "tiff", "ppm", "jp2", "avif"])
def test_every_format_shows_what_it_holds(tmp_path: Path, suffix: str) -> None:
    smooth = Image.fromarray(np.kron(NOISE[:4, :6], np.ones((10, 10, 1), np.uint8)))  # what lossy formats keep
    smooth.save(tmp_path / f"a.{suffix}", **({"format": "JPEG"} if suffix == "jfif" else {}))
    seen = decode(tmp_path / f"a.{suffix}", times=[0.0], size=(40, 60)).video[0].transpose(1, 2, 0)
    assert np.abs(seen.astype(int) - np.asarray(smooth)).mean() < (30 if suffix == "gif" else 12)
    held = make(tmp_path, workers=1)
    assert [(one.is_picture, one.seconds) for one in held.recordings] == [(True, 0.0)], held.left_out


def test_an_animation_is_not_one_picture(tmp_path: Path) -> None:
    more = [Image.fromarray(NOISE[::-1]), Image.fromarray(NOISE[:, ::-1])] * 3
    for name in ("a.png", "a.gif"):
        PICTURE.save(tmp_path / name, save_all=True, append_images=more, duration=200)
        assert len(decode(tmp_path / name, times=[0.0, 0.3, 0.5], size=(40, 60)).video) == 3
    held = make(tmp_path, workers=1)
    assert [one.video and one.video["frames"] for one in held.recordings] == [7, 7]
    PICTURE.save(tmp_path / "a.webp", save_all=True, append_images=more, duration=200)
    with pytest.raises(Unreadable, match="is an animated WebP, which is not decoded; make it a gif, png or mp4"):
        decode(tmp_path / "a.webp", times=[0.0])
    PICTURE.save(tmp_path / "still.webp")
    assert decode(tmp_path / "still.webp", times=[0.0], size=(40, 60)).video.shape == (1, 3, 40, 60)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_too_large_is_told_from_broken(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"large.{suffix}"
    Image.new("L", (9000, 4000)).save(path)
    assert still.size(path) == (9000, 4000)
    with pytest.raises(Unreadable, match="claims pictures of 9000x4000; at most 35 million pixels are decoded"):
        decode(path, times=[0.0])
    PICTURE.save(tmp_path / f"whole.{suffix}")
    assert still.size(tmp_path / f"whole.{suffix}") == (60, 40)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes((tmp_path / f"whole.{suffix}").read_bytes()[:120])
    with pytest.raises(Unreadable) as told:
        decode(cut, times=[0.0])
    assert "claims" not in str(told.value)


def test_a_size_that_nobody_tells_is_none(tmp_path: Path) -> None:
    assert still.size(tmp_path / "none.png") is None
    for content in (
        b"",
        b"\x89PNG",
        b"\xff\xd8\xff",
        b"\xff\xd8" + b"\xff" * 40,
        b"\xff\xd8\xff\xe0\xff\xff",
        b"GIF89a",
    ):
        (tmp_path / "x").write_bytes(content)
        assert still.size(tmp_path / "x") is None


def test_text_is_no_picture_by_its_first_letters(tmp_path: Path) -> None:
    (tmp_path / "x.ppm").write_text("P6 is a letter and a digit, nothing more\n" * 3)
    with pytest.raises(Unreadable), open_media(tmp_path / "x.ppm") as held:
        raise Unreadable(tmp_path, str(held.streams.video[0].codec_context.width))
