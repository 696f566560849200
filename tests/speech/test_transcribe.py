"""Narration from sound: what is heard and when, what is passed over, going on, and a tiny Whisper from end to end."""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace

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
from avssl.speech.doubt import Heard, Rule
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


@pytest.mark.parametrize("heads", [True, False])
def test_what_whisper_hears_lies_in_the_sound(tmp_path, heads):
    from avssl.speech.whisper import Whisper

    whisper = Whisper(str(saved(tmp_path / "whisper", heads)))
    sound = np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32)
    assert whisper.language_of(sound) in ("en", "de")
    found = whisper.hear(sound, "en")
    assert found
    for one in found:
        assert 0 <= one.phrase.start <= one.phrase.end <= 3.0
        assert bool(one.phrase.words) == (heads and bool(one.phrase.text))
        assert [word for *_, word in one.phrase.words] == (one.phrase.text.split() if heads else [])
        assert all(one.phrase.start <= begin <= end <= 3.0 for begin, end, _ in one.phrase.words)
        assert one.log_probability < 0
    features, _ = whisper.features(sound)
    start = torch.tensor([[whisper.model.config.decoder_start_token_id]])
    with torch.no_grad():
        odds = whisper.model(input_features=features, decoder_input_ids=start).logits[0, 0].double().exp()
    silent = odds[whisper.processor.tokenizer.get_vocab()["<|nospeech|>"]] / odds.sum()
    assert [one.no_speech for one in found] == pytest.approx([silent.item()] * len(found), rel=1e-4)


def test_how_likely_words_are_is_asked_one_after_the_other(tmp_path):
    from avssl.speech.whisper import Whisper

    whisper = Whisper(str(saved(tmp_path / "whisper")))
    features, _ = whisper.features(np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32))
    before, tokens = [whisper.start, 258, 261], [5, 70, 9, 33]
    logs = []
    with torch.no_grad():
        for number, token in enumerate(tokens):
            said = torch.tensor([[*before, *tokens[:number]]])
            odds = whisper.model(input_features=features, decoder_input_ids=said).logits[0, -1].double().exp()
            logs.append((odds[token] / odds.sum()).log().item())
        found = whisper._likely(features, before, torch.tensor(tokens))
    assert found == pytest.approx(np.mean(logs), abs=1e-4)


def test_a_word_begins_with_the_token_that_begins_with_a_space(tmp_path):
    """Its time is that token's, kept inside the segment; it ends where the next begins, the last with the segment."""
    from avssl.speech.whisper import Whisper

    whisper = Whisper(str(saved(tmp_path / "whisper")))
    tokenizer = whisper.processor.tokenizer
    tokens = tokenizer.encode(" ein Ton, ja", add_special_tokens=False)  # a token is a letter
    stamp = tokenizer.convert_tokens_to_ids("<|0.00|>")
    times = [0.1 * number for number in range(len(tokens))]
    segment = {"tokens": torch.tensor([stamp, *tokens, stamp]), "token_timestamps": torch.tensor([9.0, *times, 9.0])}
    found = whisper._words(segment, 0.2, 1.1)
    assert [word for *_, word in found] == ["ein", "Ton,", "ja"]
    spans = [(round(begin, 3), round(end, 3)) for begin, end, _ in found]
    assert spans == [(0.2, 0.4), (0.4, 0.9), (0.9, 1.1)]
    assert whisper._words({key: value[:1] for key, value in segment.items()}, 0.2, 1.1) == (), "no word, no time"


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


def test_a_hub_that_cannot_be_reached_is_told_at_once(monkeypatch):
    from avssl.speech import whisper

    def nobody(address, seconds):
        raise OSError(f"no way to {address[0]} within {seconds:g} s")

    monkeypatch.setattr(whisper.socket, "create_connection", nobody)
    with pytest.raises(
        ValueError, match=r"^some/whisper: no Whisper there \(it is not on this machine, and .* cannot be"
    ):
        whisper.Whisper("some/whisper")


def test_segments_of_faster_whisper_become_ours(monkeypatch, tmp_path):
    class Model:
        def __init__(self, name, device, compute_type):
            if name == "big":
                raise RuntimeError("Unable to open file\n'model.bin'")

        def detect_language(self, sound):
            return "de", 0.9, []

        def transcribe(self, sound, language, word_timestamps, condition_on_previous_text, no_speech_threshold):
            assert (language, word_timestamps, condition_on_previous_text) == ("de", True, False)
            assert no_speech_threshold is None, "it would leave segments out by a rule of its own"
            word = SimpleNamespace(start=0.5, end=0.9, word=" ja")
            segment = {"start": 0.5, "end": 1.0, "text": " ja ", "no_speech_prob": 0.2, "avg_logprob": -0.3}
            return iter([SimpleNamespace(**segment, words=[word])]), None

    monkeypatch.setitem(sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=Model))
    monkeypatch.setitem(sys.modules, "faster_whisper.utils", SimpleNamespace(_MODELS={"tiny": "maker/tiny"}))
    from avssl.speech.faster import FasterWhisper

    hears = FasterWhisper("tiny")
    assert hears.origin == "maker/tiny", "what its author states is asked for there"
    assert FasterWhisper("other/own").origin == "other/own"
    assert FasterWhisper(str(tmp_path)).origin == str(tmp_path)
    assert hears.language_of(np.zeros(4, np.float32)) == "de"
    assert hears.hear(np.zeros(4, np.float32), "de") == [
        Heard(Phrase(0.5, 1.0, "ja", ((0.5, 0.9, "ja"),)), no_speech=0.2, log_probability=-0.3)
    ]
    with pytest.raises(
        ValueError, match=r"^big: no model of faster-whisper there \(Unable to open file 'model.bin'\)$"
    ):
        FasterWhisper("big")
