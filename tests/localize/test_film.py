"""Overlays of whole recordings, of parts and of stills, written from maps."""

import json

import numpy as np
import pytest
from bright import CFG, HZ, Bright, recording

from avssl.data.media import decode, probe
from avssl.inputs import Inputs
from avssl.localize import calibration, film
from avssl.localize.heatmap import heatmap, heatmaps


def test_a_film_of_no_height_is_refused(tmp_path):
    heat = film.Heat(np.zeros((1, 2, 2)), np.zeros(1), np.zeros(1))
    found = film.Found("a sound", heat, calibration.Calibration(0.1, 1.0, "d", "by hand"))
    with pytest.raises(ValueError, match="a height of 0 pixels is too small; 16 at least"):
        film.make(tmp_path / "not looked for.mp4", tmp_path / "out.mp4", [found], 0)


def test_a_still_picture_takes_a_query(tmp_path):
    from matplotlib.image import imsave

    imsave(tmp_path / "still.png", np.full((40, 60, 3), 200, dtype=np.uint8))
    heat = heatmap(Bright(), Inputs(CFG), tmp_path / "still.png", query=np.ones(HZ, np.float32))
    assert heat.maps.shape == (1, 4, 6)
    scale = calibration.Calibration(0.1, 1.0, "d", "by hand")
    written = film.make(tmp_path / "still.png", tmp_path / "out.mp4", [film.Found("a sound", heat, scale)])
    assert [path.name for path in written] == ["out.png", "out.json"]


def test_film_of_a_recording(tmp_path):
    from test_overlay import read

    clip = recording(tmp_path / "clip.mp4", 4, loud=(0.0, 2.0))
    method, inputs = Bright(), Inputs(CFG)
    heat = heatmap(method, inputs, clip)
    nothing = heatmaps(method, inputs, clip, calibration.deaf("audio", inputs))
    scale = calibration.stand_in("audio", heat.maps, [one.maps for one in nothing], "abc")
    assert 0.05 < scale.threshold < scale.ceiling == heat.maps.max()
    written = film.make(clip, tmp_path / "out.mp4", [film.Found("its own sound", heat, scale)], boxes=False)
    assert [path.name for path in written] == ["out.mp4", "out.png", "out.json"]
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["threshold"] == scale.threshold
    assert 0.4 <= told["lit_time"] <= 0.7
    first, last = told["moments"][0], told["moments"][-1]
    assert (first["x"], first["y"]) == (pytest.approx(5 / 6, abs=0.1), pytest.approx(0.25, abs=0.13))
    assert (last["x"], last["lit_area"]) == (None, 0.0)
    pictures, sound = read(tmp_path / "out.mp4")
    assert len(pictures) == 50
    assert pictures[0].shape == (192 + 24, 288, 3), "small pictures are enlarged by a whole number"
    assert np.abs(pictures[45][:90, 216:270] - 250).max() <= 8  # dark again: as it was
    assert np.abs(pictures[10][24:72, 216:264] - 250).max(axis=-1).min() > 40
    assert np.abs(sound[HZ // 2 : HZ]).max() > 0.4


def test_film_of_a_part_begins_there(tmp_path):
    clip, inputs = recording(tmp_path / "clip.mp4", 4, loud=(2.0, 4.0)), Inputs(CFG)
    (heat,) = heatmaps(Bright(), inputs, clip, [None], span=(1.0, 3.0))
    scale = calibration.Calibration(0.05, 0.5, "abc", "by hand")
    film.make(clip, tmp_path / "out.mp4", [film.Found("its own sound", heat, scale)])
    made = probe(tmp_path / "out.mp4")
    assert made.duration == pytest.approx(2.0, abs=0.15)
    sound = decode(tmp_path / "out.mp4", audio=(0.0, 2.0), hz=HZ).audio
    assert np.abs(sound[: HZ * 9 // 10]).max() < 0.05 < np.abs(sound[HZ * 11 // 10 :]).max()
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["moments"][0]["seconds"] == 1.0, "seconds of the recording"
