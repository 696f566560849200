"""What streams need of the reader: all bits of deep pictures, a part of a picture, channels kept apart."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from made_media import clicks, write

from avssl.data.filters import stored_box
from avssl.data.media import Unreadable, decode, probe

DRAWN = np.random.default_rng(0).integers(0, 65536, (6, 20, 30), dtype=np.uint16)


def deep(path: Path, codec: str, pixels: str) -> Path:
    """Six gray pictures of 16 bits, 10 a second."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 30, 20, pixels
        for index, picture in enumerate(DRAWN):
            frame = av.VideoFrame.from_ndarray(picture, format="gray16le").reformat(format=pixels)
            frame.pts, frame.time_base = index, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("name", "codec", "pixels"), [("a.mkv", "ffv1", "gray16le"), ("a.mov", "png", "gray16be")])
def test_all_bits_of_a_deep_picture_are_read(tmp_path, name, codec, pixels):
    path = deep(tmp_path / name, codec, pixels)
    assert probe(path).pictures[0].deep_bits == 16
    times = [0.0, 0.1, 0.35, 0.5]
    got = decode(path, times=times, deep=True)
    assert got.video.dtype == np.uint16
    assert np.array_equal(got.video[:, 0], DRAWN[[0, 1, 3, 5]])
    small = decode(path, times=times, size=(10, 10), deep=True).video
    assert np.array_equal(small[:, 0], DRAWN[[0, 1, 3, 5]][:, 1::2, 1::3]), "the nearest pixel, nothing in between"
    part = decode(path, times=[0.0], deep=True, box=(0.5, 0.0, 1.0, 0.25)).video
    assert np.array_equal(part[0, 0], DRAWN[0, :5, 15:])


def test_pictures_of_8_bits_are_not_deep(media):
    with pytest.raises(Unreadable, match="no gray pictures of more than 8 bits"):
        decode(media["mp4"].path, times=[0.0], deep=True)
    assert probe(media["mp4"].path).pictures[0].deep_bits == 0


def quarters(index: int) -> np.ndarray:
    """Four colors, one in each quarter: dark, red, green, blue."""
    picture = np.full((48, 64, 3), 20, np.uint8)
    picture[:24, 32:, 0] = picture[24:, :32, 1] = picture[24:, 32:, 2] = 220
    return picture


@pytest.mark.parametrize("rotation", [None, 90.0, 180.0, 270.0])
def test_a_box_is_of_the_picture_as_it_is_shown(tmp_path, rotation):
    path = write(tmp_path / "turned.mp4", audio=None, picture=quarters, count=5, rotation=rotation)
    whole = decode(path, times=[0.1]).video[0].astype(int)  # [3, H, W]
    height, width = whole.shape[1:]
    for left, top in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)):
        part = decode(path, times=[0.1], size=(16, 16), box=(left, top, left + 0.5, top + 0.5)).video[0].astype(int)
        x, y = int((left + 0.25) * width), int((top + 0.25) * height)
        assert np.abs(part[:, 3:-3, 3:-3] - whole[:, y, x][:, None, None]).max() < 25, (left, top)


def test_a_box_turned_four_times_is_itself():
    box = (0.1, 0.2, 0.4, 0.9)
    for rotation in (0, 180):
        assert stored_box(stored_box(box, rotation), rotation) == pytest.approx(box)
    assert stored_box(stored_box(box, 90), 270) == pytest.approx(box)


@pytest.mark.parametrize(("name", "codec", "layout"), [
    ("a.wav", "pcm_s16le", "stereo"), ("a.mkv", "flac", "5.1"), ("a.wav", "pcm_s16le", "7.1"),
    ("a.mp4", "aac", "stereo"),
])  # fmt: skip
def test_channels_are_kept_apart_when_asked(tmp_path, name, codec, layout):
    count = av.AudioLayout(layout).nb_channels
    sound = np.stack([clicks(3.0, 16000) * (channel + 1) / count for channel in range(count)])
    path = write(tmp_path / name, video=None, audio=codec, hz=16000, sound=sound, layout=layout)
    got = decode(path, audio=(0.5, 1.0), hz=16000, channels=(count - 1, 0))
    assert got.audio.shape == (2, 16000)
    tolerance = 0.08 if codec == "aac" else 1e-3
    assert np.abs(got.audio - sound[[count - 1, 0], 8000:24000]).max() < tolerance
    mixed = decode(path, audio=(0.5, 1.0), hz=16000)
    assert mixed.audio.shape == (16000,)
    slower = decode(path, audio=(0.5, 1.0), hz=8000, channels=(1,))
    assert slower.audio.shape == (1, 8000)


def test_a_channel_that_is_not_there_is_silence(media):
    got = decode(media["mp4"].path, audio=(0.0, 1.0), channels=(0, 1))
    assert got.audio[0].max() > 0.3
    assert not got.audio[1].any()
