"""What a file claims to hold, read from its header."""

import os
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from avssl.data.filters import DEEP_FORMATS
from avssl.data.open import (
    aspect,
    displayed,
    nothing_to_decode,
    open_media,
    picture_streams,
    sane_fps,
    sound_streams,
    time_zero,
    upright,
)
from avssl.data.still import PICTURE_FORMATS, SINGLE_FORMATS, may_be_turned


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A video stream or still picture. Width and height are as displayed, after rotation and sample aspect ratio.

    `rotation` is in degrees counterclockwise, a multiple of 90. `fps` is the average the header claims (25 if none).
    `deep_bits` are those of a gray picture that has more than 8, else 0.
    """

    index: int
    codec: str
    width: int
    height: int
    fps: float
    rotation: int
    deep_bits: int = 0


@dataclass(frozen=True, kw_only=True)
class Sound:
    """An audio stream that can be decoded."""

    index: int
    codec: str
    hz: int
    channels: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file claims to hold, before it is decoded. Only streams with a decoder are named.

    `duration` is the header's claim in seconds (None for still pictures and where nothing is claimed). `start` is the
    presentation time of the earliest stream in seconds: time zero of every other function of this floor.
    `subtitles` are `(stream index, codec, language)`.
    """

    path: Path
    format: str
    duration: float | None
    start: float
    pictures: tuple[Picture, ...]
    sounds: tuple[Sound, ...]
    subtitles: tuple[tuple[int, str, str], ...]


def _rotations(path: str | os.PathLike[str], container: InputContainer, streams: list[VideoStream]) -> dict[int, int]:
    # Only decoded frames tell the rotation, so one frame of each stream is decoded, from the first few packets.
    found: dict[int, int] = {}
    name = container.format.name
    if not streams or (name in PICTURE_FORMATS and not may_be_turned(path, name)):
        return found
    for stream in streams:
        stream.codec_context.thread_count = 1
    try:
        for count, packet in enumerate(container.demux(streams)):
            index = packet.stream_index
            if index not in found and packet.size and isinstance(packet.stream, VideoStream):
                try:
                    for frame in packet.stream.decode(packet):
                        found[index] = upright(frame.rotation)
                except (FFmpegError, ValueError):
                    continue
            if len(found) == len(streams) or count > 64:
                break
    except (FFmpegError, OSError, ValueError):
        pass
    return found


def probe(path: str | os.PathLike[str]) -> Header:
    """What a file's header claims, and the rotation of its first decoded frame. Raises Unreadable."""
    with open_media(path) as container:
        videos, sounds = picture_streams(container), sound_streams(container)
        texts = [s for s in container.streams.subtitles if s.codec_context is not None]
        if not videos and not sounds and not texts:
            raise nothing_to_decode(path)
        still = container.format.name in SINGLE_FORMATS
        duration = None if still or not container.duration else container.duration / av.time_base
        start = float(time_zero(container))
        rotations = _rotations(path, container, videos)
        pictures = []
        for stream in videos:
            rotation = rotations.get(stream.index, 0)
            width, height = displayed(stream.codec_context.width, stream.codec_context.height, aspect(stream), rotation)
            pictures.append(
                Picture(
                    index=stream.index,
                    codec=stream.codec_context.name,
                    width=width,
                    height=height,
                    fps=sane_fps(stream),
                    rotation=rotation,
                    deep_bits=DEEP_FORMATS.get(stream.codec_context.pix_fmt or "", 0),
                )
            )
        return Header(
            path=Path(path),
            format=container.format.name,
            duration=duration,
            start=start,
            pictures=tuple(pictures),
            sounds=tuple(
                Sound(
                    index=s.index,
                    codec=s.codec_context.name,
                    hz=s.codec_context.sample_rate,
                    channels=s.codec_context.layout.nb_channels,
                )
                for s in sounds
            ),
            subtitles=tuple((s.index, s.codec_context.name, s.language or "") for s in texts),
        )
