"""A file that is searched with is read as a stream of a manifest is: its range, crop, channel and rate."""

import numpy as np
import pytest
from matplotlib.image import imsave
from test_reading_streams import DRAWN, deep

from avssl.data.alone import alone


def test_stored_values_become_shares_by_the_range_that_is_asked_for(tmp_path):
    path = deep(tmp_path / "a,b.mkv", "ffv1", "gray16le")
    half = alone(f"depth={path},range=0:32767.5")
    assert (half.name, half.kind, half.deep, half.path) == ("depth", "picture", True, path)
    assert half.seconds == pytest.approx(0.6)
    expected = np.clip(DRAWN[3] / 32767.5, 0, 1)
    assert np.allclose(half.scaled(half.decode(times=[0.35]).video)[0, 0], expected)
    whole = alone(f"depth={path},crop=0.5:0:1:0.25")
    assert np.allclose(whole.scaled(whole.decode(times=[0.0]).video)[0, 0], DRAWN[0, :5, 15:] / 65535)


def test_a_channel_is_taken_out_of_the_sound(media):
    left = alone(f"left={media['mp4'].path}")
    assert (left.kind, left.channel) == ("sound", 0)
    assert left.decode(audio=(0.0, 0.5)).audio.shape == (8000,)
    with pytest.raises(ValueError, match="channels, and channel9 is none of them"):
        alone(f"channel9={media['mp4'].path}")
    with pytest.raises(ValueError, match="a channel of a sound has no settings, not 'fps=3'"):
        alone(f"left={media['mp4'].path},fps=3")


def test_a_folder_of_pictures_needs_its_rate(tmp_path):
    for number in range(4):
        imsave(tmp_path / f"{number}.png", np.full((8, 8), number / 4), cmap="gray", vmin=0, vmax=1)
    read = alone(f"thermal={tmp_path},fps=2")
    assert read.seconds == 2
    assert read.decode(times=[1.0]).video[0].mean() == pytest.approx(127, abs=2)
    with pytest.raises(ValueError, match="say how fast they follow: thermal="):
        alone(f"thermal={tmp_path}")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("depth", "say NAME=FILE"),
        ("depth=none.mkv", "no such file"),
        ("left=none.mkv", "no such file"),
        ("video=none.mkv", "none that every recording has"),
        ("depth=none.mkv,range=5:1", "the lowest value comes first"),
    ],
)
def test_what_cannot_be_read_is_told(words, told):
    with pytest.raises(ValueError, match=told):
        alone(words)
