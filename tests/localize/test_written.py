"""avssl localize never takes the place of what a person keeps: recordings, the sound looked for, files of others."""

import json
import os

import numpy as np
import pytest
from bright import recording
from test_command import call, model  # noqa: F401  a fixture


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder `w` with recordings and pictures, told file by file."""
    from matplotlib.image import imsave

    monkeypatch.chdir(tmp_path)
    (tmp_path / "w").mkdir()
    for name in ("still", "art"):
        imsave(tmp_path / "w" / f"{name}.png", np.full((32, 48, 3), 200, np.uint8))
    for name in ("clip", "q"):
        recording(tmp_path / "w" / f"{name}.mp4", 1)
    (tmp_path / "w" / "said.json").write_text('{"words": ["one"]}')
    return tmp_path / "w"


def held(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("w/still.png --audio w/q.mp4 -o w", "would write over the recording w/still.png"),
        ("w/still.png --audio w/q.mp4 -o w/still.mp4", "would write over the recording w/still.png"),
        ("w/clip.mp4 w/still.png --audio w/q.mp4 -o w", "would write over the recording w/clip.mp4"),
        ("w/clip.mp4 -o w/art.mp4", "would write over w/art.png, which is no overlay's"),
        ("w/clip.mp4 -o w/said.mp4", "would write over w/said.json, which is no overlay's"),
        ("w/clip.mp4 --audio w/q.mp4 -o w/q.mp4", "would write over the sound to look for, w/q.mp4"),
        ("w/clip.mp4 --audio w/art.png -o w/art.mp4", "would write over the sound to look for, w/art.png"),
        ("w/clip.mp4 --audio w/none.wav -o w/out.mp4", "--audio w/none.wav: no such file"),
        ("w/clip.mp4 -o out --page w/clip.mp4", "--page w/clip.mp4 would write over the recording"),
        ("w/clip.mp4 -o out.mp4 --page out.json", "--page out.json is what -o out.mp4 writes too"),
        ("w/clip.mp4 -o linked.mp4", "would write over the recording w/clip.mp4"),
        ("copy/q.mp4 -o w", "would write over w/q.mp4, which is no overlay's"),
        ("w/clip.mp4 -o w/art.png", "-o w/art.png: an overlay is one of .mp4, .mkv, .mov, .m4v; or name a folder"),
        ("w/clip.mp4 -o out.avi", "-o out.avi: an overlay is one of"),
    ],
)
def test_what_is_kept_is_not_written_over(words, answer, kept, model, capsys, monkeypatch):  # noqa: F811
    def load(folder):
        raise AssertionError("work was begun")

    monkeypatch.setattr("avssl.train.checkpoint.load_run", load)
    (kept.parent / "linked.mp4").symlink_to(kept / "clip.mp4")
    (kept.parent / "copy").mkdir()
    (kept.parent / "copy" / "q.mp4").write_bytes((kept / "q.mp4").read_bytes())
    before = held(kept)
    assert call(model, *words.split()) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert answer in said
    assert held(kept) == before


def test_an_overlay_takes_the_place_of_an_earlier_one(kept, model):  # noqa: F811
    words = ["--audio", "w/q.mp4", "--threshold", 0.05, "--height", 64]
    for output in ("out", "one.mp4"):
        for source in ("w/clip.mp4", "w/still.png", "w/clip.mp4"):
            assert call(model, source, "-o", output, *words) == 0
            assert call(model, source, "-o", output, *words, "--ceiling", 9) == 0
    assert {json.loads(path.read_text())["ceiling"] for path in kept.parent.glob("**/o*/*.json")} == {9}
    assert json.loads((kept.parent / "one.json").read_text())["ceiling"] == 9


def test_a_video_that_is_named_is_replaced_and_a_stopped_sheet_is_known(kept, model, monkeypatch):  # noqa: F811
    old = kept.parent / "old.mp4"
    old.write_bytes(b"no overlay")
    assert call(model, "w/clip.mp4", "-o", old, "--threshold", 0.05) == 0
    assert old.stat().st_size > 1000

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr("avssl.localize.film.stills", stop)
        assert call(model, "w/clip.mp4", "-o", "out", "--threshold", 0.05) == 130
    assert sorted(os.listdir("out")) == ["clip.json", "clip.mp4"]
    assert call(model, "w/clip.mp4", "-o", "out", "--threshold", 0.05) == 0
    assert sorted(os.listdir("out")) == ["clip.json", "clip.mp4", "clip.png"]


def test_overlays_in_a_folder_are_no_recordings_of_it(kept, model, capsys):  # noqa: F811
    assert call(model, "w/clip.mp4", "-o", "w/seen.mkv", "--height", "64") == 0
    assert {"seen.mkv", "seen.png", "seen.json"} <= held(kept).keys()
    assert call(model, "w/clip.mp4", "-o", "w/clip.mkv", "--height", "64") == 0
    capsys.readouterr()
    assert call(model, "w", "-o", "out", "--height", "64") == 0
    made = sorted(path.name for path in (kept.parent / "out").glob("*.mp4"))
    assert made == ["clip.mp4", "q.mp4"], "clip.mp4 is a recording, though figures of its name are beside it"
    for name in ("clip.mp4", "q.mp4", "still.png", "art.png", "said.json"):
        (kept / name).unlink()
    assert call(model, "w", "-o", "out2") == 2
    assert "nothing but overlays" in capsys.readouterr().err


def test_an_overlay_keeps_both_channels(kept, model):  # noqa: F811
    from avssl.data.encode import write_clip
    from avssl.data.media import decode, probe

    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000).astype(np.float32)
    frames = [np.full((32, 48, 3), 90, np.uint8)] * 25
    write_clip(kept / "two.mp4", frames, 25, np.stack([tone, 0 * tone]))
    assert call(model, "w/two.mp4", "-o", "out.mp4", "--height", "64") == 0
    assert probe(kept.parent / "out.mp4").sounds[0].channels == 2
    left, right = decode(kept.parent / "out.mp4", audio=(0.2, 0.5), channels=(0, 1)).audio
    assert np.abs(left).max() > 0.4
    assert np.abs(right).max() < 0.02
