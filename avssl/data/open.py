"""The one place that opens a recording.

Everything read here was written by strangers: only regular local files of known container formats are opened, nothing
a file names is followed, and sizes are checked before anything is decoded.
"""

from __future__ import annotations  # packets are generic for the type checker alone

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from avssl.data import still, tiff

# One FFmpeg demuxer name each. No playlist (hls, dash, concat, sdp) is among them, nor the numbered picture sequence.
VIDEO_FORMATS = frozenset(["mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "dv", "mxf", "rm"])
SOUND_FORMATS = frozenset(["ogg", "wav", "w64", "aiff", "au", "caf", "flac", "mp3", "aac", "ac3", "eac3", "amr"])
FORMATS = still.PICTURE_FORMATS | VIDEO_FORMATS | SOUND_FORMATS | {"amrnb", "amrwb"}
MAX_PIXELS = 8192 * 4320
MAX_STREAMS = 64
MAX_SIDE = 16384
MAX_BROKEN_READS = 16  # failed reads in a row after which the rest of a file is given up
OPEN_SECONDS = 30.0  # a header that takes longer than this is not worth waiting for
_LISTS = (b"#EXTM3U", b"ffconcat", b"<MPD", b"<?xml", b"[playlist]", b"v=0")


class Unreadable(ValueError):
    """A file that cannot be read as a recording. One line: the path, what is wrong, what would be right."""

    def __init__(self, path: str | os.PathLike[str], wrong: str, right: str = "") -> None:
        super().__init__(f"{os.fspath(path)}: {wrong}" + (f"; {right}" if right else ""))


def nothing_to_decode(path: str | os.PathLike[str]) -> Unreadable:
    """The error for a file without any stream of use: too large a picture is told as such, else it is broken."""
    told = tiff.tags(path)
    claimed = still.size(path) or tiff.size(told)
    if claimed is not None and not size_is_sane(*claimed):
        return _too_large(path, *claimed)
    if kind := tiff.undecodable(told):
        return _not_decoded(path, kind)
    limit = f"a whole video or picture of at most {MAX_PIXELS // 1_000_000} million pixels, or a sound, is needed"
    return Unreadable(path, "holds no stream that can be decoded", limit)


def _too_large(path: str | os.PathLike[str], width: int, height: int) -> Unreadable:
    wrong = f"claims pictures of {width}x{height}"
    return Unreadable(path, wrong, f"at most {MAX_PIXELS // 1_000_000} million pixels are decoded; make it smaller")


def _not_decoded(path: str | os.PathLike[str], kind: str) -> Unreadable:
    return Unreadable(path, f"has {kind}, which are not decoded", "save it without compression, with 8 or 16 bits")


def _refuse_special(path: str | os.PathLike[str]) -> bytes:
    """First bytes of a regular file; Unreadable for everything else."""
    name = os.fspath(path)
    if "://" in name:
        raise Unreadable(name, "is an address", "only files on this machine are read")
    try:
        mode = os.stat(name).st_mode
        if stat.S_ISDIR(mode):
            raise Unreadable(name, "is a folder", "a media file is needed")
        if not stat.S_ISREG(mode):
            raise Unreadable(name, "is not a regular file", "pipes and devices are not read")
        with open(name, "rb") as file:
            head = file.read(still.HEAD)
    except (OSError, ValueError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(
            name, getattr(error, "strerror", None) or str(error), "a readable media file is needed"
        ) from None
    if not head:
        raise Unreadable(name, "is empty", "a media file is needed")
    if still.is_animated_webp(head):
        raise Unreadable(name, "is an animated WebP, which is not decoded", "make it a gif, png or mp4")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_LISTS):
        raise Unreadable(name, "is a playlist or text", "name the media files themselves")
    if still.is_cut(name, head):
        raise Unreadable(name, "is broken: the picture ends before its end", "a whole copy of it is needed")
    return head


@contextmanager
def open_media(path: str | os.PathLike[str]) -> Iterator[InputContainer]:
    """A recording opened for reading; Unreadable when it is not a plain, local, bounded media file."""
    head = _refuse_special(path)
    whitelist, name = ",".join(sorted(FORMATS)), still.format_of(head)
    if name == "tiff_pipe" and (kind := tiff.undecodable(tiff.tags(path))):
        raise _not_decoded(path, kind)
    try:
        container = av.open(
            os.path.realpath(path),  # absolute, so that no part of the name is taken for a protocol
            format=name,
            options={"protocol_whitelist": "file", "format_whitelist": whitelist, "max_pixels": str(MAX_PIXELS)},
            metadata_errors="replace",
            timeout=(OPEN_SECONDS, OPEN_SECONDS),
        )
    except av.error.ArgumentError:
        # FFmpeg says "invalid argument" for a format that is known, but not on the list.
        raise Unreadable(
            path, "is in no container format that is read here", "use mp4, mkv, webm, wav, png, ..."
        ) from None
    except (FFmpegError, OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Unreadable(path, f"cannot be opened as media ({reason.splitlines()[0]})", "is it whole?") from None
    with container:
        _check(path, container)
        yield container


def _check(path: str | os.PathLike[str], container: InputContainer) -> None:
    if not FORMATS & set(container.format.name.split(",")):
        raise Unreadable(path, f"container format {container.format.name} is not read", "use mp4, mkv, webm, wav, ...")
    if len(container.streams) > MAX_STREAMS:
        raise Unreadable(path, f"claims {len(container.streams)} streams", f"at most {MAX_STREAMS} are read")
    jpeg = container.format.name == "jpeg_pipe"
    for stream in container.streams.video:
        context = stream.codec_context
        if context is not None and not size_is_sane(context.width, context.height):
            raise _too_large(path, context.width, context.height)
        if context is not None:
            # Frames may be larger than the header said; a damaged JPEG would be shown with a gray or green rest.
            context.options = {"max_pixels": str(MAX_PIXELS)} | ({"err_detect": "explode"} if jpeg else {})


def size_is_sane(width: int, height: int) -> bool:
    """Whether a picture of this size may be decoded."""
    return width * height <= MAX_PIXELS and max(width, height) <= MAX_SIDE


def picture_streams(container: InputContainer) -> list[VideoStream]:
    """Video streams that can be decoded, which have a size within the limits. Cover art is none."""
    # Where pictures exceed max_pixels, FFmpeg finds no size.
    return [
        stream
        for stream in container.streams.video
        if stream.codec_context is not None
        and stream.codec_context.width > 0
        and not stream.disposition & Disposition.attached_pic
    ]


def sound_streams(container: InputContainer) -> list[AudioStream]:
    """Audio streams that can be decoded and say how fast they run."""
    return [
        stream
        for stream in container.streams.audio
        if stream.codec_context is not None
        and stream.codec_context.sample_rate > 0
        and stream.codec_context.layout.nb_channels > 0
    ]


def packets(container: InputContainer, streams: Sequence[Stream], errors: list[Exception]) -> Iterator[Packet[Any]]:
    """Packets of some streams in file order, going on after broken parts; `errors` gets one entry per failed read."""
    for stream in container.streams:
        if stream not in streams:
            stream.discard = Discard.all
    broken = 0
    while broken < MAX_BROKEN_READS:
        try:
            for packet in container.demux(*streams):
                if packet.size:
                    broken = 0
                    yield packet
                    if container.format.name in still.SINGLE_FORMATS:
                        return  # what follows is a preview, a second view, a gain map, junk
            return
        except (FFmpegError, OSError) as error:
            errors.append(error)
            broken += 1


def time_zero(container: InputContainer) -> Fraction:
    """Presentation time of the earliest stream, in seconds, exactly."""
    starts = [
        stream.start_time * tick(stream)
        for stream in (*picture_streams(container), *sound_streams(container))
        if stream.start_time is not None
    ]
    if starts:
        return min(starts)
    return Fraction(container.start_time or 0, av.time_base)


def tick(stream: Stream) -> Fraction:
    """Seconds per unit of the stream's time stamps."""
    return stream.time_base or Fraction(1, 1000)


def sane_fps(stream: VideoStream) -> float:
    """The stream's average rate; 25 where the header has none or an absurd one."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0.01 <= rate <= 240:
            return float(rate)
    return 25.0


def aspect(stream: VideoStream) -> Fraction:
    """Width of a pixel over its height; 1 where unknown or absurd."""
    ratio = stream.sample_aspect_ratio or Fraction(1)
    return Fraction(ratio) if Fraction(1, 8) <= ratio <= 8 else Fraction(1)


def displayed(width: int, height: int, ratio: Fraction, rotation: int) -> tuple[int, int]:
    """(width, height) on the screen of a stored picture."""
    width = max(1, round(width * ratio))
    return (height, width) if rotation % 180 else (width, height)


def upright(angle: float) -> int:
    """A rotation in degrees counterclockwise as the nearest of 0, 90, 180, 270."""
    return round(angle / 90) % 4 * 90 if np.isfinite(angle) else 0
