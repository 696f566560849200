"""What strangers' files may not do: be followed, block, grow memory, or end the process."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from made_media import numbered, tone, write
from PIL import Image

from avssl.data.media import Unreadable, decode, probe, scan


def refused(path: object, *words: str) -> None:
    """All three readers say no, in one line that names the file."""
    for read in (probe, scan, lambda p: decode(p, times=[0.0], audio=(0.0, 0.1))):
        with pytest.raises(Unreadable) as caught:
            read(path)
        message = str(caught.value)
        assert "\n" not in message
        assert message.startswith(str(path))
        assert all(word in message for word in words), message


def test_what_is_no_media_file(tmp_path):
    refused(tmp_path / "nowhere.mp4", "No such file")
    refused(tmp_path, "folder")
    for name, data, word in [
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"hello, this is a text about a video\n" * 50, "cannot be opened"),
        ("noise.mp4", np.random.default_rng(0).bytes(5000), ""),
        ("subtitle.srt", b"1\n00:00:01,000 --> 00:00:02,000\nhello\n\n", "no container format"),
    ]:
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, word)
    refused("bad\0name.mp4")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    refused(tmp_path / "pipe.mp4", "not a regular file")
    refused("/dev/zero", "not a regular file")


def test_nothing_is_fetched(tmp_path):
    real = write(tmp_path / "real.mp4", count=5, audio=None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.mp4"
        refused(url, "address")
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n"
        for name, text in [
            ("list.m3u8", playlist),
            ("list.mp4", playlist),
            ("marked.mp4", "\ufeff" + playlist),
            ("local.m3u8", playlist.replace(url, str(real))),
            ("list.ffconcat", f"ffconcat version 1.0\nfile {real.name}\n"),
            ("concat.mp4", f"ffconcat version 1.0\nfile {url}\n"),
            ("dash.mpd", f'<?xml version="1.0"?><MPD><BaseURL>{url}</BaseURL></MPD>'),
            ("call.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"),
        ]:
            (tmp_path / name).write_text(text)
            refused(tmp_path / name, "playlist")
        with pytest.raises(TimeoutError):
            server.accept()


def test_name_is_never_taken_for_a_protocol(tmp_path, monkeypatch):
    real = write(tmp_path / "real.mp4", count=10, audio=None)
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a|b.mp4", "-i.mp4", "%03d.mp4", "*.mp4", "video κόσμε 世界 🎵.mp4", "data:,x"):
        os.link(real, name)
        assert decode(name, times=[0.2]).video.shape[0] == 1


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(100000))
    chunks = [struct.pack(">I", len(b) - 4) + b + struct.pack(">I", zlib.crc32(b)) for b in (body, data, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_pixel_bombs_are_refused_by_header(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_header(20000, 20000))
    refused(tmp_path / "bomb.png", "pixels")
    (tmp_path / "flat.png").write_bytes(png_header(1_000_000, 1))
    refused(tmp_path / "flat.png")
    (tmp_path / "bomb.gif").write_bytes(b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b";")
    refused(tmp_path / "bomb.gif")
    bitmap = b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 60000, 60000, 1, 24, *[0] * 6)
    (tmp_path / "bomb.bmp").write_bytes(bitmap + bytes(1000))
    refused(tmp_path / "bomb.bmp")


def test_pixel_bomb_in_a_video_is_refused(tmp_path):
    path = tmp_path / "bomb.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 8192, 4352, "gray"
        frame = av.VideoFrame(8192, 4352, "gray")
        frame.pts = 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    refused(path, "pixels")


def test_too_many_streams(tmp_path):
    path = tmp_path / "many.mkv"
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("pcm_s16le", rate=8000, layout="mono") for _ in range(70)]
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            frame.sample_rate = 8000
            out.mux(stream.encode(frame))
    refused(path, "70 streams")


def test_tags_that_are_no_utf8(tmp_path):
    path = write(tmp_path / "t.flac", video=None, audio="flac", sound=tone(0.5, 44100, 0.5), tags={"title": "QQQQQQ"})
    data = path.read_bytes()
    assert b"QQQQQQ" in data
    path.write_bytes(data.replace(b"QQQQQQ", b"\xff\xfe\xfd\xc3\x28Q"))
    assert probe(path).sounds[0].codec == "flac"
    assert decode(path, audio=(0.0, 0.4)).audio.any()


@pytest.fixture
def whole(tmp_path) -> Path:
    """Three seconds, a key frame each 12, the index in front."""
    return write(tmp_path / "whole.mp4", container={"movflags": "faststart"})


TIMES = np.arange(75) / 25 + 0.02


def test_cut_file_gives_what_it_has_and_says_so(whole):
    data = whole.read_bytes()
    whole.write_bytes(data[: (data.rindex(b"mdat") + len(data)) // 2])
    got = decode(whole, times=TIMES, size=(48, 64), audio=(0.0, 3.0))
    assert got.truncated
    have = len(np.unique(got.video_times))
    assert 15 < have < 60
    np.testing.assert_array_equal(got.video[have:], np.repeat(got.video[have - 1 : have], 75 - have, 0))
    assert not decode(whole, times=TIMES[:10], size=(48, 64)).truncated
    found = scan(whole)
    assert found.truncated
    assert 0.5 < found.duration < 2.5
    with pytest.raises(Unreadable, match="lacks"):
        decode(whole, times=TIMES, strict=True)


def test_cut_file_without_index_is_unreadable(tmp_path):
    path = write(tmp_path / "end.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "whole")


def test_zeroed_middle_costs_the_middle(whole):
    data = bytearray(whole.read_bytes())
    body = data.rindex(b"mdat") + 4
    low = body + (len(data) - body) * 2 // 5
    data[low : low + (len(data) - body) // 5] = bytes((len(data) - body) // 5)
    whole.write_bytes(data)
    got = decode(whole, times=TIMES, size=(48, 64), audio=(0.0, 3.0))
    assert got.errors > 0
    assert len(np.unique(got.video_times)) > 40
    assert got.video_times[-1] == pytest.approx(2.96)
    found = scan(whole)
    assert found.errors > 0
    assert found.duration == pytest.approx(3.0, abs=0.1)
    with pytest.raises(Unreadable, match=r"lacks|damaged"):
        decode(whole, times=TIMES[:60], size=(48, 64), strict=True)


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_never_end_in_a_crash(whole, seed):
    rng, data = np.random.default_rng(seed), bytearray(whole.read_bytes())
    body = data.rindex(b"mdat") + 4
    for place in rng.integers(body, len(data), 60):
        data[place] ^= 1 << int(rng.integers(8))
    whole.write_bytes(data)
    got = decode(whole, times=TIMES, size=(48, 64), audio=(0.0, 3.0))
    assert got.video.shape == (75, 3, 48, 64)
    assert np.isfinite(got.audio).all()
    assert scan(whole).frames > 40


@pytest.mark.parametrize("seed", range(6))
def test_flipped_header_bytes_are_read_or_refused(whole, seed):
    rng, data = np.random.default_rng(seed), bytearray(whole.read_bytes())
    for place in rng.integers(8, data.rindex(b"mdat"), 20):
        data[place] ^= 1 << int(rng.integers(8))
    whole.write_bytes(data)
    for read in (probe, scan, lambda p: decode(p, times=[0.5], size=(48, 64), audio=(0.0, 1.0))):
        with contextlib.suppress(Unreadable):
            read(whole)


def test_change_of_size_within_a_stream(tmp_path):
    parts = []
    for name, (height, width) in {"a": (48, 64), "b": (96, 128)}.items():
        zoom = (height // 48, width // 64)
        path = tmp_path / f"{name}.ts"
        write(
            path,
            audio=None,
            count=25,
            start=1.0 if name == "b" else 0.0,
            picture=lambda i, zoom=zoom: np.kron(numbered(i), np.ones((*zoom, 1), np.uint8)),
        )
        parts.append(path.read_bytes())
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(parts))
    got = decode(both, times=[0.5, 1.5], size=(48, 64))
    assert got.video.shape == (2, 3, 48, 64)


LEAK = """
import os, sys
import numpy as np
from avssl.data.media import decode
assert "torch" not in sys.modules, "reading media must not need torch"
path = sys.argv[1]
def resident():
    return int(open("/proc/self/statm").read().split()[1])
def files():
    return len(os.listdir("/proc/self/fd"))
def work(n):
    for k in range(n):
        decode(path, times=np.arange(8) / 10 + k % 10 / 5, size=(48, 64), audio=(k % 10 / 5, 0.8))
work(40)
before, open_before = resident(), files()
work(200)
print(resident() / before, files() - open_before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("name", ["mp4", "picture"])
def test_memory_and_files_stay_constant(media, tmp_path, name):
    path = media["mp4"].path if name == "mp4" else tmp_path / "a.png"
    if name == "picture":
        pixels = np.random.default_rng(0).integers(0, 255, (320, 400, 4), np.uint8)
        Image.fromarray(pixels).save(path)
    done = subprocess.run(
        [sys.executable, "-c", LEAK, str(path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    growth, files = done.stdout.split()
    assert float(growth) < 1.05
    assert int(files) == 0
