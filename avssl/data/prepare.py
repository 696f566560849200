"""Proxies: small copies of recordings that decode many times faster, and a manifest that points at them.

Pictures become H.264 with a short group of pictures, sound AAC. Every frame keeps its presentation time, so narration
and truth stay right. What is done is not done again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame

from avssl.data import apart, audit, media
from avssl.data.encode import REPEATABLE
from avssl.data.filters import MonoFilter, PictureFilter, resample
from avssl.data.manifest import Manifest, Recording, moved
from avssl.data.open import Unreadable, aspect, open_media, packets, picture_streams, sound_streams, tick, time_zero

VERSION = 1
CLOCK = 90000  # ticks per second of the proxies' pictures: any frame rate is on it to a hundredth of a millisecond
SOUND_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # of AAC; others go to the next
GAP_SECONDS = 0.02  # sound that is off by less is joined, by more is moved to where it belongs
LOST_SECONDS = 0.5


@dataclass(frozen=True)
class Order:
    """One proxy to make."""

    source: str
    target: str
    mark: str
    short_side: int
    gop: int
    crf: int
    seconds: float


def prepare(
    manifest: Manifest,
    folder: Path,
    *,
    short_side: int = 256,
    gop: int = 12,
    crf: int = 23,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Make proxies of all recordings in ``folder`` and write ``folder/manifest.jsonl``, which is returned.

    Keys, narration, labels and splits stay; recordings that cannot be copied are in ``left_out``. Still pictures and
    the files of further streams are not copied: the new manifest points at the originals. Sound is mixed to mono.

    Args:
        manifest: what to copy.
        folder: where proxies go; proxies of the same content and settings found there are kept.
        short_side: pixels; smaller pictures keep their size.
        gop: frames from one key frame to the next.
        crf: quality of the picture, lower is better.
        workers: processes; None means one per core.
        progress: told (recordings done, recordings in all).

    Raises ValueError for settings out of range, or when not one recording could be copied.
    """
    folder = Path(folder).resolve()
    if short_side < 16 or gop < 1:
        raise ValueError(f"short side {short_side} and gop {gop}: at least 16 pixels and 1 frame are needed")
    made: dict[str, Recording] = {r.key: _absolute(manifest, r) for r in manifest.recordings if r.is_picture}
    moving = [recording for recording in manifest.recordings if not recording.is_picture]
    orders = [_order(manifest, recording, folder, short_side, gop, crf) for recording in moving]
    left_out: list[tuple[str, str]] = []
    for done, (place, result) in enumerate(apart.run(copy, orders, _patience, workers), 1):
        recording, order = moving[place], orders[place]
        if isinstance(result, apart.Failed):
            left_out.append((recording.path, result.reason.removeprefix(f"{order.source}: ")))
        else:
            made[recording.key] = _proxy(_absolute(manifest, recording), order, result, folder)
        if progress is not None:
            progress(done, len(orders))
    if not made:
        raise ValueError(f"no proxy could be made in {folder}: {left_out[0][0]}: {left_out[0][1]}")
    held = tuple(made[recording.key] for recording in manifest.recordings if recording.key in made)
    told = [f"{len(left_out)} of {len(orders)} recordings could not be copied"] if left_out else []
    result_manifest = Manifest(held, tuple(sorted(left_out)), folder, tuple(told))
    result_manifest.save(folder / "manifest.jsonl")
    return result_manifest


def _order(manifest: Manifest, recording: Recording, folder: Path, short_side: int, gop: int, crf: int) -> Order:
    target = folder / (recording.key + (".mp4" if recording.video is not None else ".m4a"))
    if not Path(os.path.normpath(target)).is_relative_to(folder):
        raise ValueError(f"key {recording.key!r} leads out of {folder}; keys are names below the manifest's folder")
    source = os.path.abspath(manifest.path_of(recording))
    if os.path.realpath(target) == os.path.realpath(source):
        raise ValueError(f"{source}: the proxy would replace the original; choose another folder")
    told = repr((VERSION, recording.sha256, short_side, gop, crf)).encode()
    mark = "avssl proxy " + hashlib.sha256(told).hexdigest()[:32]
    return Order(source, str(target), mark, short_side, gop, crf, recording.seconds)


def _absolute(manifest: Manifest, recording: Recording) -> Recording:
    return moved(recording, manifest.root, None)


def _proxy(recording: Recording, order: Order, seen: audit.Seen, folder: Path) -> Recording:
    fresh = audit.describe(os.path.relpath(order.target, folder), recording.key, seen)
    told = [problem for problem in recording.problems if problem.startswith("narration")]
    return replace(
        fresh, narration=recording.narration, labels=recording.labels, split=recording.split, streams=recording.streams,
        problems=(*fresh.problems, *told),
    )  # fmt: skip


def _patience(order: Order) -> float:
    """Seconds one proxy may take."""
    return 120.0 + 20.0 * order.seconds + audit.patience(order.source)


def copy(order: Order) -> audit.Seen:
    """Make one proxy, unless it is there already, and look at what it holds. Raises Unreadable or OSError."""
    target = Path(order.target)
    if not _is_done(target, order.mark):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.stem}.{os.getpid()}.partial{target.suffix}")
        try:
            with av.open(str(partial), "w", options={"movflags": "faststart"}) as container:
                container.metadata["comment"] = order.mark
                Copier(container, order).run()
            with open(partial, "rb+") as written:
                os.fsync(written.fileno())
            _check(partial, order)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    return audit.look(str(target))


def _is_done(target: Path, mark: str) -> bool:
    if not target.is_file():
        return False
    try:
        with open_media(target) as container:
            return container.metadata.get("comment") == mark
    except Unreadable:
        return False


def _check(partial: Path, order: Order) -> None:
    got = media.scan(partial).duration
    if abs(got - order.seconds) > max(LOST_SECONDS, 0.02 * order.seconds):
        raise Unreadable(order.source, f"its proxy lasts {got:.2f} s instead of {order.seconds:.2f} s")


class Copier:
    """One pass over a recording, frame by frame, into an open container."""

    def __init__(self, container: OutputContainer, order: Order):
        self.container, self.order = container, order
        self.errors = 0
        self._video: Any = None
        self._audio: Any = None
        self._shape: tuple[int, int] = (0, 0)
        self._pictures: PictureFilter | None = None
        self._last = -1  # pts of the last frame
        self._mono = MonoFilter()
        self._hz = 0  # of the source
        self._read = 0  # its samples placed so far
        self._said = 0  # samples written
        self._resampler = AudioResampler("fltp", "mono", SOUND_HZ[-1])

    def run(self) -> None:
        """Copy everything. Raises Unreadable when nothing could be decoded."""
        order = self.order
        header = media.probe(order.source)
        with open_media(order.source) as source:
            zero = time_zero(source)
            videos, sounds = picture_streams(source)[:1], sound_streams(source)[:1]
            if videos:
                self._add_video(header.pictures[0], aspect(videos[0]))
            if sounds:
                self._add_audio(header.sounds[0].hz)
            for stream in (*videos, *sounds):
                stream.codec_context.thread_count = 1
            broken: list[Exception] = []
            for packet in packets(source, [*videos, *sounds], broken):
                self._take(packet.stream, packet, zero)
            for stream in (*videos, *sounds):
                self._take(stream, None, zero)
        if self._last < 0 and not self._read:
            raise Unreadable(order.source, "nothing in it could be decoded", "is it whole?")
        if self._read:
            self._say(None)
        for stream in (self._video, self._audio):
            if stream is not None:
                self.container.mux(stream.encode(None))

    def _add_video(self, picture: media.Picture, ratio: Fraction) -> None:
        scale = min(1.0, self.order.short_side / min(picture.width, picture.height))
        height, width = (max(16, 2 * round(side * scale / 2)) for side in (picture.height, picture.width))
        # One thread: proxies then do not depend on the machine, and many are made side by side.
        options = {"crf": str(self.order.crf), "preset": "veryfast", "threads": "1"}
        options |= {"g": str(self.order.gop), "keyint_min": str(self.order.gop), **REPEATABLE}
        stream = self.container.add_stream("h264", rate=Fraction(picture.fps).limit_denominator(1001), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, CLOCK)
        self._video, self._shape, self._pictures = stream, (height, width), PictureFilter((height, width), ratio)

    def _add_audio(self, hz: int) -> None:
        rate = next((rate for rate in SOUND_HZ if rate >= hz), SOUND_HZ[-1])
        self._hz, self._resampler = hz, AudioResampler("fltp", "mono", rate)
        # Without noise substitution what is decoded does not depend on where decoding began.
        options = {"aac_pns": "0", "aac_coder": "fast"}
        self._audio = self.container.add_stream("aac", rate=rate, layout="mono", options=options)

    def _take(self, stream: Any, packet: Any, zero: Fraction) -> None:
        try:
            frames = stream.decode(packet) if packet is not None or stream.codec_context.is_open else []
        except (FFmpegError, ValueError):
            self.errors += 1
            return
        for frame in frames:
            seconds = None if frame.pts is None else float(frame.pts * tick(stream) - zero)
            if isinstance(frame, VideoFrame):
                self._picture(frame, seconds)
            elif isinstance(frame, AudioFrame):
                self._sound(frame, seconds)

    def _picture(self, frame: VideoFrame, seconds: float | None) -> None:
        assert self._pictures is not None
        pts = self._last + CLOCK // 25 if seconds is None else round(seconds * CLOCK)
        if pts <= self._last or pts < 0:
            return
        image = np.ascontiguousarray(self._pictures(frame).transpose(1, 2, 0))
        small = VideoFrame.from_ndarray(image, format="rgb24")
        small.pts, small.time_base = pts, Fraction(1, CLOCK)
        self._last = pts
        self.container.mux(self._video.encode(small))

    def _sound(self, frame: AudioFrame, seconds: float | None) -> None:
        sound = resample(self._mono(frame), frame.sample_rate, self._hz)
        if seconds is not None:
            off = round(seconds * self._hz) - self._read
            if abs(off) > GAP_SECONDS * self._hz or not self._read:
                sound = np.concatenate([np.zeros(off, np.float32), sound]) if off > 0 else sound[-off:]
        for begin in range(0, len(sound), self._hz):
            block = np.clip(sound[begin : begin + self._hz], -1.0, 1.0)
            whole = AudioFrame.from_ndarray(np.ascontiguousarray(block[None]), format="fltp", layout="mono")
            whole.sample_rate, whole.pts, whole.time_base = self._hz, self._read, Fraction(1, self._hz)
            self._read += len(block)
            self._say(whole)

    def _say(self, frame: AudioFrame | None) -> None:
        for part in self._resampler.resample(frame):
            part.pts, part.time_base = self._said, Fraction(1, part.sample_rate)
            self._said += part.samples
            self.container.mux(self._audio.encode(part))
