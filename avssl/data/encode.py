"""Writing a video file, frame by frame, so that time and sound are exactly where the caller put them."""

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

# What x264 decides with its processor's vector code depends on where its buffers happen to lie in memory.
REPEATABLE = {"x264-params": "cpu-independent=1"}
SOUND_CHUNK = 4096  # samples pushed at once; only bounds how far sound runs ahead of the picture


def frame_rate(fps: float | Fraction) -> Fraction:
    """The exact rate meant by a number: 12.5 is 25/2, and 29.97 is the broadcast 30000/1001."""
    if fps <= 0:
        raise ValueError(f"fps is {fps}, but it must be above 0")
    if isinstance(fps, Fraction):
        return fps
    broadcast = Fraction(round(fps * 1.001) * 1000, 1001)
    if fps != round(fps) and abs(float(broadcast) - fps) < 6e-3:
        return broadcast
    return Fraction(fps).limit_denominator(1001)


def write_clip(
    path: str | Path,
    frames: Iterable[NDArray[np.uint8]],
    fps: float | Fraction,
    sound: NDArray[np.float32] | None = None,
    hz: int = 16000,
    *,
    crf: int = 23,
    gop: int = 12,
    preset: str = "veryfast",
    video_codec: str = "h264",
    audio_codec: str = "aac",
) -> None:
    """Encode frames and sound into one file, which appears under its name only when it is whole.

    Frame k is presented at k / fps seconds and sound sample 0 at 0 seconds; the encoder's own delay is written as
    samples to skip. The frames are consumed one at a time, so an hour of video needs no more memory than a second.

    Args:
        path: the file; its suffix names the container.
        frames: uint8 [H, W, 3] arrays, all of one size; odd sizes are padded to even by repeating the edge.
        fps: frames per second; a float near a broadcast rate (29.97) means that rate (30000/1001).
        sound: float32 in -1..1, [S] for one channel or [C, S]; None writes no sound stream.
        hz: rate of the sound in samples per second.
        crf: quality of the picture, lower is better.
        gop: frames from one key frame to the next.
        preset: effort of the picture's encoder (for encoders that have presets).

    Raises:
        ValueError: no frames, a frame of another shape or type, or a sound of the wrong shape.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with av.open(str(partial), "w", options=_options(path)) as container:
            _encode(
                container, iter(frames), frame_rate(fps), sound, hz, path, crf, gop, preset, video_codec, audio_codec
            )
        with open(partial, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_deep(path: str | Path, frames: Iterable[NDArray[np.uint16]], fps: float | Fraction) -> None:
    """Encode uint16 pictures [H, W] without any loss (FFV1; the suffix is .mkv); the file appears when it is whole.

    Picture k is presented at k / fps seconds. Raises ValueError for no pictures, or one of another shape or type.
    """
    path, rate = Path(path), frame_rate(fps)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with av.open(str(partial), "w", options=_options(path)) as container:
            stream: av.VideoStream | None = None
            for k, picture in enumerate(frames):
                if picture.dtype != np.uint16 or picture.ndim != 2 or (stream and picture.shape[1] != stream.width):
                    raise ValueError(
                        f"picture {k} for {path} is {picture.dtype} {list(picture.shape)}, not uint16 [H, W]"
                    )
                if stream is None:
                    added = container.add_stream("ffv1", rate=rate, options={"threads": "1"})
                    assert isinstance(added, av.VideoStream)
                    stream = added
                    stream.height, stream.width = picture.shape
                    stream.pix_fmt, stream.codec_context.time_base = "gray16le", 1 / rate
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray16le")
                frame.pts, frame.time_base = k, 1 / rate
                container.mux(stream.encode(frame))
            if stream is None:
                raise ValueError(f"there are no pictures to write to {path}")
            container.mux(stream.encode(None))
        with open(partial, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _options(path: Path) -> dict[str, str]:
    """Of the container: the same input makes the same bytes, though Matroska would draw a number for each file."""
    return {"fflags": "+bitexact"} if path.suffix in (".mkv", ".webm") else {}


def _encode(
    container: av.container.OutputContainer,
    frames: Iterator[NDArray[np.uint8]],
    rate: Fraction,
    sound: NDArray[np.float32] | None,
    hz: int,
    path: Path,
    crf: int,
    gop: int,
    preset: str,
    video_codec: str,
    audio_codec: str,
) -> None:
    first = next(frames, None)
    if first is None:
        raise ValueError(f"there are no frames to write to {path}")
    height, width = first.shape[:2]

    # One thread: the bytes then do not depend on the machine, and many clips are encoded side by side.
    options = {"crf": str(crf), "g": str(gop), "preset": preset, "threads": "1"}
    options |= REPEATABLE if video_codec == "h264" else {}
    video = container.add_stream(video_codec, rate=rate, options=options)
    assert isinstance(video, av.VideoStream)
    video.width, video.height, video.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
    video.codec_context.time_base = 1 / rate

    audio: av.AudioStream | None = None
    waves = np.zeros((1, 0), np.float32)
    if sound is not None:
        waves = np.ascontiguousarray(np.atleast_2d(sound), dtype=np.float32)
        if waves.ndim != 2 or waves.shape[0] not in (1, 2):
            raise ValueError(f"the sound for {path} has shape {sound.shape}; it must be [S], [1, S] or [2, S]")
        layout = "mono" if waves.shape[0] == 1 else "stereo"
        # FFmpeg's "fast" search is both quicker and closer to the input than its default at this rate.
        # noise substitution would make a decode after seeking differ from one from the beginning
        quick = {"aac_coder": "fast", "aac_pns": "0"} if audio_codec == "aac" else {}
        stream = container.add_stream(audio_codec, rate=hz, layout=layout, options=quick)
        assert isinstance(stream, av.AudioStream)
        audio = stream

    said = 0
    for k, picture in enumerate(_chain(first, frames)):
        if picture.shape != first.shape or picture.dtype != np.uint8 or picture.shape[2:] != (3,):
            raise ValueError(
                f"frame {k} for {path} is {picture.dtype} {list(picture.shape)}; "
                f"it must be uint8 [{height}, {width}, 3]"
            )
        if height % 2 or width % 2:
            picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts, frame.time_base = k, 1 / rate
        container.mux(video.encode(frame))
        if audio is not None:
            until = min(waves.shape[1], int((k + 1) / rate * hz) + SOUND_CHUNK)
            said = _push(container, audio, waves, said, until, hz)
    container.mux(video.encode(None))
    if audio is not None:
        _push(container, audio, waves, said, waves.shape[1], hz)
        container.mux(audio.encode(None))


def _chain(first: NDArray[np.uint8], rest: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    yield first
    yield from rest


def _push(
    container: av.container.OutputContainer,
    audio: av.AudioStream,
    waves: NDArray[np.float32],
    start: int,
    until: int,
    hz: int,
) -> int:
    """Encode samples start..until of [C, S] and return where the next call goes on."""
    for begin in range(start, until, SOUND_CHUNK):
        block = np.ascontiguousarray(waves[:, begin : min(begin + SOUND_CHUNK, until)])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=audio.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = hz, begin, Fraction(1, hz)
        container.mux(audio.encode(frame))
    return max(start, until)
