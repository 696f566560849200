"""The writer of clips keeps time, sound and whole files."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avssl.data.encode import frame_rate, write_clip, write_deep


def pictures(count: int, side: int = 32, flash: int | None = None) -> list[np.ndarray]:
    return [np.full((side, side, 3), 255 if k == flash else 16, np.uint8) for k in range(count)]


def decoded(path: Path) -> tuple[list[Fraction], list[float], float, np.ndarray]:
    """Frame times, mean brightness of each frame, time of the first sample, samples [C, S]."""
    with av.open(str(path)) as container:
        frames = [(f.pts * f.time_base, float(f.to_ndarray(format="rgb24").mean())) for f in container.decode(video=0)]
    with av.open(str(path)) as container:
        blocks = list(container.decode(audio=0)) if container.streams.audio else []
    times, light = [t for t, _ in frames], [v for _, v in frames]
    if not blocks:
        return times, light, 0.0, np.zeros((1, 0))
    return times, light, float(blocks[0].pts * blocks[0].time_base), np.concatenate([b.to_ndarray() for b in blocks], 1)


@pytest.mark.parametrize(("fps", "rate"), [(12.5, Fraction(25, 2)), (29.97, Fraction(30000, 1001)), (24, Fraction(24))])
@pytest.mark.parametrize("hz", [16000, 44100])
def test_flash_and_click_are_where_they_were_put(tmp_path: Path, fps: float, rate: Fraction, hz: int) -> None:
    """A flash in one frame and a click at its time: frames at exactly k / fps, the click within 1 ms."""
    flash = 9
    at = float(flash / rate)
    sound = np.zeros(2 * hz, np.float32)
    sound[round(at * hz)] = 0.9
    write_clip(tmp_path / "a.mp4", pictures(20, flash=flash), fps, sound, hz)
    times, light, start, wave = decoded(tmp_path / "a.mp4")
    assert times == [k / rate for k in range(20)]
    assert int(np.argmax(light)) == flash
    assert light[flash] > 200 > 60 > max(light[flash - 1], light[flash + 1])
    assert abs(start + np.abs(wave[0]).argmax() / hz - at) < 1e-3
    assert wave.shape[1] >= len(sound)


def test_frames_are_taken_one_at_a_time(tmp_path: Path) -> None:
    """An endless supply would do: no more than the frame in hand is held when the next is asked for."""
    held: list[np.ndarray] = []

    def supply():
        for k in range(40):
            frame = np.full((32, 32, 3), k, np.uint8)
            held.append(frame)
            yield frame
            held.pop()

    most = 0

    def watched():
        nonlocal most
        for frame in supply():
            most = max(most, len(held))
            yield frame

    write_clip(tmp_path / "a.mp4", watched(), 10)
    assert most == 1
    assert len(decoded(tmp_path / "a.mp4")[0]) == 40


def test_odd_sizes_and_two_channels(tmp_path: Path) -> None:
    frames = [np.full((31, 45, 3), 90, np.uint8)] * 5
    tones = np.sin(np.arange(8000)[None] * np.array([[0.1], [0.3]]) * np.pi).astype(np.float32) * 0.5
    write_clip(tmp_path / "a.mp4", frames, 10, tones, 16000)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (46, 32)
    wave = decoded(tmp_path / "a.mp4")[3][:, :8000]
    for channel in range(2):
        assert np.corrcoef(wave[channel], tones[channel])[0, 1] > 0.98
    assert abs(np.corrcoef(wave[0], tones[1])[0, 1]) < 0.1


def test_a_failure_leaves_the_old_file_and_no_scraps(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_clip(path, pictures(5), 10)
    before = path.read_bytes()

    def breaks():
        yield from pictures(3)
        raise RuntimeError("the source ended badly")

    with pytest.raises(RuntimeError, match="ended badly"):
        write_clip(path, breaks(), 10)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_same_input_same_bytes(tmp_path: Path) -> None:
    sound = np.sin(np.arange(16000) * 0.2).astype(np.float32)
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / name, pictures(12, flash=5), 12.5, sound)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    for name in ("a.mkv", "b.mkv"):
        write_deep(tmp_path / name, [np.full((16, 16), 900 * k, np.uint16) for k in range(3)], 12.5)
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no frames to write to .*a\.mp4"):
        write_clip(tmp_path / "a.mp4", [], 10)
    with pytest.raises(ValueError, match=r"frame 1 .* float32 \[32, 32, 3\]; it must be uint8"):
        write_clip(tmp_path / "a.mp4", [pictures(1)[0], pictures(1)[0].astype(np.float32)], 10)
    with pytest.raises(ValueError, match=r"shape \(3, 100\); it must be"):
        write_clip(tmp_path / "a.mp4", pictures(2), 10, np.zeros((3, 100), np.float32))
    with pytest.raises(ValueError, match="fps is 0"):
        frame_rate(0)
    assert not list(tmp_path.iterdir())
