"""Pictures and sound come from where they were put, wherever decoding begins."""

from __future__ import annotations

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from made_media import CLICKS, SECONDS, Made, number, tone, write

from avssl.data.media import Unreadable, decode, probe, scan

NAMES = ["mp4", "long", "webm", "mpg", "mkv", "ntsc", "variable", "later", "later_mkv", "ts"]
HZ = 16000


def first_frame(made: Made) -> float:
    """Seconds from time zero at which frame 0 is shown."""
    return float(decode(made.path, times=[0.0], size=(16, 16)).video_times[0])


@pytest.mark.parametrize("name", NAMES)
def test_random_windows_show_the_right_frames(media, name):
    made, rng = media[name], np.random.default_rng(1)
    zero = first_frame(made)
    for _ in range(6):
        middles = [(a + b) / 2 for a, b in itertools.pairwise(made.frame_seconds)]
        at = int(rng.integers(len(middles) - 8))
        wanted = [m + zero for m in middles[at : at + 8]]
        got = decode(made.path, times=wanted, size=(48, 64))
        assert [number(p) for p in got.video] == list(range(at, at + 8))
        np.testing.assert_allclose(got.video_times - zero, made.frame_seconds[at : at + 8], atol=1.1e-3)
        assert (got.errors, got.truncated) == (0, False)


@pytest.mark.parametrize("name", NAMES)
def test_frame_is_shown_from_its_own_time_on(media, name):
    made = media[name]
    zero = first_frame(made)
    for index in (0, 1, 7, len(made.frame_seconds) - 1):
        got = decode(made.path, times=[made.frame_seconds[index] + zero + 6e-4], size=(48, 64))
        assert number(got.video[0]) == index


@pytest.mark.parametrize("name", NAMES)
def test_clicks_are_where_they_were_put(media, name):
    made, rng = media[name], np.random.default_rng(2)
    zero = first_frame(made)
    for start in [0.0, *rng.uniform(0, SECONDS - 0.5, 5)]:
        got = decode(made.path, audio=(start, 0.5))
        assert got.audio.shape == (8000,)
        assert got.audio.dtype == np.float32
        inside = [c + zero - start for c in CLICKS if 0.02 < c + zero - start < 0.48]
        assert inside
        for click in inside:
            low = round((click - 0.02) * HZ)
            peak = low + int(np.abs(got.audio[low : low + 640]).argmax())
            # The window starts on a sample of the 16 kHz grid.
            truth = (click + start) * HZ - round(start * HZ)
            assert abs(peak - truth) <= made.sound_tolerance + 0.5


@pytest.mark.parametrize("name", NAMES)
def test_window_equals_slice_of_whole(media, name):
    made, rng = media[name], np.random.default_rng(3)
    whole = decode(made.path, times=np.arange(25) / 10, size=(24, 32), audio=(0, SECONDS))
    for _ in range(6):
        at = int(rng.integers(20))
        start = float(rng.uniform(0, SECONDS - 0.6))
        part = decode(made.path, times=np.arange(at, at + 5) / 10, size=(24, 32), audio=(start, 0.5))
        np.testing.assert_array_equal(part.video, whole.video[at : at + 5])
        np.testing.assert_array_equal(part.video_times, whole.video_times[at : at + 5])
        low = round(start * HZ)
        np.testing.assert_allclose(part.audio, whole.audio[low : low + 8000], atol=1e-3)


@pytest.mark.parametrize(("name", "start"), [("mp4", 0.0), ("later", 1.5), ("later_mkv", 1.5)])
def test_time_zero_is_the_earliest_stream(media, name, start):
    made, header = media[name], probe(media[name].path)
    assert header.start == pytest.approx(start, abs=0.03)
    assert header.start + first_frame(made) == pytest.approx(made.start, abs=1e-3)


def test_pictures_and_sound_agree(media):
    """A frame and a click put at the same second come out at the same second, in every container."""
    for made in media.values():
        zero = first_frame(made)
        got = decode(made.path, audio=(zero + CLICKS[2] - 0.1, 0.2))
        assert abs(int(np.abs(got.audio).argmax()) - 1600) <= made.sound_tolerance + 1


def test_sound_before_and_after_is_silence(media):
    got = decode(media["mp4"].path, audio=(-1.0, 5.0))
    assert got.audio.shape == (5 * HZ,)
    assert not got.audio[: HZ - 200].any()
    assert not got.audio[-HZ + 2000 :].any()
    whole = decode(media["mp4"].path, audio=(0.0, 2.5)).audio
    np.testing.assert_allclose(got.audio[HZ : HZ + 40000], whole, atol=1e-6)


def test_times_before_the_first_and_after_the_last_frame(media):
    got = decode(media["mp4"].path, times=[-5.0, 2.97, 5.0, 9.0], size=(48, 64))
    assert [number(p) for p in got.video] == [0, 74, 74, 74]
    assert got.truncated
    assert not decode(media["mp4"].path, times=[2.97, 3.01]).truncated


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_long_pause_before_the_last_frames_is_no_end(tmp_path, suffix):
    shown = [40 * k for k in range(50)] + [3000, 7040, 11000]  # ms
    path = write(tmp_path / f"pauses.{suffix}", pts=shown, unit=Fraction(1, 1000), audio=None)
    for until, last in ((2.9, 49), (6.0, 50), (10.9, 51), (11.0, 52)):
        for since in (0.0, until - 0.5):
            got = decode(path, times=np.arange(round(10 * since), round(10 * until) + 1) / 10, size=(48, 64))
            assert (number(got.video[-1]), got.truncated) == (last, False)
    assert decode(path, times=[10.5, 12.0]).truncated


def test_a_window_long_after_the_end(media):
    got = decode(media["long"].path, times=[50.0], size=(48, 64), audio=(50.0, 0.1))
    assert got.truncated
    assert number(got.video[0]) == 74
    assert not got.audio.any()


def test_wrong_requests_are_one_clear_line(media):
    with pytest.raises(ValueError, match="not ascending"):
        decode(media["mp4"].path, times=[1.0, 0.5])
    with pytest.raises(ValueError, match="size"):
        decode(media["mp4"].path, times=[1.0], size=(0, 5))


def test_nothing_wanted_is_nothing(media):
    got = decode(media["mp4"].path)
    assert got.video.shape[0] == got.audio.size == got.video_times.size == 0


def saturated(index: int) -> np.ndarray:
    y, x = np.mgrid[:256, :256] / 9.0
    waves = [np.sin(x + index / 5) * np.cos(y), np.sin(x * 0.7 - y + index / 7), np.cos(y * 1.1 + index / 3)]
    return (127.5 + 127.4 * np.stack(waves, -1)).astype(np.uint8)


def test_colors_agree_with_full_resolution(tmp_path):
    path = write(tmp_path / "c.mp4", picture=saturated, count=5, audio=None, options={"crf": "10"})
    with av.open(str(path)) as container:
        full = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    reference = torch.nn.functional.interpolate(
        torch.from_numpy(full).permute(0, 3, 1, 2).float(), (112, 112), mode="bilinear", antialias=True
    )
    got = decode(path, times=np.arange(5) / 25, size=(112, 112)).video
    assert np.abs(got - reference.numpy()).mean() <= 2.0


@pytest.mark.parametrize("pixels", ["yuv420p10le", "gray", "yuv444p"])
def test_other_pixel_formats(tmp_path, pixels):
    path = write(tmp_path / "p.mkv", audio=None, pixels=pixels, count=30)
    got = decode(path, times=[0.5, 1.0], size=(48, 64))
    assert [number(p) for p in got.video] == [12, 25]
    assert pixels == "gray" or abs(int(got.video.max()) - 220) < 12  # gray H.264 does not tell its range


@pytest.mark.parametrize(("angle", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_rotation_is_applied(tmp_path, angle, turns):
    path = write(tmp_path / "r.mp4", audio=None, rotation=angle, count=20, picture=lambda i: corner())
    header = probe(path)
    upright = np.rot90(corner(), turns)
    assert (header.pictures[0].height, header.pictures[0].width) == upright.shape[:2]
    got = decode(path, times=[0.2]).video[0]
    assert got.shape == (3, *upright.shape[:2])
    assert np.abs(got.transpose(1, 2, 0).astype(int) - upright).mean() < 12


def corner() -> np.ndarray:
    picture = np.full((48, 64, 3), 20, np.uint8)
    picture[:16, :24] = 230  # top left
    return picture


def test_pixels_become_square(tmp_path):
    path = write(tmp_path / "wide.mp4", audio=None, aspect=Fraction(3, 2), count=10)
    assert (probe(path).pictures[0].width, probe(path).pictures[0].height) == (96, 48)
    assert decode(path, times=[0.2]).video.shape == (1, 3, 48, 96)
    assert number(decode(path, times=[0.2], size=(48, 64)).video[0]) == 5


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 6), ("7.1", 8)])
def test_channels_are_mixed_without_clipping(tmp_path, layout, channels):
    loud = np.tile(tone(1.0, 44100, 0.9), (channels, 1))
    path = write(tmp_path / "c.mkv", video=None, audio="flac" if channels != 6 else "ac3", layout=layout, sound=loud)
    assert probe(path).sounds[0].channels == channels
    got = decode(path, audio=(0.2, 0.6)).audio
    assert 0.8 < np.abs(got).max() < 1.0


@pytest.mark.parametrize("hz", [8000, 16000, 22050, 48000, 96000])
def test_every_rate_becomes_the_wanted_one(tmp_path, hz):
    path = write(tmp_path / "a.wav", video=None, audio="pcm_s16le", hz=hz, sound=tone(1.0, hz, 0.5))
    got = decode(path, audio=(0.25, 0.5)).audio
    truth = tone(1.0, HZ, 0.5)[4000:12000]
    assert np.abs(got - truth).max() < 0.01
    assert decode(path, audio=(0.25, 0.5), hz=22050).audio.shape == (11025,)


def test_sound_that_is_no_number_is_silence(tmp_path):
    sound = tone(1.0, HZ, 0.5)
    sound[4000:4100] = np.nan
    sound[5000] = np.inf
    path = write(tmp_path / "n.wav", video=None, audio="pcm_f32le", hz=HZ, sound=sound)
    got = decode(path, audio=(0.0, 1.0)).audio
    assert not got[4000:4100].any()
    assert np.abs(got[6000:] - sound[6000:]).max() < 1e-3
    assert np.isfinite(scan(path).loudness_db)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "gif"])
def test_pictures_are_recordings_of_one_frame(tmp_path, suffix):
    path = tmp_path / f"still %d*.{suffix}"
    codec, pixels = {
        "png": ("png", "rgb24"),
        "jpg": ("mjpeg", "yuvj420p"),
        "bmp": ("bmp", "bgr24"),
        "webp": ("libwebp", "yuv420p"),
        "gif": ("gif", "gray"),
    }[suffix]
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt, context.time_base = 64, 48, pixels, Fraction(1, 25)
    if suffix == "gif":
        write(tmp_path / "g.gif", video="gif", audio=None, pixels="gray", count=1)
        (tmp_path / "g.gif").rename(path)
    else:
        frame = av.VideoFrame.from_ndarray(corner(), format="rgb24").reformat(format=pixels)
        frame.pts = 0
        path.write_bytes(b"".join(bytes(p) for p in [*context.encode(frame), *context.encode(None)]))
    header = probe(path)
    assert (header.pictures[0].width, header.pictures[0].height) == (64, 48)
    assert suffix == "gif" or header.duration is None
    got = decode(path, times=[0.0, 3.0], size=(24, 32))
    assert got.video.shape == (2, 3, 24, 32)
    assert not got.truncated


def test_cover_art_is_no_video(recordings):
    path = recordings / "edge-media/androidx-media/flac/bear_with_picture.flac"
    assert probe(path).pictures == ()
    with pytest.raises(Unreadable, match="no pictures"):
        decode(path, times=[0.0])


def test_sound_alone_and_pictures_alone(tmp_path):
    path = write(tmp_path / "s.ogg", video=None, audio="libopus", hz=48000)
    assert probe(path).pictures == ()
    assert decode(path, audio=(1.0, 0.5)).audio.any()
    silent = write(tmp_path / "v.mp4", audio=None, count=20)
    assert probe(silent).sounds == ()
    assert not decode(silent, times=[0.3], audio=(0.0, 0.5)).audio.any()


@pytest.mark.parametrize("name", ["sbah1a", "bbaf2n"])
def test_real_mpeg1_windows(recordings, name):
    path = recordings / f"grid/original/{name}.mpg"
    if not path.exists():
        pytest.skip(f"{path.name} is not among the recordings")
    whole = decode(path, times=np.arange(28) / 10, size=(32, 32), audio=(0, 2.8))
    part = decode(path, times=np.arange(17, 22) / 10, size=(32, 32), audio=(1.7, 0.5))
    np.testing.assert_array_equal(part.video, whole.video[17:22])
    np.testing.assert_allclose(part.audio, whole.audio[27200:35200], atol=1e-3)


@pytest.mark.parametrize(
    "name", ["trim_optimization_failure", "hdr10-av1", "sample_with_increasing_timestamps_320w_240h_5s"]
)
def test_sound_whose_stored_times_wander(recordings, name):
    """Telephones write such files: the same sample must come out wherever decoding begins."""
    path = recordings / f"edge-media/androidx-media/mp4/{name}.mp4"
    if not path.exists():
        pytest.skip(f"{path.name} is not among the recordings")
    whole = decode(path, audio=(0.0, 4.0)).audio
    for start in (1.1, 2.449, 3.4):
        low = round(start * HZ)
        part = decode(path, audio=(start, 0.5)).audio
        assert np.abs(part - whole[low : low + 8000]).max() < 0.02 * np.abs(whole).max()
