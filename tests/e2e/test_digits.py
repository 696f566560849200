"""Spoken and written digits: what the clips hold, who is heard, and a whole resumable comparison of two steps."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from avssl.data.media import decode

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))


@pytest.fixture(scope="module")
def digits():
    return importlib.import_module("digits")


@pytest.fixture(scope="module")
def asked():
    return importlib.import_module("digits_asked")


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


def test_the_best_answer_counts(asked):
    queries, answers = np.eye(3)[[0, 1, 2]], np.eye(3)[[0, 1]]
    assert asked.right(queries, answers, np.array([5, 6, 7]), np.array([5, 7])) == pytest.approx(1 / 3)


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def spoken_by_two_voices():
    """Pictures of four digits, [40, 8], and their sounds, that all lean towards the picture of digit 0; and asked."""
    random, said = np.random.default_rng(0), np.repeat(np.arange(4), 10)
    pictures = unit(np.eye(8)[said] + 0.05 * random.standard_normal((40, 8))).astype(np.float32)
    lean = 2 * np.eye(8)[0] + np.eye(8)[6]
    sounds = unit(np.eye(8)[said] + lean + 0.05 * random.standard_normal((40, 8))).astype(np.float32)
    return sounds, pictures, said


def test_centering_is_by_the_voice_that_is_asked_about(asked):
    sounds, pictures, said = spoken_by_two_voices()
    assert asked.right(sounds, pictures, said, said) < 0.5, "the lean draws all to digit 0"
    np.testing.assert_allclose(asked.less_mean(sounds), unit(sounds - sounds.mean(0)), atol=1e-5)
    np.testing.assert_allclose(asked.less_mean(sounds, [0, 11]), unit(sounds - sounds[[0, 11]].mean(0)), atol=1e-5)
    assert asked.right(asked.less_mean(sounds), pictures, said, said) == 1
    wrong = asked.mistaken(sounds, pictures, said, said)
    assert set(wrong) == {"1 for 0", "2 for 0", "3 for 0"}
    assert sum(wrong.values()) == 40 * (1 - asked.right(sounds, pictures, said, said))
    few = asked.by_few(sounds, pictures, said, said)
    assert few["one_digit"] < few["any"] <= 1, "what one digit has in common is that digit"
    voices = np.tile(["ann", "bob"], 20)
    each = asked.each_less_mean(sounds, voices)
    np.testing.assert_allclose(each[1::2], unit(sounds[1::2] - sounds[1::2].mean(0)), atol=1e-5)


def test_figures_are_of_the_vectors_that_they_name(asked, monkeypatch):
    """Pictures and sounds of the one who is asked about lean apart: plain wrong, centered right, both ways.

    Augmented, these sounds do not lean.
    """
    sounds, pictures, said = spoken_by_two_voices()

    def embedded(augment, held, split, modalities=("audio", "video")):
        rows = [{"recording": str(k), "extra": {"digit": str(d), "speaker": split}} for k, d in enumerate(said)]
        vectors = {"audio": pictures if augment else sounds, "video": pictures}
        return SimpleNamespace(vectors={one: vectors[one] for one in modalities}, rows=dict.fromkeys(modalities, rows))

    monkeypatch.setattr(asked, "embed_recordings", embedded)
    monkeypatch.setattr(asked, "Embedder", lambda *given, augment: augment)
    found, wrong = asked.judged(SimpleNamespace(method=None, inputs=None), None)
    assert wrong == {}, "augmented, they are all right"
    assert found["right_digit_first"]["audio_to_video"] < 0.5
    assert found["right_digit_first_centered"] == {"audio_to_video": 1.0, "video_to_audio": 1.0}
    assert found["right_digit_first_augmented"] == {"audio_to_video": 1.0, "video_to_audio": 1.0}
    assert found["right_digit_first_centered_augmented"] == {"audio_to_video": 1.0, "video_to_audio": 1.0}
    assert found["heard_voices"] == {
        "audio_to_video": found["right_digit_first"]["audio_to_video"], "audio_to_video_augmented": 1.0,
        "video_to_audio": found["right_digit_first"]["video_to_audio"], "video_to_audio_augmented": 1.0,
    }  # fmt: skip
    assert found["sounds_centered_by_20_augmented"]["any"] >= found["sounds_centered_by_20"]["any"]
    assert found["told_the_digits"] == {"audio": 1.0, "audio_centered": 1.0}


def test_a_comparison_adds_a_row_and_is_not_repeated(digits, made, data, tmp_path, monkeypatch, capsys):
    _, out = made
    rows = tmp_path / "rows.jsonl"
    words = [
        "digits.py", "--data", str(data), "-o", str(out), "--speakers", "bob", "--copies", "1", "--rows", str(rows),
        "steps=2", "data.batch=8", "data.workers=0", "data.cache_gb=0", "device=cpu",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", words)
    loads, real = [], digits.load_run
    monkeypatch.setattr(digits, "load_run", lambda *given, **how: loads.append(how) or real(*given, **how))
    digits.main()
    assert loads == [{}, {"trained": False}], "what is told as untrained is"
    (first,) = [json.loads(line) for line in rows.read_text().splitlines()]
    assert (first["speaker"], first["steps"], first["asked"]) == ("bob", 2, 40)
    asks = ("right_digit_first", "right_digit_first_centered", "sounds_centered_by_20")
    questions = [*asks, *(f"{ask}_augmented" for ask in asks), "told_the_digits"]
    assert [len(first[question]) for question in questions] == [2] * 7
    assert len(first["heard_voices"]) == 4
    for figures in (figures for question in questions for figures in first[question].values()):
        assert figures["chance"] == pytest.approx(0.1)
        assert 0 <= figures["trained"] <= 1
    assert first["told_the_digits"]["audio"]["untrained"] > 0.5, "tones are told apart by whoever is told the digits"
    monkeypatch.setattr(digits, "command", lambda *words: pytest.fail("trained again"))
    digits.main()
    assert len(rows.read_text().splitlines()) == 1
    assert "bob" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["ave_net", "avid"])
def test_another_method_has_rows_of_its_own(digits, made, data, tmp_path, monkeypatch, method):
    """Of one picture or of a window's; neither takes the shipped method's row for its own, nor the other way round."""
    _, out = made
    rows = tmp_path / "rows.jsonl"
    words = ["--data", str(data), "-o", str(out), "--speakers", "bob", "--copies", "1", "--rows", str(rows), "steps=1",
             "data.batch=8", "data.workers=0", "data.cache_gb=0", "device=cpu", "checkpoint_every=1"]  # fmt: skip
    for told in (["--method", method], [], ["--method", method]):
        monkeypatch.setattr(sys, "argv", ["digits.py", *told, *words])
        digits.main()
    first, second = (json.loads(line) for line in rows.read_text().splitlines())
    assert (first["overrides"], "overrides" in second) == ([f"--method {method}"], False)
    assert [one["run"]["method"]["name"] for one in (first, second)] == [method, "paired_contrast"]
    assert first["run"]["inputs"] == second["run"]["inputs"]
    assert first["run"]["encoders"]["audio"] == second["run"]["encoders"]["audio"]
    assert set(first["right_digit_first"]) == {"audio_to_video", "video_to_audio"}


def test_audiovisual_methods_are_compared_on_voices_never_heard(made, data, tmp_path, monkeypatch):
    """Those that need words, or more than a digit takes, are not asked; the flagship does without words."""
    audiovisual, grounds = importlib.import_module("audiovisual"), importlib.import_module("audiovisual_grounds")
    monkeypatch.setattr(grounds, "UNHEARD", ("bob",))
    monkeypatch.setattr(grounds, "PICTURES", 1)
    rows = tmp_path / "rows.jsonl"
    words = [
        "-o", str(tmp_path / "out"), "--rows", str(rows), "--data", str(data), "--on", "digits", "--seeds", "0",
        "--steps", "1", "--only", "ave_net", "mil_nce", "multisensory", "trimodal-tuned", "trimodal",
        "--set", "data.batch=8", "data.workers=0", "data.cache_gb=0", "precision=fp32",
        *(f"encoders.{kind}.width=16" for kind in ("image", "video", "audio")),
    ]  # fmt: skip
    audiovisual.main(words)
    first, second = (json.loads(line) for line in rows.read_text().splitlines())
    assert [(one["name"], one["on"], one["uses"], one["used"]) for one in (first, second)] == [
        ("ave_net", "digits", {}, {}), ("trimodal", "digits", {}, {}),
    ]  # fmt: skip
    assert {name.replace("image", "video") for one in (first, second) for name in one["course"][-1]["directions"]} == {
        "video_to_audio", "audio_to_video",
    }  # fmt: skip
    assert first["retrieval"]["audio_to_image"]["n"] == second["retrieval"]["audio_to_video"]["n"] == 40
    assert {encoder: set(labels) for encoder, labels in second["probes"].items()} == {
        "video": {"digit"}, "audio": {"digit"},
    }  # fmt: skip
    assert second["probes"]["audio"]["digit"]["judged"] == 40
    assert (first["label"], first["figure"]) == ("digit", "ndcg10")


def test_what_is_not_there_is_told(digits, tmp_path):
    with pytest.raises(ValueError, match="no spoken digits there"):
        digits.spoken(tmp_path)
    with pytest.raises(ValueError, match="no pictures of 0, 1"):
        digits.written(tmp_path, "train")
