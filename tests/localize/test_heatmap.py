"""A method run over recordings: right place, right time, read in windows, whatever the length; and honest refusals."""

import itertools
import json

import numpy as np
import pytest
import torch

from avssl.config import InputsConfig, MethodConfig
from avssl.data.encode import write_clip
from avssl.data.media import decode, probe
from avssl.inputs import Inputs, Vocabulary
from avssl.localize import calibration, film
from avssl.localize import heatmap as heat_module
from avssl.localize.heatmap import heatmap, heatmaps, loudest
from avssl.localize.looking import Looking
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


@pytest.mark.parametrize("seconds", [0.0, -3.0, float("inf"), float("nan"), 601.0])
@pytest.mark.parametrize("name", ["window_seconds", "hop_seconds"])
def test_seconds_that_are_no_length_are_refused(tmp_path, name, seconds):
    with pytest.raises(ValueError, match=f"^{name} {seconds:g}: seconds above 0 and at most 600"):
        heatmap(Bright(), Inputs(CFG), tmp_path / "not looked for.mp4", **{name: seconds})


@pytest.mark.parametrize("given", [{"ceiling": 0.1}, {"threshold": float("nan")}, {"ceiling": float("inf")}])
def test_a_scale_that_cannot_be_is_refused_before_anything_is_looked_at(tmp_path, given):
    calibration.Calibration(0.2, 0.8, "abc", "validation").save(tmp_path)
    look = Looking(tmp_path, "abc", Bright().eval(), Inputs(CFG))
    with pytest.raises(ValueError, match="of the scale"):
        look(tmp_path / "not looked for.mp4", {"its own sound": None}, **given)


def test_a_stored_scale_without_end_is_named(tmp_path):
    calibration.Calibration(0.2, 0.8, "abc", "validation").save(tmp_path)
    held = tmp_path / calibration.FILE
    held.write_text(held.read_text().replace("0.8", "Infinity"))
    with pytest.raises(ValueError, match=rf"{calibration.FILE} is damaged \(the ceiling of the scale is inf"):
        calibration.load(tmp_path, "abc")


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


def test_several_queries_are_read_once_and_equal_each_alone(tmp_path):
    clip, inputs = recording(tmp_path / "clip.mp4", 3), Inputs(CFG)
    queries = [None, np.full(HZ, 0.3, np.float32), np.zeros(HZ, np.float32)]
    together = heatmaps(Bright(), inputs, clip, queries)
    for query, heat in zip(queries, together, strict=True):
        alone = heatmap(Bright(), inputs, clip, query=query)
        np.testing.assert_array_equal(heat.maps, alone.maps)
        assert np.array_equal(heat.times, alone.times)
    assert not np.array_equal(together[0].maps, together[2].maps)


class Counting(torch.nn.Module):
    """An encoder of pictures that counts."""

    def __init__(self):
        super().__init__()
        self.times = 0

    def forward(self, x):
        self.times += 1
        return x.float().mean(2) / 255


class Encoding(Bright):
    """The same by way of an encoder."""

    def __init__(self):
        super().__init__()
        self.encoders["video"] = Counting()

    def localize(self, video, query, modality):
        loud = query.float().square().mean(-1).sqrt()
        seen = self.encoders["video"](video) + self.encoders["video"](video.flip(1)).flip(1)
        return torch.nn.functional.avg_pool2d(seen / 2, 8) * loud[:, None, None, None]


def test_pictures_are_encoded_once_for_all_queries(tmp_path):
    clip, inputs, method = recording(tmp_path / "clip.mp4", 1), Inputs(CFG), Encoding()
    queries = [np.full(HZ, volume, np.float32) for volume in (0.1, 0.2, 0.3)]
    heats = heatmaps(method, inputs, clip, queries)
    assert method.encoders["video"].times == 1 + 3, "the turned pictures are others each time"
    for query, heat in zip(queries, heats, strict=True):
        np.testing.assert_allclose(heat.maps, heatmap(Bright(), inputs, clip, query=query).maps, rtol=1e-5)
    assert "forward" not in vars(method.encoders["video"])


class Headed(Bright):
    """The first head marks what is bright by the sound's loudness, the second half as much everywhere."""

    def heads(self, video, query, modality):
        first = super().localize(video, query, modality)
        return torch.stack([first, torch.full_like(first, 0.5) * first.amax((1, 2, 3), keepdim=True)], 1)

    def localize(self, video, query, modality):
        return self.heads(video, query, modality).amax(1)


def test_each_head_has_its_map(tmp_path):
    clip, inputs = recording(tmp_path / "clip.mp4", 2), Inputs(CFG)
    first, second, quiet, _ = heatmaps(Headed(), inputs, clip, [None, np.full(HZ, 0.1, np.float32)], heads=True)
    (both,) = heatmaps(Headed(), inputs, clip, [None])
    np.testing.assert_allclose(np.maximum(first.maps, second.maps), both.maps, rtol=1e-6)
    assert np.ptp(second.maps[2]) == 0 < np.ptp(first.maps[2])
    assert quiet.maps.max() < first.maps.max()
    look = Looking(tmp_path, "abc", Headed().eval(), inputs, heads=True)
    found = look(clip, {"its own sound": None})
    assert [one.query for one in found] == ["head 1 of its own sound", "head 2 of its own sound"]
    assert found[0].scale == found[1].scale, "one threshold for all heads"
    assert found[0].scale == Looking(tmp_path, "abc", Headed().eval(), inputs)(clip, {"its own sound": None})[0].scale
    with pytest.raises(ValueError, match="bright has no heads"):
        heatmaps(Bright(), inputs, clip, [None], heads=True)
    with pytest.raises(ValueError, match="2 queries"):
        look(clip, {"a": None, "b": np.zeros(HZ, np.float32)})


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


def test_scale_is_stored_with_its_checkpoint_and_kind(tmp_path):
    scale = calibration.from_peaks(np.arange(101) / 100, 0.2, "abc", "on 101 validation clips")
    assert scale.ceiling == pytest.approx(0.95)
    scale.save(tmp_path)
    assert calibration.load(tmp_path, "abc") == scale
    assert calibration.load(tmp_path, "abc", "text") is None, "scores of texts are on another scale"
    words = calibration.Calibration(0.01, 0.02, "abc", "on phrases")
    words.save(tmp_path, "text")
    assert (calibration.load(tmp_path, "abc"), calibration.load(tmp_path, "abc", "text")) == (scale, words)
    assert calibration.load(tmp_path, "another") is None
    assert calibration.load(tmp_path / "nowhere", "abc") is None
    assert calibration.stored(tmp_path / "checkpoints" / "step-1", "abc", "text") == words
    newer = calibration.Calibration(0.5, 0.6, "def", "of other weights")
    newer.save(tmp_path)
    assert calibration.load(tmp_path, "def", "text") is None, "of other weights nothing stays"
    (tmp_path / calibration.FILE).write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        calibration.load(tmp_path, "abc")
    assert calibration.from_peaks([0.3, 0.3], 0.3, "abc", "").ceiling > 0.3


def test_scale_of_an_earlier_run_is_that_of_sounds(tmp_path):
    flat = {"threshold": 0.2, "ceiling": 0.9, "digest": "abc", "chosen": "before texts had their own"}
    (tmp_path / calibration.FILE).write_text(json.dumps(flat))
    assert calibration.load(tmp_path, "abc") == calibration.Calibration(**flat)
    calibration.Calibration(0.01, 0.02, "abc", "on phrases").save(tmp_path, "text")
    assert calibration.load(tmp_path, "abc") == calibration.Calibration(**flat)


def test_stand_in_lies_above_what_means_nothing():
    vocabulary = Vocabulary.train(["the bell rings", "a dog barks at the bell", "rain pours"], 60)
    texts = calibration.deaf("text", Inputs(CFG, vocabulary))
    assert len(set(texts)) > 4
    assert all(vocabulary.knows(text) for text in texts)
    assert texts == calibration.deaf("text", Inputs(CFG, vocabulary))
    with pytest.raises(ValueError, match="no vocabulary"):
        calibration.deaf("text", Inputs(CFG))
    own, nothing = np.array([[[0.1, 0.6]]]), [np.array([[[0.3, 0.2]]]), np.array([[[0.0, 0.4]]])]
    scale = calibration.stand_in("text", own, nothing, "abc")
    assert 0.4 < scale.threshold < 0.4 + 1e-9
    assert scale.ceiling == 0.6
    assert "words in no order" in scale.chosen
    assert calibration.stand_in("text", own / 10, nothing, "abc").ceiling > 0.4


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
