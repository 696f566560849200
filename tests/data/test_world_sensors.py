"""Further sensors of a made-up world: what they record is of the same things at the same time and place."""

import json

import numpy as np
import pytest

from avssl.data.encode import write_deep
from avssl.data.media import decode, probe
from avssl.data.world import make_world
from avssl.data.world.render import frames_of, sound_of
from avssl.data.world.scene import plan
from avssl.data.world.sensors import FAR_MM, LENS_SHIFT, LENS_ZOOM, WARMTH, depths, distances, heat, panned
from avssl.data.world.sounds import KINDS


def scene(index, split="train", level="medium"):
    return plan(0, split, index, level, 64, 12.5, 2.0)


def test_what_is_heard_on_a_side_is_seen_there():
    sides = []
    for index in range(40):
        one = scene(index, level="easy")
        mixture, parts = sound_of(one)
        ears = panned(one, mixture, parts)
        assert ears.shape == (2, len(mixture))
        assert ears.dtype == np.float32
        energy = np.square(ears).sum(1)
        place = next(thing for thing in one.things if thing.sounding).poses.centers[:, 0].mean()
        sides.append((place, float(energy[1] / energy.sum())))
    place, right = np.array(sides).T
    assert np.corrcoef(place, right)[0, 1] > 0.95
    assert ((place > 0.5) == (right > 0.5)).mean() > 0.9


def test_what_comes_from_nowhere_is_heard_in_the_middle():
    one = scene(4, "test", "easy")
    assert one.case == "offscreen"
    mixture, parts = sound_of(one)
    energy = np.square(panned(one, mixture, parts)).sum(1)
    assert energy[0] == pytest.approx(energy[1], rel=0.01)
    assert energy.sum() == pytest.approx(np.square(mixture).sum(), rel=0.02), "panning neither adds nor takes"


def test_depth_is_of_what_is_seen_and_the_nearer_thing_hides_the_farther():
    for index in range(8):
        one = scene(index)
        frames, far = depths(one), distances(one)
        assert (frames.dtype, frames.shape) == (np.dtype(np.uint16), (25, 64, 64))
        assert frames.max() < FAR_MM
        assert far == sorted(far, reverse=True), "drawn later is nearer"
        for thing, distance in zip(one.things, far, strict=True):
            x0, y0, x1, y1 = np.rint(thing.boxes[0] * 64).astype(int)
            rows, columns = np.nonzero(frames[0] == distance)
            if len(rows):
                assert x0 - 1 <= columns.min() <= columns.max() <= x1
                assert y0 - 1 <= rows.min() <= rows.max() <= y1
        nearest = (frames == far[-1]).sum()
        assert nearest > 0, "nothing hides the nearest"


def test_the_second_camera_sees_warm_things_beside_where_the_first_sees_them():
    for index in range(8):
        one = scene(index)
        pictures = heat(one)
        assert (pictures.dtype, pictures.shape) == (np.dtype(np.uint8), (25, 64, 64, 3))
        assert (pictures[..., 0] == pictures[..., 1]).all(), "it sees no color"
        warm = pictures[0, ..., 0] > 60
        assert 0 < warm.mean() < 0.6
        only = one.things[0] if len(one.things) == 1 else None
        if only is not None:
            rows, columns = np.nonzero(warm)
            seen = np.array([columns.mean(), rows.mean()]) / 64
            expected = (only.poses.centers[0] - 0.5) * LENS_ZOOM + 0.5 + np.array(LENS_SHIFT)
            assert np.abs(seen - expected).max() < 0.15
    assert set(WARMTH) == set(KINDS)


def test_a_world_with_sensors_on_disk(tmp_path):
    sizes = {"clips": 4, "side": 32, "seconds": 1.0, "workers": 1}
    plain = make_world(tmp_path / "plain", **sizes)
    records = make_world(tmp_path / "w", **sizes, sensors=("infrared", "stereo", "depth"))
    kept = [{name: value for name, value in record.items() if name != "distances_mm"} for record in records]
    assert kept == plain, "what happens is the same"
    first = tmp_path / "w" / "videos" / "train" / "train-00000.mp4"
    assert probe(first).sounds[0].channels == 2
    deep = first.with_suffix(".depth.mkv")
    assert probe(deep).pictures[0].deep_bits == 16
    one = plan(0, "train", 0, "easy", 32, 12.5, 1.0)
    times = np.arange(12) / 12.5
    assert np.array_equal(decode(deep, times=times, deep=True).video[:, 0], depths(one)), "without any loss"
    warm = decode(first.with_suffix(".infrared.mp4"), times=times).video.transpose(0, 2, 3, 1)
    assert np.abs(warm.astype(int) - heat(one)).mean() < 8
    seen = decode(first, times=times).video.transpose(0, 2, 3, 1)
    assert np.abs(seen.astype(int) - frames_of(one)).mean() < 12
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "w").rglob("*.m*")}
    deep.unlink()
    make_world(tmp_path / "w", **sizes, sensors=("depth", "infrared", "stereo"))
    assert deep.exists()
    assert [path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp] == [deep]
    assert json.loads((tmp_path / "w" / "world.json").read_text())["sensors"] == ["stereo", "depth", "infrared"]
    assert "sensors" not in json.loads((tmp_path / "plain" / "world.json").read_text())


def test_refusals(tmp_path):
    make_world(tmp_path / "w", clips=3, side=32, seconds=1.0, workers=1)
    with pytest.raises(ValueError, match=r"holds a world with sensors None, not \['depth'\]"):
        make_world(tmp_path / "w", clips=3, side=32, seconds=1.0, workers=1, sensors=("depth",))
    with pytest.raises(ValueError, match="no sensor 'smell'; the sensors are stereo, depth, infrared"):
        make_world(tmp_path / "v", sensors=("smell",))
    with pytest.raises(ValueError, match="no pictures to write"):
        write_deep(tmp_path / "a.mkv", iter(()), 10)
    with pytest.raises(ValueError, match="not uint16"):
        write_deep(tmp_path / "a.mkv", [np.zeros((4, 4), np.uint8)], 10)
    assert not list(tmp_path.glob("*a*mkv"))
