"""Spoken and written digits: what the clips hold, who is heard, and a whole resumable comparison of two steps."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avssl.data.media import decode

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))


@pytest.fixture(scope="module")
def digits():
    return importlib.import_module("digits")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two speakers say ten digits in four takes: a tone of the digit's own; pictures: a bar at the digit's height."""
    import wave

    root = tmp_path_factory.mktemp("data")
    (root / "fsdd" / "recordings").mkdir(parents=True)
    for digit in range(10):
        for speaker in ("ann", "bob"):
            for take in range(4):
                time = np.arange(2000 + 1500 * take) / 8000
                tone = np.sin(2 * np.pi * (300 + 150 * digit) * time) * (0.5 if speaker == "ann" else 0.3)
                with wave.open(str(root / "fsdd" / "recordings" / f"{digit}_{speaker}_{take}.wav"), "wb") as file:
                    file.setparams((1, 2, 8000, len(tone), "NONE", ""))
                    file.writeframes((tone * 32767).astype("<i2").tobytes())
        for part in ("train", "test"):
            (root / "mnist" / part / str(digit)).mkdir(parents=True)
            for number in range(3):
                pixels = np.zeros((28, 28), np.uint8)
                pixels[2 * digit + 4 : 2 * digit + 6, number : 20 + number] = 255 if part == "train" else 200
                Image.fromarray(pixels).save(root / "mnist" / part / str(digit) / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def made(digits, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("digits")
    return digits.clips(out, data, 1, 0), out


def test_a_clip_is_its_picture_and_its_sound(digits, made, data):
    held, _ = made
    recording = next(one for one in held.recordings if one.labels == {
        "digit": "7", "speaker": "ann", "take": "3", "pictures": "test"})  # fmt: skip
    got = decode(held.path_of(recording), times=[0.0, 0.7], size=(32, 32), audio=(0.0, 0.8), hz=8000)
    assert abs(int(got.video[1, 0].max()) - 200) <= 3
    rows = np.flatnonzero(got.video[0, 0].max(1) > 100)
    assert rows.tolist() == [20, 21], "2 * 7 + 4, and an edge of two"
    said = decode(data / "fsdd" / "recordings" / "7_ann_3.wav", audio=(0.0, 0.8), hz=8000).audio
    np.testing.assert_allclose(got.audio[: len(said)], said, atol=1e-3)


def test_the_one_who_is_asked_about_is_never_heard_and_no_picture_is_known(digits, made):
    held, _ = made
    own = digits.without(held, "bob")
    told = {name: [one.labels for one in own.split(name)] for name in ("train", "val", "test")}
    assert [len(labels) for labels in told.values()] == [20, 20, 40]
    assert {one["speaker"] for one in told["train"] + told["val"]} == {"ann"}
    assert {one["speaker"] for one in told["test"]} == {"bob"}
    assert {one["pictures"] for one in told["train"]} == {"train"}
    assert {one["pictures"] for one in told["val"] + told["test"]} == {"test"}
    assert not {one["take"] for one in told["train"]} & {one["take"] for one in told["val"]}
    with pytest.raises(ValueError, match="no recording of zoe"):
        digits.without(held, "zoe")


def test_the_best_answer_counts(digits):
    queries, answers = np.eye(3)[[0, 1, 2]], np.eye(3)[[0, 1]]
    assert digits.right(queries, answers, np.array([5, 6, 7]), np.array([5, 7])) == pytest.approx(1 / 3)


def test_a_comparison_adds_a_row_and_is_not_repeated(digits, made, data, tmp_path, monkeypatch, capsys):
    _, out = made
    rows = tmp_path / "rows.jsonl"
    words = [
        "digits.py", "--data", str(data), "-o", str(out), "--speakers", "bob", "--copies", "1", "--rows", str(rows),
        "steps=2", "data.batch=8", "data.workers=0", "data.cache_gb=0", "device=cpu",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", words)
    digits.main()
    (first,) = [json.loads(line) for line in rows.read_text().splitlines()]
    assert (first["speaker"], first["steps"], first["asked"]) == ("bob", 2, 40)
    questions = ("right_digit_first", "right_digit_first_centered", "told_the_digits")
    assert [len(first[question]) for question in questions] == [2, 2, 1]
    for figures in (figures for question in questions for figures in first[question].values()):
        assert figures["chance"] == pytest.approx(0.1)
        assert 0 <= figures["trained"] <= 1
    assert first["told_the_digits"]["audio"]["untrained"] > 0.5, "tones are told apart by whoever is told the digits"
    monkeypatch.setattr(digits, "command", lambda *words: pytest.fail("trained again"))
    digits.main()
    assert len(rows.read_text().splitlines()) == 1
    assert "bob" in capsys.readouterr().out


def test_what_is_not_there_is_told(digits, tmp_path):
    with pytest.raises(ValueError, match="no spoken digits there"):
        digits.spoken(tmp_path)
    with pytest.raises(ValueError, match="no pictures of 0, 1"):
        digits.written(tmp_path, "train")
