"""The language of narration: where it is told, that it is kept, and that nothing else changes by it."""

from __future__ import annotations

import json
import wave
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from torch import Generator

from avssl import cli
from avssl.data import subtitles
from avssl.data.dataset import Items, Source
from avssl.data.languages import same
from avssl.data.manifest import Manifest, Recording, make
from avssl.data.narration import Phrase, clean, said_inside
from avssl.data.sentences import sentences
from avssl.embedding.alignment import moved
from avssl.embedding.recordings import _merged
from avssl.sample import Needs

TIMED = ((1.0, 1.5, "die"), (1.5, 2.0, "Glocke"))


@pytest.fixture
def folder(tmp_path):
    """A sound with subtitles in two languages, and one whose header tells the language."""
    media = tmp_path / "media"
    media.mkdir()
    for name, pitch in (("clip.one", 9), ("other", 5)):
        with wave.open(str(media / f"{name}.wav"), "wb") as out:
            out.setparams((1, 2, 16000, 0, "NONE", ""))
            out.writeframes((np.sin(np.arange(64000) / pitch) * 9000).astype("<i2").tobytes())
    (media / "clip.one.en.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nthe bell\n")
    (media / "clip.one.DE.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\ndie Glocke\n")
    head = "WEBVTT\r\nKind: captions\r\nLanguage: fr\r\n\r\n"
    (media / "other.vtt").write_text(f"{head}00:01.000 --> 00:02.000\r\noui\r\n", newline="")
    return media


def languages(manifest):
    return {one.key: [(phrase.language, phrase.text) for phrase in one.narration] for one in manifest.recordings}


def test_names_and_headers_tell_it_and_the_manifest_keeps_it(folder, tmp_path, capsys):
    told = {"clip.one": [("de", "die Glocke"), ("en", "the bell")], "other": [("fr", "oui")]}
    words = ["manifest", str(folder), "-o", str(tmp_path / "m.jsonl"), "--workers", "1"]
    assert cli.run([*words, "--language", "de,en,fr"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "languages of narration, and how many recordings have them: de 1, en 1" in shown
    held = Manifest.load(tmp_path / "m.jsonl")
    assert languages(held)["clip.one"] == told["clip.one"]
    plain = make(folder, workers=1)
    assert languages(plain) == {**told, "clip.one": told["clip.one"][:1]}, "one, where none is asked for"


def test_a_recording_in_two_languages_gives_both_to_those_who_ask_for_phrases(folder):
    held = make(folder, workers=1, languages=("en", "de"))
    needs = Needs(audio_seconds=1.0, narrations=3)
    (one,) = [recording for recording in held.recordings if recording.key == "clip.one"]
    alone = replace(held, recordings=(replace(one, split="train"),))
    sample = Source(Items(alone, "train", 10.0, needs), needs, None).get(0, Generator().manual_seed(0))
    assert sorted(sample.text) == ["", "die Glocke", "the bell"]
    rows = _merged(one.narration)
    assert [(row.text, row.language) for row in rows] == [("the bell", "en"), ("die Glocke", "de")]
    assert len({(row.start, row.end) for row in rows}) == 2, "each is a vector of its own"
    lines = [replace(phrase, language="") for phrase in one.narration]
    assert [row.text for row in _merged(lines)] == ["the bell die Glocke"], "of one language they are two lines of one"


@pytest.mark.parametrize("how", [{}, {"window": "narration"}, {"window": "inside"}, {"words_inside": True}])
def test_who_asks_for_one_phrase_hears_each_language_as_often(folder, how):
    """Their cues stand at the same time: none of them is nearer."""
    held = make(folder, workers=1, languages=("en", "de"))
    needs = Needs(audio_seconds=1.0, narrations=1, **how)
    source = Source(Items(held, "train", 10.0, needs), needs, None)
    heard = Counter(source.get(0, Generator().manual_seed(seed)).text for seed in range(60))
    assert heard.keys() == {("the bell",), ("die Glocke",)}
    assert min(heard.values()) > 15
    assert {source.at(0, [1.0]).text for _ in range(9)} == {("the bell",)}, "where nothing is drawn it is the first"


@pytest.mark.parametrize(
    ("tag", "language", "is_it"),
    [("en", "en", True), ("en-US", "en", True), ("en_us", "EN", True), ("eng", "en", True), ("en", "eng", True),
     ("eng-US", "en", True), ("en", "en-US", False), ("en-US", "en-us", True), ("de", "en", False),
     ("spa", "es", True), ("jpn", "ja", True), ("por", "pt", True), ("swe", "sv", True), ("ger", "de", True),
     ("deu", "de", True), ("ger", "deu", True), ("chi", "zh", True), ("zho", "zh", True), ("pol", "pl", True),
     ("est", "es", False), ("arm", "ar", False), ("swe", "sw", False), ("slo", "sl", False), ("yue", "zh", False),
     ("eng", "e", False), ("", "en", False)],
)  # fmt: skip
def test_tags_of_two_and_of_three_letters_are_of_one_language(tag, language, is_it):
    assert same(tag, language) is is_it


def test_a_file_of_another_language_whose_tag_begins_alike_is_not_taken(tmp_path):
    for tag in ("est", "spa"):
        (tmp_path / f"clip.{tag}.vtt").touch()
    assert [path.name for path in subtitles.beside(tmp_path / "clip.mp4", languages=("es",))] == ["clip.spa.vtt"]


@pytest.mark.parametrize(
    ("tag", "told"),
    [("en", "en"), ("DE-at", "de-at"), ("pt_BR", "pt_br"), ("eng", "eng"), ("zh-Hans", "zh-hans"), ("forced", ""),
     ("und", ""), ("cc", ""), ("2", ""), ("", "")],
)  # fmt: skip
def test_what_is_a_language(tag, told):
    assert subtitles.language(tag) == told


def test_a_recordings_own_name_tells_no_language(tmp_path):
    path = tmp_path / "talk.go.vtt"
    path.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nhi\n")
    assert subtitles.read(path, "talk.go")[0].language == ""
    assert subtitles.read(path, "talk")[0].language == "go"
    assert subtitles.read(path)[0].language == ""


def test_what_changes_phrases_keeps_their_language():
    phrase = Phrase(1.0, 2.0, "<i>die</i> Glocke", TIMED, "de")
    (kept,) = clean([phrase, replace(phrase, start=1.5, end=2.5)]).phrases
    assert (kept.language, kept.text, kept.end) == ("de", "die Glocke", 2.5)
    assert [one.language for one in sentences([kept])] == ["de"]
    assert [one.language for one in said_inside([phrase], 0.0, 1.4)] == ["de"]
    assert moved(phrase, 0.5, 9.0).language == moved(replace(phrase, words=()), 0.5, 9.0).language == "de"


def test_manifests_without_languages_are_as_they_were(tmp_path):
    """Byte for byte, and with their digest, which no language changes: nothing is learnt from it."""

    def held(language):
        said = (Phrase(1.0, 2.0, "die Glocke", TIMED, language), Phrase(3.0, 4.0, "ja", (), language))
        one = Recording(key="a", path="a.wav", sha256="0", seconds=5.0, narration=said)
        return Manifest((one,), root=tmp_path)

    held("").save(tmp_path / "old.jsonl")
    line = json.loads((tmp_path / "old.jsonl").read_text().splitlines()[1])
    assert line["narration"] == [[1.0, 2.0, "die Glocke", [list(word) for word in TIMED]], [3.0, 4.0, "ja"]]
    held("de").save(tmp_path / "new.jsonl")
    line = json.loads((tmp_path / "new.jsonl").read_text().splitlines()[1])
    assert line["narration"][1] == [3.0, 4.0, "ja", "de"]
    for name, language in (("old", ""), ("new", "de")):
        again = Manifest.load(tmp_path / f"{name}.jsonl")
        assert again == held(language)
        again.save(tmp_path / "again.jsonl")
        assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / f"{name}.jsonl").read_bytes()
    assert held("de").digest() == held("").digest()


@pytest.mark.parametrize("rest", [["de", "en"], [[], "de", 3], [3], [[], []]])
def test_a_phrase_with_more_is_refused(tmp_path, rest):
    Manifest((Recording(key="a", path="a.wav", sha256="0", seconds=5.0),)).save(tmp_path / "m.jsonl")
    text, wrong = (tmp_path / "m.jsonl").read_text(), json.dumps([[1, 2, "x", *rest]])
    (tmp_path / "m.jsonl").write_text(text.replace('"narration": []', f'"narration": {wrong}'))
    with pytest.raises(ValueError, match="line 2: narration, labels or problems are malformed"):
        Manifest.load(tmp_path / "m.jsonl")
