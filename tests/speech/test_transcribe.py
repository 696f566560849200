"""Narration from sound: what is heard and when, what is passed over, going on, and a tiny Whisper from end to end."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from speech_help import Listener, write_wav
from tiny_whisper import saved

from avssl import cli
from avssl.data.manifest import Manifest, make
from avssl.data.narration import Phrase
from avssl.data.subtitles import read
from avssl.speech import transcribe as module
from avssl.speech.doubt import Rule
from avssl.speech.transcribe import transcribe


@pytest.fixture
def talk(tmp_path):
    """Two seconds of nothing, a tone of one second, nothing; and a file that is silent."""
    rng = np.random.default_rng(0)
    time = np.arange(16000) / 16000
    sound = np.concatenate([rng.normal(0, 1e-4, 32000), 0.3 * np.sin(2 * np.pi * 600 * time), np.zeros(16000)])
    (tmp_path / "media" / "deep").mkdir(parents=True)
    write_wav(tmp_path / "media" / "deep" / "a.wav", sound)
    write_wav(tmp_path / "media" / "silent.wav", np.zeros(32000))
    write_wav(tmp_path / "media" / "told.wav", 0.5 * sound)
    (tmp_path / "media" / "told.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nknown\n")
    return make(tmp_path / "media", out=tmp_path / "x.jsonl")


def narration(manifest):
    return {one.key: one.narration for one in manifest.recordings}


def test_times_are_of_the_recording_and_nobody_is_asked_about_silence(talk, tmp_path):
    listener = Listener([(0.2, 1.0, "a tone. It"), (1.0, 1.2, "stops")])
    made, told = transcribe(talk, tmp_path / "n", listener, settings="x")
    assert [round(len(sound) / 16000, 1) for sound in listener.sounds] == [1.4]
    said = narration(made)
    assert [one.text for one in said["deep/a"]] == ["a tone.", "It stops"]
    made.save(tmp_path / "y.jsonl")
    kept = narration(Manifest.load(tmp_path / "y.jsonl"))
    assert [one.language for one in kept["deep/a"]] == ["xx", "xx"]
    assert transcribe(talk, tmp_path / "n", listener, settings="x")[0] == made, "also when it is read, not heard"
    assert said["deep/a"][0].start == pytest.approx(2.0, abs=0.05)
    assert said["silent"] == ()
    assert said["told"] == (Phrase(1.0, 2.0, "known"),)
    assert (told.heard, dict(told.passed), dict(told.languages)) == (1, {"silent": 1, "has narration": 1}, {"xx": 1})
    file = next((tmp_path / "n").iterdir())
    assert file.name.startswith("deep__a-")
    assert file.name.endswith(".xx.vtt")
    assert read(file)[0].text == "a tone. It"


@pytest.mark.parametrize(("language", "timed"), [("de", True), ("ja", False), ("yue", False)])
def test_words_are_timed_in_languages_that_have_spaces_between_them(talk, tmp_path, language, timed):
    listener = Listener([(0.0, 1.0, "ein Ton", ((0.0, 0.4, "ein"), (0.4, 1.0, "Ton")))])
    made, _ = transcribe(talk, tmp_path / "n", listener, settings="x", language=language)
    (said,) = narration(made)["deep/a"]
    assert (said.text, bool(said.words)) == ("ein Ton", timed)
    if timed:
        begins = [round(begin - said.start, 2) for begin, *_ in said.words]
        assert (begins, [word[2] for word in said.words]) == ([0.0, 0.4], ["ein", "Ton"])


def test_what_was_heard_is_not_heard_again_unless_something_changed(talk, tmp_path):
    def heard(**options):
        listener = Listener([(0.0, 1.0, "yes")])
        made, told = transcribe(talk, tmp_path / "n", listener, **{"settings": "x", **options})
        return len(listener.sounds), told.heard, told.before, narration(made)["deep/a"]

    asked, fresh, before, said = heard()
    assert (asked, fresh, before) == (1, 1, 0)
    assert heard() == (0, 0, 1, said)
    assert heard(settings="y")[:3] == (1, 1, 0)
    assert heard(settings="y", language="de")[:3] == (1, 1, 0)
    assert heard(settings="y", language="de", again=True)[:3] == (1, 1, 1), "what has narration, too"
    assert len(list((tmp_path / "n").iterdir())) == 2, "one file for each"
    assert heard(settings="y", language="de")[:3] == (0, 0, 1)
    assert heard(settings="y", language="de", rule=Rule(compression=3.0))[:3] == (1, 1, 0)
    assert heard(settings="y", language="de", rule=Rule(compression=3.0))[:3] == (0, 0, 1)


def test_a_recording_of_many_blocks_is_heard_once_throughout(talk, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_SECONDS", 4.0)
    time = np.arange(16000) / 16000
    beep = np.concatenate([0.3 * np.sin(2 * np.pi * 600 * time), np.zeros(16000)])
    write_wav(tmp_path / "media" / "long.wav", np.tile(beep, 8))  # a second of sound, one of nothing
    held = make(tmp_path / "media")
    listener = Listener([(0.0, 99.0, "")])
    transcribe(held, tmp_path / "n", listener, settings="x")
    long = [len(sound) / 16000 for sound in listener.sounds]
    assert 8.0 <= sum(long) <= 18.5, "every beep, and none twice"


def test_a_file_that_has_gone_is_told_and_costs_only_itself(talk, tmp_path):
    os.unlink(tmp_path / "media" / "told.wav")
    made, told = transcribe(talk, tmp_path / "n", Listener([(0, 1, "yes")]), settings="x", again=True)
    assert told.heard == 1
    assert any("no such file" in reason.lower() for reason in told.passed)
    assert narration(made)["told"] == (Phrase(1.0, 2.0, "known"),)


def test_what_was_written_by_half_is_heard_anew(talk, tmp_path, monkeypatch):
    """A run is killed while it writes: a file is there whole or not at all."""
    listener = Listener([(0, 1, "yes")])

    def killed(*names):
        raise KeyboardInterrupt

    with monkeypatch.context() as kill:
        kill.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            transcribe(talk, tmp_path / "n", listener, settings="x")
    assert list((tmp_path / "n").glob("*.vtt")) == []
    _, told = transcribe(talk, tmp_path / "n", listener, settings="x")
    assert (told.heard, told.before) == (1, 0)


def test_long_names_and_many_folders_are_names_still(tmp_path):
    """Of letters that take two bytes each, so that no name may be cut by letters."""
    deep = tmp_path / "media"
    for letter in "äöü":
        deep = deep / (letter * 90)
    deep.mkdir(parents=True)
    for name, hertz in (("a", 600), ("b", 700)):
        write_wav(deep / f"{name}.wav", 0.3 * np.sin(2 * np.pi * hertz * np.arange(32000) / 16000))
    held = make(tmp_path / "media", out=tmp_path / "x.jsonl")
    made, told = transcribe(held, tmp_path / "n", Listener([(0, 1, "yes")]), settings="x")
    assert (told.heard, len(list((tmp_path / "n").iterdir()))) == (2, 2)
    assert all(one.narration for one in made.recordings)
    assert transcribe(held, tmp_path / "n", Listener([]), settings="x")[1].before == 2


def test_progress_reaches_the_end_though_the_last_cannot_be_read(talk, tmp_path):
    os.unlink(tmp_path / "media" / "told.wav")
    steps = []
    transcribe(talk, tmp_path / "n", Listener([(0, 1, "yes")]), settings="x", again=True,
               progress=lambda *step: steps.append(step))  # fmt: skip
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_other_weights_under_the_same_name_hear_anew(talk, tmp_path, capsys):
    model = saved(tmp_path / "whisper")
    words = ["transcribe", str(tmp_path / "x.jsonl"), "-o", str(tmp_path / "y.jsonl"), "--language", "de"]
    for again, told in ((False, "heard 1 "), (False, "heard before 1"), (True, "heard 1 ")):
        if again:
            from transformers import WhisperForConditionalGeneration

            torch.manual_seed(1)
            network = WhisperForConditionalGeneration.from_pretrained(model)
            network.proj_out.weight.data.normal_()
            network.save_pretrained(model)
        assert cli.run([*words, "--model", str(model)]) == 0
        assert told in " ".join(capsys.readouterr().out.split())


def test_a_tiny_whisper_from_end_to_end(talk, tmp_path, capsys):
    model = saved(tmp_path / "whisper")
    write_wav(tmp_path / "media" / "long.wav", 0.3 * np.sin(2 * np.pi * 600 * np.arange(48000) / 16000))
    make(tmp_path / "media", out=tmp_path / "x.jsonl")
    words = ["transcribe", str(tmp_path / "x.jsonl"), "-o", str(tmp_path / "y.jsonl"), "--model", str(model)]
    assert cli.run([*words, "--language", "de", "--compression", "9"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "heard 2" in told
    assert "language: de 2" in told
    assert len(Manifest.load(tmp_path / "y.jsonl").recordings) == 4
    assert len(list((tmp_path / "y-narration").glob("*.de.vtt"))) == 2
    (said,) = read(tmp_path / "y-narration" / "long.de.vtt")
    assert 0 <= said.start < said.end <= 3.0
    assert [word for *_, word in said.words] == said.text.split(), "words are timed, in the file too"
    (sentence,) = narration(Manifest.load(tmp_path / "y.jsonl"))["long"]
    assert (sentence.text, sentence.words, sentence.language) == (said.text, said.words, "de")
    assert cli.run([*words, "--language", "de", "--compression", "9"]) == 0
    assert "heard before 2" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("asked", "told"),
    [(["--compression", "9"], "left out: no"), (["--compression", "0"], "segments left out: repeats itself"),
     (["--compression", "9", "--no-speech", "0"], "segments left out: no speech")],
)  # fmt: skip
def test_what_is_doubted_is_as_asked(talk, tmp_path, capsys, asked, told):
    """A network of random weights says what nobody would, and is sure of no word."""
    model = saved(tmp_path / "whisper")
    write_wav(tmp_path / "media" / "long.wav", 0.3 * np.sin(2 * np.pi * 600 * np.arange(48000) / 16000))
    make(tmp_path / "media", out=tmp_path / "x.jsonl")
    words = ["transcribe", str(tmp_path / "x.jsonl"), "-o", str(tmp_path / "y.jsonl"), "--model", str(model)]
    assert cli.run([*words, "--language", "de", *asked]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "heard 2" in shown
    assert (told in shown) is told.startswith("segments")
    (said,) = (one.narration for one in Manifest.load(tmp_path / "y.jsonl").recordings if one.key == "long")
    assert bool(said) is not told.startswith("segments")


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ("", "licence: not stated; ask who made it"),
        ("---\nlicense: mit\n---\n", "licence: mit\n"),
        ("---\nlicense: cc-by-nc-4.0\n---\n", "licence: cc-by-nc-4.0 (not for commercial use"),
    ],
)
def test_the_license_of_a_recognizer_is_told(tmp_path, capsys, card, told):
    (tmp_path / "media").mkdir()
    write_wav(tmp_path / "media" / "silent.wav", np.zeros(8000))
    make(tmp_path / "media", out=tmp_path / "x.jsonl")
    model = saved(tmp_path / "whisper")
    if card:
        (model / "README.md").write_text(card)
    words = ["transcribe", str(tmp_path / "x.jsonl"), "-o", str(tmp_path / "y.jsonl"), "--model", str(model)]
    assert cli.run(words) == 0
    assert f"--model: {model}, {told}" in capsys.readouterr().err


@pytest.mark.parametrize("language", [[], ["--language", "de"]])
def test_a_recording_without_a_voice_is_told_as_such(tmp_path, capsys, language):
    rumble = 0.3 * np.sin(2 * np.pi * 50 * np.arange(32000) / 16000)
    (tmp_path / "media").mkdir()
    write_wav(tmp_path / "media" / "rumble.wav", rumble)
    make(tmp_path / "media", out=tmp_path / "x.jsonl")
    words = ["transcribe", str(tmp_path / "x.jsonl"), "-o", str(tmp_path / "y.jsonl")]
    for heard in ("heard 1", "heard before 1"):
        assert cli.run([*words, "--model", str(saved(tmp_path / "whisper")), *language]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert heard in told
        assert "no voice found in 1 recording" in told
        assert "language" not in told


def test_a_whisper_that_lacks_what_it_needs_is_named(talk, tmp_path, capsys):
    model = saved(tmp_path / "whisper")
    file = model / "generation_config.json"
    kept = json.loads(file.read_text())
    del kept["no_timestamps_token_id"]
    file.write_text(json.dumps(kept))
    words = ["transcribe", str(tmp_path / "x.jsonl"), "-o", str(tmp_path / "y.jsonl"), "--language", "de"]
    assert cli.run([*words, "--model", str(model)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {model}: this Whisper cannot be asked (You are trying to return timestamps")
    assert error.endswith("compare its generation_config.json with that of openai/whisper-tiny")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--engine", "cloud"], "transformers or faster-whisper"),
        (["--model", "nowhere/at/all"], "no Whisper there"),
        (["--model", "./nowhere"], "no such folder"),
        (["--engine", "faster-whisper"], "avssl[asr]"),
        (["--language", "fr"], "this model knows de, en"),
    ],
)
def test_wrong_requests_get_one_line(talk, tmp_path, change, said, capsys):
    model = saved(tmp_path / "whisper")
    words = ["transcribe", str(tmp_path / "x.jsonl"), "-o", str(tmp_path / "y.jsonl"), "--model", str(model)]
    assert cli.run([*words, *change]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "y.jsonl").exists()
