"""A method run over recordings: right place, right time, read in windows, whatever the length; and honest refusals."""

import numpy as np
import pytest
import torch
from bright import CFG, FPS, HZ, Bright, Clock, recording

from avssl.data.encode import write_clip
from avssl.inputs import Inputs, Vocabulary
from avssl.localize import heatmap as heat_module
from avssl.localize.heatmap import heatmap, heatmaps


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
    write_clip(tmp_path / "ramp.mp4", frames, FPS, np.full(4 * HZ, 0.1, np.float32), HZ, crf=4)
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


def test_a_pause_is_dark_whatever_the_window_hears_around_it(tmp_path):
    """This network lights the bright square in every window; the recording is silent before 1 s and after 2 s."""

    class Deaf(Bright):
        def localize(self, video, query, modality):
            return super().localize(video, torch.ones_like(query), modality)

    clip = recording(tmp_path / "clip.mp4", 3, loud=(1.0, 2.0))
    own, text = heatmaps(Deaf(), Inputs(CFG, Vocabulary.train(["a bell"], 40)), clip, [None, "a bell"])
    sounding = own.loudness > -60
    assert sounding.sum() in (4, 5)
    peaks = own.maps.max(axis=(1, 2))
    assert peaks[sounding].min() > 0.5
    assert (peaks[~sounding] == own.maps.min()).all()
    assert text.maps.max(axis=(1, 2)).min() > 0.5, "what is said to look for is there in silence too"


def test_a_pause_is_dark_where_every_place_is_as_bright_at_all_times(tmp_path):
    class Everywhere(Bright):
        def localize(self, video, query, modality):
            return 0 * super().localize(video, query, modality) + 0.9

    heat = heatmap(Everywhere(), Inputs(CFG), recording(tmp_path / "clip.mp4", 3, loud=(1.0, 2.0)))
    sounding = heat.loudness > -60
    assert heat.maps[sounding] == pytest.approx(0.9)
    assert heat.maps[~sounding].max() <= -1


def test_window_and_hop_can_be_chosen(tmp_path):
    clip, method = recording(tmp_path / "clip.mp4", 3), Bright()
    heatmap(method, Inputs(CFG), clip, window_seconds=2.0, hop_seconds=0.5)
    assert {video[1] for video, _ in method.calls} == {8}
    assert {sound[1] for _, sound in method.calls} == {round(2.0 * HZ)}
    with pytest.raises(ValueError, match="leaves gaps"):
        heatmap(method, Inputs(CFG), clip, hop_seconds=1.5)


def test_recordings_without_picture_are_refused(tmp_path):
    import wave

    with wave.open(str(tmp_path / "only.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(HZ)
        file.writeframes(bytes(2 * HZ))
    with pytest.raises(ValueError, match="no picture"):
        heatmap(Bright(), Inputs(CFG), tmp_path / "only.wav")


@pytest.mark.parametrize("seconds", [0.0, -3.0, float("inf"), float("nan"), 601.0])
@pytest.mark.parametrize("name", ["window_seconds", "hop_seconds"])
def test_seconds_that_are_no_length_are_refused(tmp_path, name, seconds):
    with pytest.raises(ValueError, match=f"^{name} {seconds:g}: seconds above 0 and at most 600"):
        heatmap(Bright(), Inputs(CFG), tmp_path / "not looked for.mp4", **{name: seconds})


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


@pytest.mark.parametrize("span", [(1.0, 2.6), (0.4, 0.9), (3.7, 9.0), (50.0, 60.0)])
def test_a_part_of_a_recording_is_as_it_is_in_the_whole(tmp_path, span):
    clip, inputs = recording(tmp_path / "clip.mp4", 4, loud=(0.0, 1.5)), Inputs(CFG)
    (part,) = heatmaps(Bright(), inputs, clip, [None], span=span)
    assert part.times[0] == pytest.approx(span[0], abs=1 / CFG.fps)
    if span[0] > 4:
        assert len(part.times) == 1, "nothing is there; what is shown last is told once"
        return
    assert part.times[-1] == pytest.approx(min(span[1], 4.0) - 1 / CFG.fps, abs=1 / CFG.fps)
    whole = heatmap(Bright(), inputs, clip)
    inside = np.isclose(whole.times[:, None], part.times).any(1)
    assert np.array_equal(part.loudness, whole.loudness[inside])
    seconds = CFG.frames / CFG.fps  # windows begin elsewhere, which is all that may differ
    calm = (part.times > 1.5 + seconds) | (part.times < 1.5 - seconds)
    np.testing.assert_allclose(part.maps[calm], whole.maps[inside][calm], atol=0.02)
