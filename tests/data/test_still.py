"""Still pictures by their first bytes: formats, sizes that are claimed, animations."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_media import number, write
from PIL import Image, ImageOps

from avssl.data import still
from avssl.data.manifest import make
from avssl.data.media import decode, probe, scan
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


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif"])
def test_every_orientation_is_shown_as_it_says(tmp_path: Path, suffix: str) -> None:
    smooth = np.kron(NOISE[:4, :6], np.ones((16, 16, 1), np.uint8))
    for orientation in range(1, 9):
        path, exif = tmp_path / f"{orientation}.{suffix}", Image.Exif()
        exif[0x112] = orientation
        Image.fromarray(smooth).save(path, exif=exif)
        truth = np.asarray(ImageOps.exif_transpose(Image.open(path).convert("RGB")))
        seen = decode(path, times=[0.0]).video[0].transpose(1, 2, 0)
        assert seen.shape == truth.shape
        assert np.abs(seen.astype(int) - truth).mean() < 12, orientation
        header = probe(path).pictures[0]
        assert (header.height, header.width) == truth.shape[:2], orientation
        part = decode(path, times=[0.0], box=(0.5, 0.0, 1.0, 0.25)).video[0].transpose(1, 2, 0)
        height, width = truth.shape[0] // 4, truth.shape[1] // 2
        assert np.abs(part.astype(int) - truth[:height, width:]).mean() < 12, orientation


def test_orientations_of_deep_pictures(tmp_path: Path) -> None:
    deep = np.random.default_rng(1).integers(0, 2**16, (20, 30), np.uint16)
    for orientation in range(1, 9):
        path, exif = tmp_path / f"{orientation}.png", Image.Exif()
        exif[0x112] = orientation
        Image.fromarray(deep).save(path, exif=exif)
        truth = np.asarray(ImageOps.exif_transpose(Image.open(path)))
        assert np.array_equal(decode(path, times=[0.0], deep=True).video[0, 0], truth), orientation


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


def test_a_cut_jpeg_is_left_out(tmp_path: Path) -> None:
    thumbnail = io.BytesIO()
    PICTURE.resize((16, 16)).save(thumbnail, "JPEG")
    for name, more in {
        "plain": {},
        "progressive": {"progressive": True},
        "restarts": {"restart_marker_blocks": 2},
        "thumbnail": {"exif": b"Exif\0\0" + thumbnail.getvalue()},
    }.items():
        PICTURE.resize((300, 200)).save(tmp_path / "whole.jpg", quality=95, **more)
        content = (tmp_path / "whole.jpg").read_bytes()
        seen = decode(tmp_path / "whole.jpg", times=[0.0]).video
        (tmp_path / "after.jpg").write_bytes(content + b"after\xff\xda\xff\xc0 the end")
        assert np.array_equal(decode(tmp_path / "after.jpg", times=[0.0]).video, seen), name
        for kept in (len(content) // 2, len(content) * 9 // 10, len(content) - 2):
            (tmp_path / "cut.jpg").write_bytes(content[:kept])
            for read in (probe, scan, lambda path: decode(path, times=[0.0])):
                with pytest.raises(Unreadable, match="is broken: the picture ends before its end"):
                    read(tmp_path / "cut.jpg")
    told = dict(make(tmp_path, workers=1).left_out)
    assert told["cut.jpg"] == "is broken: the picture ends before its end; a whole copy of it is needed"


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "bmp", "ppm", "tiff", "jp2"])
def test_a_cut_picture_is_not_shown(tmp_path: Path, suffix: str) -> None:
    PICTURE.resize((300, 200)).save(tmp_path / f"whole.{suffix}", comment="longer than a block " * 20)
    content = (tmp_path / f"whole.{suffix}").read_bytes()
    decode(tmp_path / f"whole.{suffix}", times=[0.0])
    for kept in (12, 100, len(content) // 3, len(content) * 9 // 10):
        (tmp_path / f"cut.{suffix}").write_bytes(content[:kept])
        for read in (scan, lambda path: decode(path, times=[0.0])):
            with pytest.raises(Unreadable):
                read(tmp_path / f"cut.{suffix}")
    assert [name for name, _ in make(tmp_path, workers=1).left_out] == [f"cut.{suffix}"]


def test_whole_gifs_of_every_kind_are_kept(tmp_path: Path) -> None:
    other = Image.fromarray(NOISE[::-1])
    PICTURE.save(tmp_path / "several.gif", save_all=True, append_images=[other] * 4, duration=200, loop=0, comment="a")
    content = (tmp_path / "several.gif").read_bytes()
    (tmp_path / "cut in its fourth.gif").write_bytes(content[: len(content) * 7 // 10])
    PICTURE.convert("1").save(tmp_path / "small.gif")
    (tmp_path / "without a trailer.gif").write_bytes((tmp_path / "small.gif").read_bytes()[:-1])
    (tmp_path / "after.gif").write_bytes((tmp_path / "small.gif").read_bytes() + b"after")
    made = make(tmp_path, workers=1)
    assert (len(made.recordings), made.left_out) == (5, ())
    assert decode(tmp_path / "cut in its fourth.gif", times=[0.0, 0.3], size=(40, 60)).video.shape[0] == 2


@pytest.mark.parametrize("more", [{}, {"progressive": True}])
def test_a_jpeg_damaged_in_its_middle_is_not_shown(tmp_path: Path, more: dict[str, Any]) -> None:
    PICTURE.resize((300, 200)).save(tmp_path / "a.jpg", quality=95, **more)
    content = (tmp_path / "a.jpg").read_bytes()
    half = len(content) // 2
    (tmp_path / "a.jpg").write_bytes(content[:half] + b"\x5a" * 200 + content[half + 200 :])
    for read in (scan, lambda path: decode(path, times=[0.0])):
        with pytest.raises(Unreadable, match="could be decoded; is it whole"):
            read(tmp_path / "a.jpg")


def test_whole_jpegs_of_every_kind_are_kept(tmp_path: Path) -> None:
    PICTURE.convert("CMYK").save(tmp_path / "cmyk.jpg")
    PICTURE.convert("L").save(tmp_path / "gray.jpg")
    PICTURE.save(tmp_path / "several.jpg", format="MPO", save_all=True, append_images=[ImageOps.mirror(PICTURE)])
    PICTURE.save(tmp_path / "plain.jpg")
    content = (tmp_path / "plain.jpg").read_bytes()
    (tmp_path / "claims too much.jpg").write_bytes(content[:2] + b"\xff\xef\xff\xf0" + content[2:])
    (tmp_path / "junk.jpg").write_bytes(content + b"\xff\xd8\xff\xe0 no picture" * 9)
    film = write(tmp_path / "film.avi", video="mjpeg", pixels="yuvj420p", count=20, audio=None)
    made = make(tmp_path, workers=1)
    assert (len(made.recordings), made.left_out) == (7, ())
    assert sum(one.is_picture for one in made.recordings) == 6
    assert not any(one.problems for one in made.recordings if one.is_picture)
    first = decode(tmp_path / "several.jpg", times=[0.0, 9.0], size=(40, 60)).video
    assert np.array_equal(first[0], first[1]), "the first of several, always"
    assert number(decode(film, times=[0.49], size=(48, 64)).video[0]) == 12


def transparent() -> dict[str, Image.Image]:
    """Pictures of hidden colors, by the kind of their pixels: from left to right ever less transparent."""
    alpha = Image.fromarray(np.tile(np.linspace(0, 255, 60).round().astype(np.uint8), (40, 1)))
    made = {"RGBA": PICTURE.convert("RGBA"), "LA": PICTURE.convert("LA"), "P": PICTURE.quantize(8)}
    made["RGBA"].putalpha(alpha)
    made["LA"].putalpha(alpha)
    made["P"].info["transparency"] = 3
    return made


@pytest.mark.parametrize(("kind", "suffix"), [
    ("RGBA", "png"), ("LA", "png"), ("P", "png"), ("P", "gif"), ("RGBA", "webp"), ("LA", "webp"),
])  # fmt: skip
def test_what_is_transparent_is_white(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    transparent()[kind].save(path, **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    held = Image.open(path).convert("RGBA")
    white = Image.new("RGBA", held.size, "white")
    truth = np.asarray(Image.alpha_composite(white, held).convert("RGB"))
    assert np.abs(truth.astype(int) - np.asarray(held.convert("RGB"))).mean() > 5, "there is something to hide"
    seen = decode(path, times=[0.0]).video[0].transpose(1, 2, 0)
    assert np.abs(seen.astype(int) - truth).max() <= 1
    part = decode(path, times=[0.0], box=(0.0, 0.0, 0.5, 0.5)).video[0].transpose(1, 2, 0)
    assert np.array_equal(part, seen[:20, :30])


@pytest.mark.parametrize("suffix", ["png", "webp", "gif"])
def test_what_is_opaque_stays_as_it_is(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, one in {"plain": PICTURE, "palette": PICTURE.quantize(8), "alpha": PICTURE.convert("RGBA")}.items():
        one.save(tmp_path / f"{name}.{suffix}")
        seen = decode(tmp_path / f"{name}.{suffix}", times=[0.0], size=(20, 30)).video
        with monkeypatch.context() as patch:
            patch.setattr("avssl.data.filters.on_white", lambda frame: frame)
            assert np.array_equal(seen, decode(tmp_path / f"{name}.{suffix}", times=[0.0], size=(20, 30)).video)


@pytest.mark.parametrize("suffix", ["tif", "bmp"])
def test_a_fourth_channel_that_may_be_anything_is_passed_over(tmp_path: Path, suffix: str) -> None:
    transparent()["RGBA"].save(tmp_path / f"a.{suffix}")
    assert np.array_equal(decode(tmp_path / f"a.{suffix}", times=[0.0]).video[0].transpose(1, 2, 0), NOISE)


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
