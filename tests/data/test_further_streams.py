"""Streams beside a recording, from the folder to the sample: found, listed, refused, read at the same moments."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from made_media import clicks, number, numbered, write

from avssl.data import cache, sides
from avssl.data.dataset import Items, Source
from avssl.data.maker import generator
from avssl.data.manifest import Manifest, make
from avssl.data.media import Unreadable
from avssl.data.prepare import prepare
from avssl.sample import Missing, Needs

FPS = 25
SIZE = {"height": 48, "width": 64, "fps": 25.0}


def darker(index: int) -> np.ndarray:
    """The same number as :func:`numbered`, seen by another camera."""
    return (numbered(index) // 2 + 60).astype(np.uint8)


def steps(index: int) -> np.ndarray:
    """A depth picture whose every value says the number of its frame."""
    return np.full((24, 32), 500 * index, np.uint16) + np.arange(32, dtype=np.uint16)


def deep(path: Path, count: int) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=Fraction(FPS))
        stream.width, stream.height, stream.pix_fmt = 32, 24, "gray16le"
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(steps(index), format="gray16le")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def numbered_files(folder: Path, count: int) -> None:
    folder.mkdir()
    for index in range(count):
        with av.open(str(folder / f"{index + 1}.png"), "w", format="image2") as out:
            stream = out.add_stream("png", rate=1)
            stream.width, stream.height, stream.pix_fmt = 32, 24, "gray16be"
            frame = av.VideoFrame.from_ndarray(steps(index), format="gray16le").reformat(format="gray16be")
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One clip with every kind of stream, one with a folder of pictures, one with a broken stream, one with none."""
    here = tmp_path_factory.mktemp("streams")
    stereo = np.stack([clicks(3.0, 16000), 0.25 * clicks(3.0, 16000)])
    write(here / "a.mkv", audio="flac", hz=16000, sound=stereo, layout="stereo")
    write(here / "a.infrared.mp4", audio=None, picture=darker)
    write(here / "a.chest.wav", video=None, audio="pcm_s16le", hz=16000, sound=0.5 * clicks(3.0, 16000))
    deep(here / "a.depth.mkv", 75)
    write(here / "b.mp4", count=50, sound=clicks(2.0, 44100)[:88200], picture=lambda k: numbered(k + 3))
    numbered_files(here / "b.depth", 12)
    write(here / "c.mp4", count=40, sound=clicks(1.6, 44100)[:70000], picture=lambda k: numbered(k + 9))
    (here / "c.depth.mkv").write_bytes(b"\x1aE\xdf\xa3 cut short")
    write(here / "d.mp4", count=30, sound=clicks(1.2, 44100)[:50000], picture=lambda k: numbered(k + 20))
    write(here / "e.infrared.mp4", audio=None, picture=darker, count=20)
    return here


STREAMS = ("depth,range=0:25000,fps=5", "infrared", "chest", "face,crop=0:0.5:0.5:1")


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    """Its manifest, kept elsewhere and read again."""
    path = tmp_path_factory.mktemp("elsewhere") / "m.jsonl"
    held = make(folder, workers=2, streams=STREAMS, out=path)
    assert Manifest.load(path).digest() == held.digest()
    return Manifest.load(path)


def of(made, *keys):
    return replace(made, recordings=tuple(replace(one, split="train") for one in made.recordings if one.key in keys))


def test_side_files_are_streams_and_no_recordings(made, folder):
    rows = {one.key: one.streams for one in made.recordings}
    assert {key: sorted(streams) for key, streams in rows.items()} == {
        "a": ["chest", "depth", "face", "infrared"], "b": ["depth", "face"], "c": ["face"], "d": ["face"],
    }  # fmt: skip
    a, b = rows["a"], rows["b"]
    assert (a["depth"]["range"], a["depth"]["width"], a["infrared"]["kind"]) == ([0.0, 25000.0], 32, "picture")
    assert (a["chest"]["kind"], a["chest"]["channels"]) == ("sound", 1)
    assert a["depth"]["seconds"] == pytest.approx(3.0)
    assert (b["depth"]["folder_fps"], b["depth"]["seconds"]) == (5.0, pytest.approx(2.4))
    assert a["face"] == {"kind": "picture", "crop": [0.0, 0.5, 0.5, 1.0]}
    assert Path(a["depth"]["path"]) == folder / "a.depth.mkv"


def test_what_is_broken_or_alone_is_listed(made):
    left = dict(made.left_out)
    assert left["e.infrared.mp4"] == "stream infrared of no recording"
    assert "cannot be opened as media" in left["c.depth.mkv"]
    assert len(left) == 2


def test_without_the_option_they_are_recordings_as_ever(folder):
    held = make(folder, workers=2, include_images=False)
    assert {"a", "a.infrared", "a.depth", "a.chest", "e.infrared"} <= {one.key for one in held.recordings}
    assert not any(one.streams for one in held.recordings)


def test_streams_change_the_digest_and_their_place_does_not(made):
    bare = replace(made, recordings=tuple(replace(one, streams={}) for one in made.recordings))
    assert bare.digest() != made.digest()
    moved = [
        replace(one, streams={k: {**row, **({"path": "x"} if "path" in row else {})} for k, row in one.streams.items()})
        for one in made.recordings
    ]
    assert replace(made, recordings=tuple(moved)).digest() == made.digest()


def test_all_streams_show_the_same_moment(made):
    needs = Needs(
        frames=5, audio_seconds=0.5, clips=2, streams=("video", "infrared", "depth", "right", "chest"), **SIZE
    )
    items = Items(of(made, "a", "b"), "train", 10.0, needs)
    assert [one.key for one in items.recordings] == ["a"]
    assert items.report == {"without infrared": 1}
    source = Source(items, needs)
    for seed in range(3):
        sample = source.get(0, generator(seed))
        assert sample.stream("depth").shape == (2, 5, 1, 48, 64)
        for clip, start in enumerate(sample.starts):
            first = round(start * FPS)
            wanted = list(range(first, first + 5))
            assert [number(one) for one in sample.stream("video")[clip].numpy()] == wanted
            assert [number((one.astype(int) - 60) * 2) for one in sample.stream("infrared")[clip].numpy()] == wanted
            depth = sample.stream("depth")[clip]  # [T, 1, H, W] as shares of the range
            assert depth[:, 0, 0, 0].tolist() == pytest.approx([min(index / 50, 1.0) for index in wanted])
        loud = {name: sample.stream(name).abs().amax() for name in ("right", "chest")}
        assert loud["right"] == pytest.approx(0.25 * 0.8, abs=0.02)
        assert loud["chest"] == pytest.approx(0.5 * 0.8, abs=0.03)
        heard = [sample.stream(name)[0].abs().argmax() for name in ("right", "chest")]
        assert abs(int(heard[0]) - int(heard[1])) <= 1
        with pytest.raises(Missing, match=r"Needs\.streams"):
            sample.stream("left")


def test_a_folder_of_pictures_keeps_its_rate_and_a_face_is_a_part(made):
    needs = Needs(frames=8, streams=("depth", "face"), **{**SIZE, "fps": 4.0})
    source = Source(Items(of(made, "b"), "train", 10.0, needs), needs)
    sample = source.at(0, [0.0])
    assert sample.stream("depth")[0, :, 0, 0, 0].tolist() == pytest.approx([k * 5 // 4 / 50 for k in range(8)])
    whole = Needs(frames=8, streams=("video",), **{**SIZE, "fps": 4.0})
    video = Source(Items(of(made, "b"), "train", 10.0, whole), whole).at(0, [0.0]).video[0]
    corner = torch.nn.functional.interpolate(video[:, :, 24:, :32].float(), (48, 64))
    assert (sample.stream("face")[0].float() - corner).abs().mean() < 12


def test_cached_equals_decoded(made, tmp_path):
    needs = Needs(frames=4, audio_seconds=0.5, streams=("video", "depth", "face", "left", "right"), **SIZE)
    items = Items(of(made, "a"), "train", 10.0, needs)
    folder = cache.folder(items, needs, 1.0, tmp_path)
    plain, stored = Source(items, needs), Source(items, needs, folder)
    for seed in range(3):
        a, b = plain.get(0, generator(seed)), stored.get(0, generator(seed))
        for name in needs.streams:
            assert torch.allclose(a.stream(name).float(), b.stream(name).float(), atol=1e-3), name
    files = sorted(folder.glob("??/*.item"))
    assert len(files) == 5
    assert sum(file.stat().st_size for file in files) == cache.estimate_bytes(items, needs)


def test_a_stream_that_no_recording_has_is_one_clear_line(made):
    told = "no recording with video and thermal in the train split: 2 recordings, 2 without thermal; "
    with pytest.raises(ValueError, match=told + "streams the manifest names: chest, depth, face, infrared") as caught:
        Items(of(made, "a", "b"), "train", 10.0, Needs(frames=2, streams=("video", "thermal"), **SIZE))
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="1 whose chest is a sound, where its encoder needs a picture"):
        Items(of(made, "a"), "train", 10.0, Needs(frames=2, streams=("video", "chest"), **SIZE))
    with pytest.raises(ValueError, match="1 without right"):
        Items(of(made, "b"), "train", 10.0, Needs(audio_seconds=1.0, streams=("left", "right"), **SIZE))


def test_a_stream_that_is_gone_is_bad_media(made, tmp_path):
    one = of(made, "a").recordings[0]
    lost = replace(one, streams={"depth": {**one.streams["depth"], "path": str(tmp_path / "none.mkv")}})
    needs = Needs(frames=2, streams=("depth",), **SIZE)
    with pytest.raises(Unreadable, match=r"none\.mkv"):
        Source(Items(replace(made, recordings=(lost,)), None, 10.0, needs), needs).at(0, [0.0])


def test_proxies_keep_the_streams(made, tmp_path):
    held = prepare(of(made, "a"), tmp_path / "p", workers=1)
    streams = Manifest.load(tmp_path / "p" / "manifest.jsonl").recordings[0].streams
    assert sorted(streams) == ["chest", "depth", "face", "infrared"]
    needs = Needs(frames=2, streams=("video", "depth"), **SIZE)
    sample = Source(Items(held, None, 10.0, needs), needs).at(0, [0.4])
    assert number(sample.stream("video")[0, 0].numpy()) == 10
    assert sample.stream("depth")[0, 0, 0, 0, 0].item() == pytest.approx(10 / 50)


@pytest.mark.parametrize(("text", "told"), [
    ("video", "every recording has"), ("left", "every recording has"), ("a b", "letters"), ("depth,fps=x", "known are"),
    ("depth,range=5", "known are"), ("depth,range=9:1", "lowest"), ("face,crop=0:0:2:1", "shares"),
    ("depth,speed=2", "known are"), ("depth,fps=0", "above 0"),
])  # fmt: skip
def test_a_stream_that_cannot_be_is_refused(text, told):
    with pytest.raises(ValueError, match=told):
        sides.wanted(text)


@pytest.mark.parametrize(("row", "told"), [
    (3, "kind"), ({"kind": "smell"}, "kind"), ({"kind": "picture"}, "neither"),
    ({"kind": "picture", "path": "a", "sha256": 3}, "must be text"),
    ({"kind": "picture", "crop": [0, 0, 2, 1]}, "crop"),
    ({"kind": "picture", "crop": [0, 0, 1, 1], "range": [1, 1]}, "range"),
    ({"kind": "sound", "path": "a", "sha256": "b", "seconds": -1}, "seconds"),
])  # fmt: skip
def test_a_manifest_with_a_wrong_stream_is_refused(made, tmp_path, row, told):
    path = tmp_path / "m.jsonl"
    of(made, "a").save(path)
    lines = path.read_text().splitlines()
    values = json.loads(lines[1])
    path.write_text("\n".join([lines[0], json.dumps({**values, "streams": {"s": row}})]))
    with pytest.raises(ValueError, match=rf"line 2: stream s.*{told}"):
        Manifest.load(path)
