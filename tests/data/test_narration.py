from pathlib import Path

import pytest

from avssl.data import narration, subtitles
from avssl.data.narration import Phrase

VTT = """WEBVTT

00:00:01.000 --> 00:00:02.500
<v Anna>Hello &amp; <i>welcome</i>
again

00:00:02.000 --> 00:00:04.000
overlaps

00:00:05.000 --> 00:00:05.000
no length

00:00:06.000 --> 00:00:07.000
<b></b>

00:00:07.000 --> 00:00:08.000
same

00:00:08.000 --> 00:00:09.000
same
"""
SRT = """1
00:00:01,000 --> 00:00:02,500
<font color=red>Grüß</font> &lt;dich&gt;

2
00:01:00,000 --> 00:01:01,000
لاحقاً 你好
"""
ASS = """[Script Info]
ScriptType: v4.00+

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,not said
Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\pos(1,2)\\i1}first{\\i0}\\Nline, with comma
"""


def test_vtt(tmp_path: Path) -> None:
    file = tmp_path / "a.vtt"
    file.write_text(VTT, encoding="utf-8")
    said = subtitles.read(file)
    assert [(p.start, p.end, p.text) for p in said] == [
        (1.0, 2.5, "Hello & welcome again"), (2.0, 4.0, "overlaps"), (7.0, 9.0, "same"),
    ]  # fmt: skip
    counts = narration.clean(subtitles.cues(file).phrases).counts
    assert counts == {"no length": 1, "empty": 1, "repeated": 1}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_srt_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "a.srt"
    file.write_bytes(SRT.encode(encoding))
    assert [(p.start, p.text) for p in subtitles.read(file)] == [(1.0, "Grüß <dich>"), (60.0, "لاحقاً 你好")]


def test_srt_in_latin_1(tmp_path: Path) -> None:
    file = tmp_path / "a.srt"
    file.write_bytes("1\n00:00:01,000 --> 00:00:02,000\nGrüße\n".encode("latin-1"))
    assert subtitles.read(file)[0].text == "Grüße"


def test_ass(tmp_path: Path) -> None:
    file = tmp_path / "a.ass"
    file.write_text(ASS, encoding="utf-8")
    assert [(p.start, p.end, p.text) for p in subtitles.read(file)] == [(1.0, 2.5, "first line, with comma")]


def test_align_joins_words_and_keeps_their_times(tmp_path: Path) -> None:
    file = tmp_path / "a.align"
    file.write_text("0 23750 sil\n23750 29500 bin\n29500 34000 sp\n34000 47250 blue\n47250 74500 sil\n")
    assert subtitles.read(file) == [Phrase(0.95, 1.89, "bin blue", ((0.95, 1.18, "bin"), (1.36, 1.89, "blue")))]
    file.write_text("0 23750 sil\nbin 3\n")
    with pytest.raises(ValueError, match=r"a\.align, line 2: expected 'start end word', got 'bin 3'"):
        subtitles.read(file)


def test_outside_the_recording_is_clipped_or_dropped() -> None:
    cues = [Phrase(-1, 1, "early"), Phrase(4, 9, "late"), Phrase(6, 7, "after"), Phrase(-3, -1, "before")]
    found = narration.clean(cues, 5.0)
    assert [(p.start, p.end, p.text) for p in found.phrases] == [(0.0, 1, "early"), (4, 5.0, "late")]
    assert found.counts == {"clipped to the recording": 2, "outside the recording": 2}


@pytest.mark.parametrize("suffix", [".vtt", ".srt", ".ass", ".ssa"])
def test_garbage_says_nothing(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    for data in (b"", bytes(range(256)) * 4):
        file.write_bytes(data)
        assert subtitles.read(file) == []


def test_what_is_no_narration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a narration file"):
        subtitles.read(tmp_path / "a.txt")


def test_beside(tmp_path: Path) -> None:
    folder = tmp_path / "видео"
    (tmp_path / "align").mkdir()
    folder.mkdir()
    film = folder / "клип.mp4"
    assert subtitles.beside(film) == []
    (folder / "клип.en.vtt").touch()
    assert subtitles.beside(film) == [folder / "клип.en.vtt"]
    (tmp_path / "align" / "клип.align").touch()
    assert subtitles.beside(film) == [tmp_path / "align" / "клип.align"]
    (folder / "клип.srt").touch()
    assert subtitles.beside(film) == [folder / "клип.srt"]
    assert subtitles.beside(film, {"клип.vtt"}) == [folder / "клип.vtt"]


def test_words_said_inside_a_window() -> None:
    words = ((0.5, 0.7, "bin"), (0.7, 1.0, "blue"), (1.0, 1.1, "at"), (1.1, 1.5, "f"))
    timed, plain = narration.Phrase(0.5, 1.5, "bin blue at f", words), narration.Phrase(9.0, 9.5, "and more")
    # the middle of a word decides: 0.85 is inside, 1.05 is not, nor is a middle on the end
    assert narration.said_inside([timed, plain], 0.7, 1.05) == [
        narration.Phrase(0.7, 1.0, "blue", words[1:2]), plain
    ]  # fmt: skip
    assert narration.said_inside([timed], 0.0, 2.0) == [timed]
    assert narration.said_inside([timed], 0.6, 1.2)[0].text == "bin blue at"
    assert narration.said_inside([timed], 2.0, 3.0) == []
    assert narration.said_inside([], 0.0, 1.0) == []
    later = narration.Phrase(2.0, 3.0, "by two", ((2.0, 2.4, "by"), (2.4, 3.0, "two")))
    assert narration.said_inside([timed, later], 0.0, 3.0) == [timed, later], "what one ends with ends no other"
    assert [one.text for one in narration.said_inside([timed, later], 1.0, 2.3)] == ["at f", "by"]


def test_nearest() -> None:
    said = [Phrase(0, 1, "a"), Phrase(2, 6, "b"), Phrase(5, 7, "c"), Phrase(30, 31, "d")]
    assert narration.nearest(said, 5.6, 2) == ("c", "b")
    assert narration.nearest(said, 5.6, 6) == ("c", "b", "a", "d", "", "")
    assert narration.nearest(said, 5.6, 4, within_seconds=10) == ("c", "b", "a", "")
    assert narration.nearest([], 1.0, 2) == ("", "")


@pytest.mark.parametrize("folder", ["webvtt", "subrip", "ssa"])
def test_odd_subtitles_never_crash(recordings: Path, tmp_path: Path, folder: str) -> None:
    suffix = {"webvtt": ".vtt", "subrip": ".srt", "ssa": ".ass"}[folder]
    files = sorted((recordings / "edge-media" / "androidx-media" / folder).iterdir())
    read = 0
    for file in files:
        copy = tmp_path / f"{file.name}{suffix}"
        copy.write_bytes(file.read_bytes())
        read += bool(subtitles.read(copy))
    assert read >= len(files) - 2
