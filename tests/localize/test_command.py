"""avssl localize as a person calls it: one file, a folder, and every wrong request answered in one line."""

import json
import struct
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bright import CFG, Bright, recording

from avssl.cli import run
from avssl.data.manifest import make
from avssl.data.media import probe
from avssl.inputs import Inputs
from avssl.localize import calibration


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A run's folder that loads as the small listening method."""
    loaded = SimpleNamespace(method=Bright().eval(), inputs=Inputs(CFG), digest="abc")
    monkeypatch.setattr("avssl.train.checkpoint.load_run", lambda folder: loaded)
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def call(*words):
    return run(["localize", *map(str, words)])


def test_one_recording_with_the_stored_scale(tmp_path, model, capsys):
    calibration.Calibration(0.05, 0.4, "abc", "on validation clips").save(model)
    clip = recording(tmp_path / "clip.mp4", 2)
    assert call(model, clip, "-o", tmp_path / "out.mp4", "--device", "cpu") == 0
    assert {path.name for path in tmp_path.glob("out*")} == {"out.mp4", "out.png", "out.json"}
    told = json.loads((tmp_path / "out.json").read_text())
    assert (told["threshold"], told["ceiling"], told["threshold_is"]) == (0.05, 0.4, "on validation clips")
    assert told["lit_time"] == 1.0
    said = capsys.readouterr().out
    assert "lit 100 % of the time" in said
    assert "threshold 0.05" in said


def test_sizes_are_told_and_that_the_threshold_was_chosen_at_one(tmp_path, model, capsys):
    clip, out = recording(tmp_path / "clip.mp4", 1), tmp_path / "out.mp4"

    def told(*words):
        assert call(model, clip, "-o", out, *words) == 0
        return json.loads(out.with_suffix(".json").read_text()), " ".join(capsys.readouterr().out.split())

    figures, _ = told("--sizes", "1,2")
    assert figures["sizes"] == [1, 2]
    assert "one size" not in figures["threshold_is"], "silence and noise were looked at in the same sizes"
    calibration.Calibration(0.05, 0.4, "abc", "on validation clips").save(model)
    figures, said = told("--sizes", "1,2")
    assert figures["sizes"] == [1, 2]
    chosen = "on validation clips; chosen at one size, the run's own, and used for sizes 1, 2"
    assert figures["threshold_is"] == chosen
    assert f"threshold 0.05, {chosen}" in said
    figures, said = told("--sizes", "2")
    assert figures["sizes"] == [2]
    assert "chosen at one size" in said
    figures, _ = told("--sizes", "1,2", "--threshold", 0.1)
    assert (figures["sizes"], figures["threshold_is"]) == ([1, 2], "as given")
    figures, said = told("--sizes", "1")
    assert "sizes" not in figures
    assert figures["threshold_is"] == "on validation clips"
    assert "one size" not in said


def test_without_a_stored_scale_silence_and_noise_set_it(tmp_path, model):
    quiet = recording(tmp_path / "quiet.mp4", 2, loud=(9, 9))
    loud = recording(tmp_path / "loud.mp4", 2)
    assert call(model, quiet, loud, "-o", tmp_path / "out") == 0
    dark, lit = (json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in ("quiet", "loud"))
    assert "silence and white noise" in dark["threshold_is"]
    assert (dark["lit_time"], lit["lit_time"]) == (0.0, 1.0)


def test_a_folder_is_gone_through_and_says_what_it_passed_over(tmp_path, model, capsys):
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    recording(tmp_path / "in" / "a.mp4", 1)
    recording(tmp_path / "in" / "deeper" / "a.mp4", 1)
    recording(tmp_path / "in" / "mute.mp4", 1, sound=False)
    (tmp_path / "in" / "notes.txt").write_text("no recording")
    assert call(model, tmp_path / "in", "-o", tmp_path / "out", "--threshold", 0.1) == 0
    assert {path.name for path in (tmp_path / "out").glob("*.mp4")} == {"in_a.mp4", "deeper_a.mp4"}
    told = capsys.readouterr()
    assert "mute.mp4: has no sound" in told.err
    assert "notes.txt" in told.err
    assert told.out.count(" lit ") == 2
    assert told.out.count("threshold 0.1") == 1, "the same for all is told once"
    make(tmp_path / "in" / "deeper", out=tmp_path / "x.jsonl", workers=1)
    assert call(model, tmp_path / "x.jsonl", "-o", tmp_path / "listed", "--threshold", 0.1) == 0
    assert [path.name for path in (tmp_path / "listed").glob("*.mp4")] == ["a.mp4"], "a manifest stands for its own"


def test_recordings_that_differ_in_their_suffix_have_overlays_of_their_own(tmp_path):
    from avssl.cli.localize import _targets

    found = [tmp_path / "in" / name for name in ("tall.mp4", "tall.mov")]
    assert [path.name for path in _targets(found, tmp_path / "out", False)] == ["in_tall_mp4.mp4", "in_tall_mov.mp4"]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["absent.mp4", "-o", "out.mp4"], "absent.mp4: no such file or folder"),
        (["empty", "-o", "out"], "an empty folder"),
        (["clip.mp4", "-o", "clip.mp4"], "would write over the recording"),
        (["clip.mp4", "clip.mp4", "-o", "out.mp4"], "name a folder"),
        (["clip.mp4", "-o", "out.mp4", "--text", "a", "--audio", "clip.mp4"], "--text and --audio"),
        (["mute.mp4", "-o", "out.mp4"], "--text WORDS or --audio FILE"),
        (["clip.mp4", "-o", "out.mp4", "--text", "bell"], "no vocabulary"),
        (["clip.mp4", "-o", "out.mp4", "--threshold", "0.5", "--ceiling", "0.2"], "not above its threshold"),
    ],
)
def test_wrong_requests_get_one_line(tmp_path, model, monkeypatch, capsys, words, answer):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    recording(tmp_path / "clip.mp4", 1)
    recording(tmp_path / "mute.mp4", 1, sound=False)
    before = (tmp_path / "clip.mp4").read_bytes()
    assert call(model, *words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, "no bar is left above it"
    assert lines[0].startswith("error: ")
    assert answer in lines[0]
    assert (tmp_path / "clip.mp4").read_bytes() == before
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        *((f"--window {value}", f"--window {value}: seconds above 0") for value in ("inf", "nan", "0", "-3", "1e+09")),
        *((f"--hop {value}", f"--hop {value}: seconds above 0") for value in ("inf", "nan", "0", "-1")),
        *((f"--height {value}", f"a height of {value} pixels is too small; 16 at least") for value in (0, -5, 15)),
        *((f"--ceiling {value}", f"the ceiling of the scale is {value}") for value in ("inf", "nan")),
        *((f"--threshold {value}", f"the threshold of the scale is {value}") for value in ("inf", "-inf", "nan")),
        ("--threshold 0.5 --ceiling 0.5", "not above its threshold 0.5"),
        ("--sizes 1,nan", "sizes must be different numbers from 0.25 to 8"),
        ("--text a --text b --text c --text d --text e", "5 queries; there are colours for 4"),
    ],
)
def test_wrong_values_are_refused_before_any_work(tmp_path, model, monkeypatch, capsys, words, answer):
    def load(folder):
        raise AssertionError("work was begun")

    monkeypatch.setattr("avssl.train.checkpoint.load_run", load)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"not looked at")
    assert call(model, clip, "-o", tmp_path / "out.mp4", *words.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert answer in said
    assert said.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "run"}


def test_a_sound_of_another_file_is_looked_for(tmp_path, model):
    mute = recording(tmp_path / "mute.mp4", 1, sound=False)
    loud = recording(tmp_path / "loud.mp4", 1)
    assert call(model, mute, "-o", tmp_path / "out.mp4", "--audio", loud, "--threshold", 0.05) == 0
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["query"] == "the sound of loud.mp4"
    assert told["lit_time"] == 1.0
    assert np.all([moment["loudness_db"] == -60 for moment in told["moments"]])


def test_two_words_have_a_colour_each(tmp_path, model, monkeypatch, capsys):
    monkeypatch.setattr(Inputs, "tokens", lambda self, words: torch.zeros(1, len(words[0]), dtype=torch.long))
    clip = recording(tmp_path / "mute.mp4", 1, sound=False)
    words = ["--text", "a", "--text", "longer", "--threshold", "3", "--ceiling", "6"]
    assert call(model, clip, "-o", tmp_path / "out.mp4", *words) == 0
    told = json.loads((tmp_path / "out.json").read_text())
    assert [(one["query"], one["lit_time"]) for one in told["queries"]] == [('"a"', 0.0), ('"longer"', 1.0)]
    boxes = told["queries"][1]["moments"][0]["boxes"]
    assert len(boxes) == 1
    assert boxes[0]["box"] == pytest.approx([2 / 3, 0, 1, 0.5], abs=0.09), "around the bright square"
    assert told["queries"][0]["moments"][0]["boxes"] == []
    assert 'lit 0 % ("a"), 100 % ("longer") of the time' in capsys.readouterr().out
    assert call(model, clip, *(word for letter in "abcde" for word in ("--text", letter))) == 2
    assert "there are colours for 4" in capsys.readouterr().err


def test_odd_recordings(tmp_path, model, capsys):
    """Sound alone, a phone held upright, uneven frames, and a header that claims five hours."""
    from made_media import VARIABLE, tone, write

    write(tmp_path / "only.mp4", video=None)
    assert call(model, tmp_path / "only.mp4", "-o", tmp_path / "no.mp4") == 2
    assert "has no picture" in capsys.readouterr().err

    hum = tone(2.0, 44100, 0.5)
    write(tmp_path / "turned.mp4", count=50, sound=hum, rotation=90)
    write(tmp_path / "uneven.mp4", pts=[int(t) for t in VARIABLE if t < 2000], unit=Fraction(1, 1000), sound=hum)
    long = write(tmp_path / "claims.mkv", count=50, sound=hum)
    claimed = long.read_bytes()
    place = claimed.index(b"\x44\x89\x88") + 3  # Matroska's Duration, milliseconds as a double
    assert struct.unpack(">d", claimed[place : place + 8])[0] == pytest.approx(2000, abs=100)
    long.write_bytes(claimed[:place] + struct.pack(">d", 5 * 3600e3) + claimed[place + 8 :])
    assert probe(long).duration == pytest.approx(5 * 3600)

    for name, shape in (
        ("turned.mp4", (192 + 24, 144)),
        ("uneven.mp4", (240 + 24, 320)),
        ("claims.mkv", (240 + 24, 320)),
    ):
        out = tmp_path / "out.mp4"
        assert call(model, tmp_path / name, "-o", out, "--threshold", 0.05) == 0
        made = probe(out)
        assert (made.pictures[0].height, made.pictures[0].width) == shape, name
        assert made.duration == pytest.approx(2.0, abs=0.5), name
        assert made.sounds, name
        told = json.loads((tmp_path / "out.json").read_text())
        assert told["moments"][-1]["seconds"] < 2.5, name


def test_a_page_to_scrub_through(tmp_path, model, capsys):
    calibration.Calibration(0.05, 0.4, "abc", "on validation clips").save(model)
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        recording(tmp_path / "in" / f"{name}.mp4", 1)
    (tmp_path / "in" / "broken.mp4").write_bytes(b"no film" * 100)
    assert call(model, tmp_path / "in", "-o", tmp_path / "out", "--page", tmp_path / "looks.html") == 0
    said = capsys.readouterr()
    assert "2 of 2 to scrub through" in said.out
    assert said.err.count("broken.mp4") == 1
    written = (tmp_path / "looks.html").read_text()
    assert written.count("data:video/mp4") == 2
    assert '"title": "a.mp4"' in written


def test_a_picture_file(tmp_path, model, capsys):
    from matplotlib.image import imsave

    picture = np.full((64, 96, 3), 10, np.uint8)
    picture[:32, 64:] = 250
    imsave(tmp_path / "still.png", picture)
    assert call(model, tmp_path / "still.png", "-o", tmp_path / "out") == 2
    assert "has no sound; say what to look for" in capsys.readouterr().err
    loud = recording(tmp_path / "loud.mp4", 1)
    words = ["--audio", loud, "--threshold", 0.05, "--page", tmp_path / "looks.html"]
    assert call(model, tmp_path / "still.png", "-o", tmp_path / "out", *words) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"still.png", "still.json"}
    assert json.loads((tmp_path / "out" / "still.json").read_text())["lit_time"] == 1.0
    assert not (tmp_path / "looks.html").exists(), "there is nothing to scrub through"


def test_a_link_that_leads_nowhere_costs_only_itself(tmp_path, model, capsys):
    (tmp_path / "films").mkdir()
    recording(tmp_path / "films" / "a.mp4", 1)
    (tmp_path / "films" / "b.mp4").symlink_to(tmp_path / "gone.mp4")
    assert call(model, tmp_path / "films", "-o", tmp_path / "out", "--threshold", 0.05) == 0
    assert [path.name for path in (tmp_path / "out").glob("*.mp4")] == ["a.mp4"]
    assert "b.mp4" in next(line for line in capsys.readouterr().err.splitlines() if line.startswith("passed over"))


def test_real_odd_media(tmp_path, model, recordings, capsys):
    """Every odd file of the shared folder gives an overlay or one line; none stops the others."""
    folder = recordings / "edge-media"
    if not folder.is_dir():
        pytest.skip(f"no odd media at {folder}")
    odd = sorted(path for part in ("moviepy", "small", "imageio") for path in (folder / part).rglob("*.*"))
    odd = [path for path in odd if path.is_file() and path.stat().st_size < 400_000][:8]
    code = call(model, *odd, "-o", tmp_path / "out", "--threshold", 0.05, "--height", 64)
    said = capsys.readouterr()
    assert code == 0
    made = list((tmp_path / "out").glob("*.json"))
    refused = [line for line in said.err.splitlines() if line.startswith("passed over")]
    assert len(made) + len(refused) == len(odd)
    assert len(made) > 0
