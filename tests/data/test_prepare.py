import itertools
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from few_clips import clip, number, tone

from avssl.data.manifest import Manifest, make
from avssl.data.media import decode, probe, scan
from avssl.data.narration import Phrase
from avssl.data.prepare import prepare


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """A video, one without sound, a sound and a picture; one file disappears later."""
    root = tmp_path_factory.mktemp("source")
    clip(root / "sub folder" / "фильм.mkv", 3.0, 1)
    clip(root / "mute.mp4", 1.2, 2, sound=False)
    clip(root / "gone.mp4", 1.0, 3)
    with av.open(str(root / "hum.wav"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16000, layout="mono")
        samples = (tone(2.0, 4) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = 16000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with av.open(str(root / "card.jpg"), "w", format="image2", options={"update": "1"}) as out:
        picture = out.add_stream("mjpeg", rate=1)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuvj420p"
        image = np.full((48, 64, 3), 120, np.uint8)
        out.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuvj420p")))
        out.mux(picture.encode(None))
    manifest = make(root, workers=1)
    said = (Phrase(0.5, 1.0, "hello"),)
    recordings = tuple(
        replace(r, narration=said, labels={"kind": "film"}, split="test") if "фильм" in r.key else r
        for r in manifest.recordings
    )
    (root / "gone.mp4").unlink()
    return Manifest(recordings, (), root)


def test_proxies(source: Manifest, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    made = prepare(
        source, tmp_path, short_side=32, gop=5, workers=2, progress=lambda done, total: told.append((done, total))
    )
    assert [r.key for r in made.recordings] == ["card", "hum", "mute", "sub folder/фильм"]
    assert sorted(told) == [(k, 4) for k in range(1, 5)]
    assert [path for path, _ in made.left_out] == ["gone.mp4"]
    assert "No such file" in made.left_out[0][1]
    assert made.warnings == ("1 of 4 recordings could not be copied",)
    assert Manifest.load(tmp_path / "manifest.jsonl").digest() == made.digest()
    film = made.recordings[3]
    assert (film.narration, film.labels, film.split) == ((Phrase(0.5, 1.0, "hello"),), {"kind": "film"}, "test")
    assert film.path == "sub folder/фильм.mp4"
    before, after = source.path_of(source.recordings[-1]), made.path_of(film)
    header = probe(after)
    assert (header.pictures[0].width, header.pictures[0].height) == (42, 32)
    assert (header.pictures[0].codec, header.sounds[0].codec) == ("h264", "aac")
    with av.open(str(after)) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    places = [k for k, key in enumerate(keys) if key]
    assert places[0] == 0
    assert max(b - a for a, b in itertools.pairwise([*places, 30])) <= 5
    times = [k / 10 + 0.05 for k in range(30)]
    a, b = (decode(path, times=times, size=(48, 64), audio=(0.0, 3.0)) for path in (before, after))
    assert [number(picture) for picture in b.video] == list(range(30))
    assert np.abs(a.video_times - b.video_times).max() < 1e-3
    lag = np.argmax(np.correlate(b.audio[1000:-1000], a.audio[1500:-1500], "valid")) - 500
    assert abs(int(lag)) <= 1, "sound stays within a sample"
    hum = next(r for r in made.recordings if r.key == "hum")
    assert hum.video is None
    assert hum.path == "hum.m4a"
    card = next(r for r in made.recordings if r.key == "card")
    assert made.path_of(card).samefile(source.root / "card.jpg"), "pictures are read where they are"


def test_a_second_run_does_nothing_and_a_change_does_it_again(source: Manifest, tmp_path: Path) -> None:
    first = prepare(source, tmp_path, short_side=32, workers=1)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert not [path for path in files if "partial" in path.name]
    stamps = {path: path.stat().st_mtime_ns for path in files if path.suffix != ".jsonl"}
    (tmp_path / "hum.m4a").unlink()  # as if the first run had been stopped
    again = prepare(source, tmp_path, short_side=32, workers=1)
    assert again.digest() == first.digest()
    changed = {path.name for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp}
    assert changed == {"hum.m4a"}
    prepare(source, tmp_path, short_side=24, workers=1)
    assert probe(tmp_path / "mute.mp4").pictures[0].height == 24


def test_two_folders_hold_the_same_bytes(source: Manifest, tmp_path: Path) -> None:
    made = [prepare(source, tmp_path / name, workers=1) for name in ("a", "b")]
    assert made[0].digest() == made[1].digest()
    for one in (tmp_path / "a").rglob("*.mp4"):
        assert one.read_bytes() == (tmp_path / "b" / one.relative_to(tmp_path / "a")).read_bytes()


def test_variable_rate_late_sound_and_gaps_keep_their_times(tmp_path: Path) -> None:
    """Frames at odd times; sound begins at 0.5 s and has a hole of 0.4 s."""
    path = tmp_path / "in" / "odd.mkv"
    path.parent.mkdir()
    stamps = [0, 33, 66, 400, 433, 800, 1100, 1133, 1166, 1900]
    with av.open(str(path), "w") as out:
        video = out.add_stream("h264", rate=30, options={"bf": "0", "preset": "ultrafast", "crf": "8"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = out.add_stream("flac", rate=96000, layout="stereo")
        for k, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * k, np.uint8), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for begin in (0.5, 1.4):
            for k in range(10):
                wave = np.full((1, 2 * 4800), 8000, np.int16)
                frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="stereo")
                frame.sample_rate, frame.time_base = 96000, Fraction(1, 96000)
                frame.pts = round((begin + 0.05 * k) * 96000)
                out.mux(audio.encode(frame))
        out.mux(audio.encode(None))
    source = make(path.parent, workers=1)
    made = prepare(source, tmp_path / "out", workers=1)
    proxy = made.path_of(made.recordings[0])
    times = [stamp / 1000 + 0.002 for stamp in stamps]
    a, b = (decode(file, times=times, size=(48, 64), audio=(0.0, 2.0)) for file in (path, proxy))
    assert np.abs(b.video_times - np.array(stamps) / 1000).max() < 0.002
    assert np.abs(a.video.mean((1, 2, 3)) - b.video.mean((1, 2, 3))).max() < 3
    level = np.abs(b.audio).reshape(-1, 800).mean(1)  # [40] of 50 ms
    loud = [k for k in range(40) if level[k] > 0.1]
    assert loud == [k for k in range(40) if np.abs(a.audio).reshape(-1, 800).mean(1)[k] > 0.1]
    assert loud == [*range(10, 20), *range(28, 38)]


def test_damaged_recordings_are_listed_not_fatal(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    clip(folder / "good.mp4", 1.0, 1)
    bad = clip(folder / "bad.mkv", 2.0, 2)
    source = make(folder, workers=1)
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 3])
    made = prepare(source, tmp_path / "out", workers=1)
    assert [r.key for r in made.recordings] == ["good"]
    assert "instead of 2.0" in made.left_out[0][1]
    assert [path.name for path in (tmp_path / "out").iterdir()] in (
        ["good.mp4", "manifest.jsonl"], ["manifest.jsonl", "good.mp4"],
    )  # fmt: skip


def test_wrong_requests(source: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="short side 8 and gop 12: at least 16 pixels"):
        prepare(source, tmp_path, short_side=8)
    hostile = Manifest((replace(source.recordings[1], key="../../escape"),), (), source.root)
    with pytest.raises(ValueError, match="leads out of"):
        prepare(hostile, tmp_path / "out")
    clip(tmp_path / "self" / "a.mp4", 1.0, 1)
    with pytest.raises(ValueError, match="would replace the original"):
        prepare(make(tmp_path / "self", workers=1), tmp_path / "self")
    nothing = Manifest((replace(source.recordings[1], path="none.wav"),), (), source.root)
    with pytest.raises(ValueError, match="no proxy could be made"):
        prepare(nothing, tmp_path / "out", workers=1)


def test_command_line(source: Manifest, tmp_path: Path) -> None:
    from avssl.cli import run

    source.save(tmp_path / "m.jsonl")
    assert run(["prepare", str(tmp_path / "m.jsonl"), "-o", str(tmp_path / "out"), "--short-side", "32"]) == 0
    assert scan(tmp_path / "out" / "hum.m4a").duration == pytest.approx(2.0, abs=0.1)
    assert run(["prepare", str(tmp_path / "none.jsonl"), "-o", str(tmp_path / "out")]) == 2
    assert os.listdir(tmp_path / "out" / "sub folder") == ["фильм.mp4"]
