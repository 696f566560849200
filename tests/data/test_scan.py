"""A scan tells what a recording really holds."""

from __future__ import annotations

import av
import numpy as np
import pytest
from made_media import numbered, tone, write

from avssl.data.media import Unreadable, probe, scan, subtitles
from avssl.data.scan import plain_text


@pytest.mark.parametrize("name", ["mp4", "webm", "mpg", "mkv", "ntsc", "variable", "later", "ts"])
def test_duration_and_frames(media, name):
    made = media[name]
    found = scan(made.path)
    assert found.frames == len(made.frame_seconds)
    assert found.video_seconds == pytest.approx(3.0, abs=0.08 if name != "variable" else 0.4)
    assert found.audio_seconds == pytest.approx(3.0, abs=0.06)
    assert found.duration == pytest.approx(3.0, abs=0.4 if name == "variable" else 0.08)
    assert (found.errors, found.truncated) == (0, False)


def test_loudness_and_peak(tmp_path):
    path = write(tmp_path / "a.wav", video=None, audio="pcm_s16le", sound=tone(1.0, 44100, 0.5))
    found = scan(path)
    assert found.loudness_db == pytest.approx(-9.03, abs=0.05)
    assert found.peak_db == pytest.approx(-6.02, abs=0.05)
    silent = scan(write(tmp_path / "s.wav", video=None, audio="pcm_s16le", sound=np.zeros(8000, np.float32)))
    assert (silent.loudness_db, silent.peak_db) == (-120.0, -120.0)
    assert (silent.frames, silent.stillness) == (0, None)


def test_stillness(tmp_path):
    still = scan(write(tmp_path / "s.mp4", audio=None, count=100, picture=lambda _: numbered(5)))
    assert still.stillness == 1.0
    assert still.loudness_db is None
    half = scan(write(tmp_path / "h.mp4", audio=None, count=100, picture=lambda i: numbered(i // 50)))
    assert half.stillness == pytest.approx(2 / 3)
    assert scan(write(tmp_path / "m.mp4", audio=None, count=100)).stillness == 0.0


def test_long_recordings_are_scanned_by_key_frames(tmp_path):
    path = write(tmp_path / "l.mp4", audio=None, count=1750, picture=lambda i: numbered(i // 25 % 256), gop=25)
    found = scan(path)
    assert found.frames == 1750
    assert found.duration == pytest.approx(70.0, abs=0.05)
    assert found.stillness == 0.0


def test_scan_stops_when_told(media):
    found = scan(media["long"].path, max_seconds=1.0)
    assert found.duration == pytest.approx(1.0, abs=0.2)
    assert not found.truncated


def subtitled(folder, text):
    """A film with the lines of an .srt file in a stream of their own."""
    (folder / "t.srt").write_text(text)
    film = write(folder / "film.mkv", audio=None, count=50)
    path = folder / "t.mkv"
    with av.open(str(film)) as pictures, av.open(str(folder / "t.srt")) as lines, av.open(str(path), "w") as out:
        sources = [pictures.streams.video[0], lines.streams.subtitles[0]]
        targets = {source: out.add_stream_from_template(source) for source in sources}
        for source in sources:
            for packet in source.container.demux(source):
                if packet.size:
                    packet.stream = targets[source]
                    out.mux(packet)
    return path


LINES = """1
00:00:00,200 --> 00:00:00,900
the <b>bell</b>
rings

2
00:00:01,000 --> 00:00:01,500
{\\an8}a dog, barking

"""


def test_embedded_subtitles(tmp_path):
    path = subtitled(tmp_path, LINES)
    (index, codec, _), *rest = probe(path).subtitles
    assert (codec, rest) == ("srt", [])
    first, second = subtitles(path, index)
    assert first == (pytest.approx(0.2), pytest.approx(0.9), "the bell rings")
    assert second == (pytest.approx(1.0), pytest.approx(1.5), "a dog, barking")
    with pytest.raises(Unreadable, match="no subtitle stream"):
        subtitles(path, 0)


def test_markup_is_stripped():
    assert plain_text(r"{\an8\i1}Hello,\Nmy {\b1}friend{\b0}<i>!</i>\h ") == "Hello, my friend!"
    assert plain_text(r"a < b and c > d{\p1}m 0 0 l 10 10{\p0}") == "a < b and c > d"
