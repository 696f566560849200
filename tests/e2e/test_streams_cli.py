"""As a user: a world with further sensors, its manifest, training on two streams, judging, embedding, searching."""

import json

import pytest

from avssl.cli import run

SMALL = [
    "steps=2", "data.batch=4", "data.workers=0", "data.cache_gb=0", "log_every=1", "threads=1", "precision=fp32",
    "evaluate_every=1", "inputs.height=32", "inputs.width=32", "inputs.frames=4", "inputs.audio_seconds=1",
    "inputs.mels=16", "method.width=16", "encoders.video.width=16", "encoders.audio.width=16",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A user's folder with a world and its manifest."""
    folder = tmp_path_factory.mktemp("home")
    world = ["world", "-o", folder / "w", "--clips", 14, "--side", 32, "--seconds", 1, "--workers", 1]
    for words in (
        [*world, "--stereo", "--depth", "--infrared"],
        ["manifest", folder / "w" / "videos", "--labels", folder / "w" / "labels.tsv", "-o", folder / "m.jsonl",
         "--workers", 1, "--stream", "depth,range=0:8000", "--stream", "infrared"],
    ):  # fmt: skip
        assert run([str(word) for word in words]) == 0, words
    return folder


def test_two_cameras_from_the_manifest_to_a_found_moment(home, capsys):
    there, vectors, index = home / "cameras", home / "v", home / "i"
    for words in (
        ["train", "paired_contrast_infrared", f"data={home / 'm.jsonl'}", *SMALL, "-o", there],
        ["evaluate", there, home / "m.jsonl"],
        ["embed", there, home / "m.jsonl", "-o", vectors],
        ["index", vectors, "-o", index],
    ):
        assert run([str(word) for word in words]) == 0, words
    judged = json.loads((there / "results.json").read_text())["retrieval"]
    assert {"video_to_infrared", "infrared_to_video"} <= set(judged)
    assert {"trained", "untrained", "chance"} == set(judged["video_to_infrared"]["r1"])
    logged = [json.loads(line) for line in (there / "log.jsonl").read_text().splitlines()]
    assert any("video_to_infrared_r1" in json.dumps(line) for line in logged), "told during training"
    capsys.readouterr()
    clip = next((home / "w" / "videos" / "test").glob("*.infrared.mp4"))
    seen = str(clip).replace(".infrared", "")
    assert run(["search", str(index), "--video", seen, "--in", "infrared", "--top", "3", "--json"]) == 0
    hits = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(hits) == 3
    assert {hit["modality"] for hit in hits} == {"infrared"}
    # the other way round: a file of the further stream finds its own window there, and pictures by default
    assert run(["search", str(index), "--stream", f"infrared={clip}", "--in", "infrared", "--top", "1", "--json"]) == 0
    (own,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert own["path"] == seen
    assert own["score"] == pytest.approx(1, abs=1e-4)
    assert run(["search", str(index), "--stream", f"infrared={clip}", "--video", seen, "--json"]) == 0
    found = [json.loads(line)["modality"] for line in capsys.readouterr().out.splitlines()]
    assert set(found) == {"video"}
    for words, told in (
        (f"depth={clip}", "cannot search with depth; its space holds video, infrared"),
        (f"infrared={clip}x", "no such file"),
        (f"infrared={home / 'w' / 'videos' / 'test'}", "holds no pictures to search with"),
        ("infrared", "say NAME=FILE"),
    ):
        assert run(["search", str(index), "--stream", words]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.parametrize("name", ["paired_contrast", "paired_contrast_stereo"])
def test_depth_and_two_ears_are_learnt_and_judged(home, name):
    there = home / name
    assert run(["train", name, f"data={home / 'm.jsonl'}", *SMALL, "-o", str(there)]) == 0
    assert run(["evaluate", str(there), str(home / "m.jsonl")]) == 0
    names = {"paired_contrast": ("video", "depth"), "paired_contrast_stereo": ("left", "right")}[name]
    assert "_to_".join(names) in json.loads((there / "results.json").read_text())["retrieval"]


def test_a_folder_is_enough_where_streams_have_files(home):
    there = home / "folder"
    words = ["train", "paired_contrast_infrared", f"data={home / 'w' / 'videos'}", *SMALL, "-o", str(there)]
    assert run(words) == 0
    assert "infrared" in (there / "manifest.jsonl").read_text()


def test_a_stream_that_no_recording_has_is_told_in_one_line(home, capsys):
    words = ["train", "paired_contrast", f"data={home / 'm.jsonl'}", *SMALL, "method.second.stream=thermal"]
    capsys.readouterr()
    assert run([*words, "-o", str(home / "none")]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert "no recording with video and thermal in the train split" in told[0]
    assert "streams the manifest names: depth, infrared" in told[0]
