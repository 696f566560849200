"""Files of narration: words with times of their own, cues that cannot be understood, languages, and what is written."""

from __future__ import annotations

import wave

import numpy as np
import pytest

from avssl.data import subtitles
from avssl.data.audit import NOT_TAKEN, OTHER_NARRATION
from avssl.data.manifest import make
from avssl.data.narration import Phrase
from avssl.data.spoken import Speech, said

VTT = """WEBVTT

00:00:01.000 --> 00:00:04.000
hello <00:00:02.000><c> big</c><00:00:03.000><c> world</c>

00:05.000 --> 00:00:06.000
two words
"""


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_words_inside_a_line_keep_their_times(tmp_path):
    first, second = subtitles.read(written(tmp_path / "a.vtt", VTT))
    assert first.text == "hello big world"
    assert first.words == ((1.0, 2.0, "hello"), (2.0, 3.0, "big"), (3.0, 4.0, "world"))
    assert second == Phrase(5.0, 6.0, "two words")


@pytest.mark.parametrize(
    "line", ["5 < 6 and 7 > 3", "a < b and c > d", "x<y and z>w", "I <3 you", "List<>", "1 <- 2 -> 3", "& so on"]
)
@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_what_only_looks_like_a_tag_is_said(tmp_path, line, form):
    head, point = ("1\n", ",") if form == "srt" else ("WEBVTT\n\n", ".")
    text = f'{head}00:00:01{point}000 --> 00:00:02{point}000\n<i>so</i> <font color="red">{line}</font>\n'
    (found,) = subtitles.read(written(tmp_path / f"a.{form}", text))
    assert found.text == f"so {line}"


def test_tags_are_not_said(tmp_path):
    text = (
        "WEBVTT\n\n00:01.000 --> 00:02.000\n<v.loud Anna Lee>Oh</v> <c.yellow.bg_blue>my</c> <lang en-GB>dear</lang> "
    )
    text += "<ruby>x<rt>y</rt></ruby> <b>{\\i1}so{\\i0}<br/></b><font color=#fff face='A B'>!</font>\n"
    (found,) = subtitles.read(written(tmp_path / "a.vtt", text))
    assert found.text == "Oh my dear xy so!"


def test_words_with_times_of_their_own_say_what_the_phrase_says(tmp_path):
    """Also where they hold what would be a tag if it were not escaped."""
    text = "WEBVTT\n\n00:01.000 --> 00:04.000\na &lt;loud&gt; <00:02.000><c>b &amp;lt; </c><00:03.000>5 &lt; 6\n"
    path = written(tmp_path / "a.vtt", text)
    (found,) = subtitles.read(path)
    assert found.text == "a <loud> b &lt; 5 < 6"
    assert " ".join(word for _, _, word in found.words) == found.text
    for speech in (Speech(), Speech(sentences=True)):
        (phrase,), problems = said([path], (), 10.0, speech)
        assert (phrase.text, phrase.words, problems) == (found.text, found.words, [])


def test_captions_that_roll_say_each_line_once(tmp_path):
    text = """WEBVTT

00:00:00.000 --> 00:00:02.000
 
so<00:00:01.000><c> here</c>

00:00:02.000 --> 00:00:02.010
so here
 

00:00:02.010 --> 00:00:04.000
so here
we<00:00:03.000><c> go</c>
"""
    found = subtitles.read(written(tmp_path / "a.vtt", text))
    assert [one.text for one in found] == ["so here", "we go"]
    assert found[1].words == ((2.01, 3.0, "we"), (3.0, 4.0, "go"))


def test_cues_that_cannot_be_understood_are_counted_and_not_said_by_others(tmp_path):
    srt = "1\n00:00:01,000 --> 00:00:02,000\nhello\n\n2\n00:00:xx,000 --> 00:00:04,000\nlost\n\n"
    srt += "3\n00:00:05,000 --> 00:00:07,000\nlast\n"
    found = subtitles.cues(written(tmp_path / "a.srt", srt))
    assert [one.text for one in found.phrases] == ["hello", "last"]
    assert found.lost == 1
    ass = "[Events]\nFormat: Start, End, Text\nDialogue: 0:00:01.00,0:00:02.00,good\nDialogue: soon,0:00:03.00,bad\n"
    found = subtitles.cues(written(tmp_path / "a.ass", ass))
    assert ([one.text for one in found.phrases], found.lost) == (["good"], 1)
    _, problems = said([tmp_path / "a.srt"], (), 10.0, Speech())
    assert problems == ["narration: not understood (1)"]


def test_what_is_written_is_read_again(tmp_path):
    phrases = [
        Phrase(0.5, 1.5, "a <b> & c"),
        Phrase(2.0, 3.0, "x y", ((2.0, 2.25, "x"), (2.25, 3.0, "y"))),
        Phrase(3600.0, 3661.001, "later"),
    ]
    assert subtitles.read(written(tmp_path / "a.vtt", subtitles.webvtt(phrases))) == phrases


@pytest.fixture
def two_languages(tmp_path):
    film = written(tmp_path / "film.mp4", "")
    written(tmp_path / "film.en.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\nthe bell\n")
    written(tmp_path / "film.de-AT.srt", "1\n00:00:01,000 --> 00:00:02,500\ndie Glocke\n")
    return film


def test_several_languages_stand_side_by_side(two_languages):
    found = subtitles.beside(two_languages, languages=("de", "en", "fr"))
    assert [path.name for path in found] == ["film.de-AT.srt", "film.en.vtt"]
    phrases, problems = said(found, (), 10.0, Speech(("de", "en")))
    assert phrases == (Phrase(1.0, 2.0, "the bell"), Phrase(1.0, 2.5, "die Glocke"))
    told, _ = said(found, (), 10.0, Speech(("de", "en")), "film")
    assert [one.language for one in told] == ["en", "de-at"], "which the names of their files tell"
    assert problems == []
    assert [path.name for path in subtitles.beside(two_languages)] == ["film.de-AT.srt"], "one, where none is named"


def test_a_file_that_names_no_language_is_taken_where_none_of_those_asked_for_is_there(two_languages):
    assert subtitles.beside(two_languages, languages=("fr",)) == []
    written(two_languages.with_suffix(".vtt"), "WEBVTT\n\n00:01.000 --> 00:02.000\nla cloche\n")
    assert [path.name for path in subtitles.beside(two_languages, languages=("fr",))] == ["film.vtt"]
    assert [path.name for path in subtitles.beside(two_languages, languages=("fr", "en"))] == ["film.en.vtt"]


def test_streams_inside_are_chosen_by_language():
    streams = [("ger", [Phrase(0, 1, "ja")]), ("eng", [Phrase(0, 1, "yes")]), ("", [Phrase(0, 1, "?")])]
    assert subtitles.chosen(streams, ()) == [[Phrase(0, 1, "ja", language="ger")]]
    assert subtitles.chosen(streams, ("en", "fr")) == [[Phrase(0, 1, "yes", language="eng")]]
    assert subtitles.chosen([], ()) == []


def test_the_language_that_is_not_taken_is_told(tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    with wave.open(str(folder / "a.wav"), "wb") as out:
        out.setparams((1, 2, 16000, 0, "NONE", ""))
        out.writeframes((np.sin(np.arange(32000) / 9) * 9000).astype("<i2").tobytes())
    for name in ("a.de.vtt", "a.en.vtt", "b.vtt"):
        written(folder / name, "WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n")
    assert dict(make(folder).left_out) == {"a.en.vtt": OTHER_NARRATION, "b.vtt": "narration of no recording"}
    both = make(folder, languages=("de", "en"))
    assert dict(both.left_out) == {"b.vtt": "narration of no recording"}
    assert len(both.recordings[0].narration) == 2
    neither = make(folder, languages=("fr",))
    assert {dict(neither.left_out)[name] for name in ("a.de.vtt", "a.en.vtt")} == {NOT_TAKEN}, "it has no narration"
    assert any(warning.startswith("no narration is in fr: a file's name") for warning in neither.warnings)
    assert not any("no narration" in warning for warning in both.warnings)


@pytest.mark.parametrize("name", ["film.SRT", "film.Vtt", "film.srt"])
def test_suffixes_are_those_of_any_case(tmp_path, name):
    path = tmp_path / name
    path.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nla cloche\n")
    assert subtitles.beside(tmp_path / "film.MP4") == [path]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "narration: nothing in its file (film.srt)"),
        ("these are no subtitles\nat all\n", "narration: nothing in its file (film.srt)"),
        ("1\naa:00:01,000 --> 00:00:02,000\nlost\n\n2\n00:00:02,000 --> 00:00:03,000\nkept\n",
         "narration: not understood (1)"),
        ("1\n00:00:02,000 --> 00:00:03,000\nkept\n\n2\naa:00:01,000 --> 00:00:02,000\nlost\n",
         "narration: not understood (1)"),
    ],
)  # fmt: skip
def test_files_and_cues_that_give_nothing_are_told(tmp_path, text, told):
    (tmp_path / "film.srt").write_text(text)
    phrases, problems = said([tmp_path / "film.srt"], [], 9.0, Speech(), "film")
    assert [one.text for one in phrases] == (["kept"] if "kept" in text else [])
    assert problems == [told]
