"""A method run over recordings: right place, right time, read in windows, whatever the length; and honest refusals."""

import itertools
import json

import numpy as np
import pytest
import torch

from avssl.config import InputsConfig, MethodConfig
from avssl.data.encode import write_clip
from avssl.inputs import Inputs
from avssl.localize import calibration, film
from avssl.localize import heatmap as heat_module
from avssl.localize.heatmap import heatmap, loudest
from avssl.methods.base import Method, Step
from avssl.sample import Needs

HZ, FPS = 8000, 12.5
CFG = InputsConfig(height=32, width=48, frames=4, fps=4.0, hz=HZ, audio_seconds=1.0, audio="wave")


class Bright(Method[MethodConfig]):
    """Marks what is bright while the sound of the window is loud; a text marks it by its length."""

    Config, modalities, localizes = MethodConfig, ("audio", "video"), ("audio", "text")

    def __init__(self):
        super().__init__(MethodConfig(name="bright"), Inputs(CFG), torch.nn.ModuleDict(), 1)
        self.calls = []

    @classmethod
    def needs(cls, cfg, inputs):
        return Needs()

    @classmethod
    def transform(cls, cfg, inputs):
        raise NotImplementedError

    def forward(self, batch, turn="main"):
        return Step(torch.zeros(()))

    def localize(self, video, query, modality):
        assert not self.training
        assert video.dtype == torch.uint8
        self.calls.append((tuple(video.shape), tuple(query.shape)))
        loud = query.float().square().mean(-1).sqrt() if modality == "audio" else (query >= 0).sum(-1).float()
        bright = video.float().mean(2) / 255  # [B, T, H, W]
        return torch.nn.functional.avg_pool2d(bright, 8) * loud[:, None, None, None]


class Clock(Bright):
    """Answers with the brightness of the whole frame: maps must keep each frame's time."""

    def localize(self, video, query, modality):
        return video.float().mean((2, 3, 4))[..., None, None] / 255


def recording(path, seconds, *, sound=True, loud=None):
    """A bright square in the upper right; a tone between the two moments of `loud`."""
    frame = np.full((64, 96, 3), 10, dtype=np.uint8)
    frame[:32, 64:] = 250
    times = np.arange(round(seconds * HZ)) / HZ
    tone = 0.5 * np.sin(2 * np.pi * 440 * times).astype(np.float32)
    if loud is not None:
        tone[(times < loud[0]) | (times >= loud[1])] = 0
    write_clip(path, itertools.repeat(frame, round(seconds * FPS)), FPS, tone if sound else None, HZ)
    return path


@pytest.mark.parametrize("seconds", [0.4, 1.0, 1.3, 4.6, 9.0])
def test_every_moment_has_a_map_for_any_length(tmp_path, seconds):
    clip = recording(tmp_path / "clip.mp4", seconds)
    heat = heatmap(Bright(), Inputs(CFG), clip)
    assert heat.times.tolist() == (np.arange(len(heat.times)) / CFG.fps).tolist()
    # The sound stream may be a packet longer than the picture; the picture decides.
    assert len(heat.times) == int(np.ceil(round(seconds * FPS) / FPS * CFG.fps - 1e-6))
    assert heat.maps.shape == (len(heat.times), 4, 6)
    assert heat.loudness.shape == heat.times.shape
    assert (heat.maps[:, :2, 4:].min(axis=(1, 2)) > 4 * heat.maps[:, :, :4].max(axis=(1, 2))).all()


def test_overlapping_windows_agree_with_single_ones(tmp_path):
    """Maps that depend on the frame alone come out as without windows, in time and in order."""
    level = np.linspace(20, 240, 50).astype(np.uint8)
    frames = [np.full((32, 48, 3), v, dtype=np.uint8) for v in level]
    write_clip(tmp_path / "ramp.mp4", frames, FPS, np.zeros(4 * HZ, np.float32), HZ, crf=4)
    expected = level[(np.arange(16) / CFG.fps * FPS + 1e-6).astype(int)] / 255
    for hop in (0.25, 0.5, 1.0):
        heat = heatmap(Clock(), Inputs(CFG), tmp_path / "ramp.mp4", hop_seconds=hop)
        np.testing.assert_allclose(heat.maps[:, 0, 0], expected, atol=0.02)


def test_light_follows_the_sound_without_lag(tmp_path):
    clip = recording(tmp_path / "clip.mp4", 8, loud=(3.0, 5.0))
    heat = heatmap(Bright(), Inputs(CFG), clip, hop_seconds=0.25)
    peaks = heat.maps.max(axis=(1, 2))
    assert peaks[heat.times <= 1.75].max() < 0.01
    assert peaks[heat.times >= 6.25].max() < 0.01
    assert peaks[np.abs(heat.times - 4.0) < 0.3].min() > 0.2
    middle = (peaks * (heat.times + 0.5 / CFG.fps)).sum() / peaks.sum()
    assert middle == pytest.approx(4.0, abs=0.15)
    assert heat.loudness[np.abs(heat.times - 4.0) < 0.8].min() > -12
    assert heat.loudness[heat.times < 2.7].max() < -45


def test_window_and_hop_can_be_chosen(tmp_path):
    clip, method = recording(tmp_path / "clip.mp4", 3), Bright()
    heatmap(method, Inputs(CFG), clip, window_seconds=2.0, hop_seconds=0.5)
    assert {video[1] for video, _ in method.calls} == {8}
    assert {sound[1] for _, sound in method.calls} == {round(2.0 * HZ)}
    with pytest.raises(ValueError, match="leaves gaps"):
        heatmap(method, Inputs(CFG), clip, hop_seconds=1.5)


def test_queries_by_text_and_by_sound(tmp_path):
    silent = recording(tmp_path / "silent.mp4", 2, sound=False)
    method = Bright()
    inputs = Inputs(CFG)
    with pytest.raises(ValueError, match="--text WORDS or --audio FILE"):
        heatmap(method, inputs, silent)
    sound = recording(tmp_path / "query.mp4", 6, loud=(4.0, 5.0))
    heat = heatmap(method, inputs, silent, query=sound)
    assert heat.maps.max() > 0.2  # the loud second of the six was found
    assert heat.loudness.max() == -60
    again = heatmap(method, inputs, silent, query=np.zeros(HZ, np.float32))
    assert again.maps.max() == 0
    with pytest.raises(ValueError, match="no vocabulary"):
        heatmap(method, inputs, silent, query="the bell")
    with pytest.raises(ValueError, match="empty"):
        heatmap(method, inputs, silent, query=" ")
    method.localizes = ("audio",)
    with pytest.raises(ValueError, match="does not say where a text is"):
        heatmap(method, inputs, silent, query="the bell")


def test_recordings_without_picture_are_refused(tmp_path):
    import wave

    with wave.open(str(tmp_path / "only.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(HZ)
        file.writeframes(bytes(2 * HZ))
    with pytest.raises(ValueError, match="no picture"):
        heatmap(Bright(), Inputs(CFG), tmp_path / "only.wav")


def test_a_still_picture_takes_a_query(tmp_path):
    from matplotlib.image import imsave

    imsave(tmp_path / "still.png", np.full((40, 60, 3), 200, dtype=np.uint8))
    heat = heatmap(Bright(), Inputs(CFG), tmp_path / "still.png", query=np.ones(HZ, np.float32))
    assert heat.maps.shape == (1, 4, 6)
    scale = calibration.Calibration(0.1, 1.0, "d", "by hand")
    written = film.make(tmp_path / "still.png", tmp_path / "out.mp4", [film.Found("a sound", heat, scale)])
    assert [path.name for path in written] == ["out.png", "out.json"]


def test_the_method_keeps_its_mode_and_windows_come_in_batches(tmp_path, monkeypatch):
    clip, method = recording(tmp_path / "clip.mp4", 5), Bright().train()
    one = heatmap(method, Inputs(CFG), clip)
    assert method.training
    sizes = [video[0] for video, _ in method.calls]
    assert max(sizes) == heat_module.WINDOWS_AT_ONCE
    monkeypatch.setattr(heat_module, "WINDOWS_AT_ONCE", 3)
    other = heatmap(method, Inputs(CFG), clip)
    np.testing.assert_allclose(one.maps, other.maps, atol=1e-9)
    assert np.array_equal(one.loudness, other.loudness)


def test_loudest_part_of_a_sound():
    sound = np.array([0, 0, 1, 2, 0, 0], np.float32)
    assert loudest(sound, 2).tolist() == [1, 2]
    assert loudest(sound[:3], 5).tolist() == [0, 0, 1, 0, 0]


def test_film_of_a_recording(tmp_path):
    from test_overlay import read

    clip = recording(tmp_path / "clip.mp4", 4, loud=(0.0, 2.0))
    method, inputs = Bright(), Inputs(CFG)
    heat = heatmap(method, inputs, clip)
    scale = calibration.from_noise(
        heat.maps, lambda sound: heatmap(method, inputs, clip, query=sound).maps, HZ, digest="abc"
    )
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
    assert pictures[0].shape == (64 + 24, 96, 3)
    assert np.abs(pictures[45][:32, 70:90] - 250).max() <= 8  # dark again: as it was
    assert np.abs(pictures[10][8:24, 72:88] - 250).max(axis=-1).min() > 40
    assert np.abs(sound[HZ // 2 : HZ]).max() > 0.4


def test_scale_is_stored_with_its_checkpoint(tmp_path):
    scale = calibration.from_peaks(np.arange(101) / 100, 0.2, "abc", "on 101 validation clips")
    assert scale.ceiling == pytest.approx(0.95)
    scale.save(tmp_path)
    assert calibration.load(tmp_path, "abc") == scale
    assert calibration.load(tmp_path, "another") is None
    assert calibration.load(tmp_path / "nowhere", "abc") is None
    (tmp_path / calibration.FILE).write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        calibration.load(tmp_path, "abc")
    assert calibration.from_peaks([0.3, 0.3], 0.3, "abc", "").ceiling > 0.3


def test_what_a_person_asks_for_replaces_the_stored_scale():
    stored = calibration.Calibration(0.2, 0.8, "abc", "validation")
    maps = np.array([[[0.1, 0.6]]])
    assert calibration.settle(stored, maps, None, None, "abc") == stored
    given = calibration.settle(stored, maps, 0.5, None, "abc")
    assert (given.threshold, given.ceiling, given.chosen) == (0.5, 0.8, "as given")
    assert calibration.settle(None, maps, 0.3, None, "abc").ceiling == 0.6
    assert calibration.settle(None, maps, 0.9, None, "abc").ceiling > 0.9
    with pytest.raises(ValueError, match="not above its threshold"):
        calibration.settle(stored, maps, 0.5, 0.4, "abc")
