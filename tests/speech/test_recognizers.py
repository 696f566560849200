"""The recognizers: what Whisper hears, when its words are and how sure it is of them, and faster-whisper's answers."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_whisper import saved

from avssl.data.narration import Phrase
from avssl.speech.doubt import Heard


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
