"""Mosaics of generated recordings: the sound is that of the place the truth names; the same seed, the same mosaics."""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import beds
import mosaic

from avssl.config import InputsConfig
from avssl.data import manifest
from avssl.data.encode import write_clip
from avssl.data.media import decode
from avssl.evaluation import locating, maps
from avssl.evaluation.maps import read_truth
from avssl.inputs import Inputs


@pytest.fixture(scope="module")
def talkers(tmp_path_factory):
    """Eight recordings; number k is of brightness 30 + 25 k and hums at 200 + 100 k Hz."""
    folder = tmp_path_factory.mktemp("talkers")
    times = np.arange(3 * 8000) / 8000
    for k in range(8):
        frames = [np.full((36, 45, 3), 30 + 25 * k, dtype=np.uint8)] * 6
        sound = 0.4 * np.sin(2 * np.pi * (200 + 100 * k) * times).astype(np.float32)
        write_clip(folder / f"t{k}.mp4", frames, 2.0, sound, 8000)
    return sorted(folder.glob("*.mp4"))


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(mosaic, "CELL", (36, 46))
    monkeypatch.setattr(mosaic, "LARGER", (60, 80))


def number_heard(sound):
    """Which recording hums."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return round((np.argmax(spectrum) * mosaic.HZ / len(sound) - 200) / 100)


def shown_in(picture, box):
    """Which recording is in the middle of a box of a picture [3, H, W]."""
    height, width = picture.shape[1:]
    y, x = int(height * (box[1] + box[3]) / 2), int(width * (box[0] + box[2]) / 2)
    return round((picture[:, y - 3 : y + 4, x - 3 : x + 4].mean() - 30) / 25)


@pytest.mark.parametrize("bed", ["talkers", "pasted"])
def test_what_sounds_is_where_the_truth_says(tmp_path, talkers, bed):
    held = mosaic.held_out(talkers, everything=True)
    build = partial(mosaic.talkers, held=held) if bed == "talkers" else None
    build = build or partial(mosaic.pasted, held=held, larger=talkers)
    mosaic.make(tmp_path / "a", bed, build, 4, 0, {})
    truth = [json.loads(line) for line in (tmp_path / "a" / "truth.jsonl").read_text().splitlines()]
    assert list(read_truth(tmp_path / "a" / "truth.jsonl")) == [f"{bed}-{k:05d}" for k in range(4)]
    assert [one["split"] for one in truth] == ["test", "test", "test", "val"]
    for one in truth:
        path = tmp_path / "a" / "videos" / one["split"] / f"{one['id']}.mp4"
        read = decode(path, times=[1.0], audio=(0.5, 2.0), hz=mosaic.HZ)
        sounding = [thing["boxes"][25] for thing in one["things"] if thing["sounding"]]
        assert len(sounding) == 1
        assert shown_in(read.video[0], sounding[0]) == number_heard(read.audio)
        silent = [shown_in(read.video[0], t["boxes"][25]) for t in one["things"] if not t["sounding"]]
        assert number_heard(read.audio) not in silent
    if bed == "talkers":
        assert len({len(one["things"]) for one in truth}) > 1, "two, three or four"
    else:
        assert len({str(one["things"][0]["boxes"][0]) for one in truth}) == 4, "places and sizes differ"


@pytest.mark.parametrize(("name", "count", "size"), [("three", 3, (32, 96)), ("four", 4, (64, 64))])
def test_beds_of_three_and_four_talkers(tmp_path, talkers, name, count, size):
    folder = tmp_path / "grid" / "video"
    folder.mkdir(parents=True)
    for k in range(32):  # four of them are for the test
        (folder / f"{k:02d}.mp4").symlink_to(talkers[k % len(talkers)])
    bed = beds.of_mosaics(tmp_path / "out", name, tmp_path, folder, 4)
    assert {len(one["things"]) for one in read_truth(bed.truth).values()} == {count}
    inputs = Inputs(InputsConfig(height=32, width=32, frames=4, fps=2, audio_seconds=2.0, mels=16))
    clips = bed.read(inputs, "test")
    assert tuple(clips.pictures.shape[-2:]) == size, "each talker is as large as the run's pictures"
    assert all(sum(thing.sounding for thing in things) == 1 for things in clips.things)


def test_one_mosaic_depends_on_its_seed_and_number_alone(tmp_path, talkers):
    build = partial(mosaic.talkers, held=mosaic.held_out(talkers, everything=True))
    for name, count, seed in (("a", 2, 0), ("b", 1, 0), ("c", 1, 1)):
        mosaic.make(tmp_path / name, "talkers", build, count, seed, {})
    first = [(tmp_path / name / "truth.jsonl").read_text().splitlines()[0] for name in "abc"]
    assert first[0] == first[1] != first[2]
    with pytest.raises(ValueError, match="holds other mosaics"):
        mosaic.make(tmp_path / "a", "talkers", build, 2, 5, {})
    drawn = [mosaic.talkers(np.random.default_rng(seed), "test", *build.keywords.values(), 2) for seed in range(2)]
    assert [len(one.things) for one in drawn] == [2, 2]
    with pytest.raises(ValueError, match="--all takes any"):
        mosaic.held_out(talkers, everything=False)


def test_classes_from_pictures_and_sounds(tmp_path):
    import wave

    from matplotlib.image import imsave

    for shade, kind in enumerate(("bird", "dog", "cat", "ship")):
        (tmp_path / "cifar10" / "test" / kind).mkdir(parents=True)
        imsave(tmp_path / "cifar10" / "test" / kind / "0.jpg", np.full((32, 32, 3), 40 + 60 * shade, np.uint8))
    for pitch, kind in ((3, "001 - Dog bark"), (5, "009 - Rooster")):
        (tmp_path / "esc" / kind).mkdir(parents=True)
        hum = 8000 * np.sin(2 * np.pi * (200 + 100 * pitch) * np.arange(24000) / 8000)
        for take in range(2):
            with wave.open(str(tmp_path / "esc" / kind / f"{take}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes(hum.astype("<i2").tobytes())
    words = ["classes", "--pictures", str(tmp_path / "cifar10"), "--sounds", str(tmp_path / "esc")]
    mosaic.main([*words, "-o", str(tmp_path / "out"), "--count", "4"])
    for line in (tmp_path / "out" / "truth.jsonl").read_text().splitlines():
        one = json.loads(line)
        path = tmp_path / "out" / "videos" / one["split"] / f"{one['id']}.mp4"
        read = decode(path, times=[1.0], audio=(0.5, 2.0), hz=mosaic.HZ)
        assert {"dog": 3, "bird": 5}[one["kind"]] == number_heard(read.audio)
        assert sorted(thing["kind"] for thing in one["things"]) == ["bird", "cat", "dog", "ship"]
        for thing in one["things"]:
            x0, y0, x1, y1 = thing["boxes"][0]
            shade = read.video[0, :, int(112 * (y0 + y1) / 2), int(112 * (x0 + x1) / 2)].mean()
            assert round((shade - 40) / 60) == ("bird", "dog", "cat", "ship").index(thing["kind"])
    with pytest.raises(SystemExit):
        mosaic.main(["talkers", "--data", str(tmp_path / "esc"), "-o", str(tmp_path / "none")])


def test_real_talkers_side_by_side(tmp_path, recordings):
    if not (recordings / "grid" / "video").is_dir():
        pytest.skip(f"no GRID recordings at {recordings / 'grid'}")
    words = ["talkers", "--data", str(recordings / "grid" / "video"), "-o", str(tmp_path / "out"), "--count", "1"]
    mosaic.main(words)
    told = json.loads((tmp_path / "out" / "truth.jsonl").read_text())
    names = sorted(path.name for path in (recordings / "grid" / "video").glob("*.mp4"))
    assert all(names.index(name) % 8 == 7 for name in told["sources"])
    assert np.abs(decode(tmp_path / "out" / "videos" / "test" / "talkers-00000.mp4", audio=(0, 3)).audio).max() > 0.05


class Deaf:
    """A localizer that lights the left half, the louder the sound the brighter."""

    encoders = torch.nn.ModuleDict()

    def parameters(self):
        return iter(())

    def localize(self, video, query, modality):
        assert modality == "audio"
        maps = torch.zeros(*video.shape[:2], 4, 4)
        maps[..., :2] = query.mean((1, 2))[:, None, None, None] + 1
        return maps


def test_mosaics_are_judged_like_the_world(tmp_path, talkers):
    """No mosaic is silent and no sound is off screen, so silence and another talker's sound stand in."""
    held = mosaic.held_out(talkers, everything=True)
    build = partial(mosaic.talkers, held=held, most=2)
    mosaic.make(tmp_path / "out", "talkers", build, 8, 0, {})
    listed = manifest.make(tmp_path / "out" / "videos", labels=tmp_path / "out" / "labels.tsv", workers=1)
    inputs = Inputs(InputsConfig(height=32, width=64, frames=4, fps=2, audio_seconds=2.0, mels=16))
    truth = read_truth(tmp_path / "out" / "truth.jsonl")
    clips = {
        split: maps.judged(Deaf(), inputs, maps.read(inputs, listed, split, truth, tmp_path / "out"))
        for split in ("val", "test")
    }
    assert len(clips["test"]) == 6
    for clip in clips["test"]:
        assert clip.silence.max() == 0.0, "silence is -1 in the spectrogram"
        assert clip.own.max() > 0.1
        assert clip.foreign is clip.swapped is not None
    assert locating.threshold(clips["val"]) > 0.0
    chosen = {"trained": 0.01, "untrained": 0.01}
    table = locating.table(clips["test"], clips["test"], chosen, locating.prior(clips["val"]))
    left = [clip.things[0].sounding for clip in clips["test"]]
    assert table["two_things"]["trained"] == pytest.approx(np.mean(left))
    assert table["swap_gap"]["trained"] == 0.0
    assert table["silence_area"]["trained"] == 0.0
    assert {"ap", "max_f1", "f_loc", "f_auc", "auc_n", "miou", "offscreen_area", "noise_area"} <= set(table)
    assert {"center", "average", "whole", "random"} <= set(table["f_loc"])
