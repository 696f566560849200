"""Items of a manifest, and one item as a sample: the pictures, sound and words that a method asked for."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from avssl.data import cache, streams, windows
from avssl.data.manifest import Manifest, Recording
from avssl.data.media import Decoded, Unreadable, decode
from avssl.data.narration import Phrase
from avssl.sample import Needs, Sample

LEAST_SECONDS = 0.3  # a stream that is shorter is a stray packet or a cover
LOST_SECONDS = 0.5  # pictures missing for longer than this make a sample unusable


class Item(NamedTuple):
    """A segment of a recording: ``start`` and ``end`` in seconds of presentation time."""

    recording: int
    start: float
    end: float


class Items:
    """The items of one split (or of all, with ``split`` None) that have what ``needs`` asks for.

    A recording longer than ``item_seconds`` is cut into equal items. ``report`` says how many recordings were passed
    over, and why. Raises ValueError when nothing is left.
    """

    def __init__(self, manifest: Manifest, split: str | None, item_seconds: float, needs: Needs):
        if not item_seconds > 0:
            raise ValueError(f"item_seconds is {item_seconds}; it must be above 0")
        self.root = manifest.root
        values = {recording.labels[needs.label] for recording in manifest.recordings if needs.label in recording.labels}
        self.classes = sorted(values)
        """values of the label that is needed, over all splits, so that a number means the same in each"""
        self.recordings: list[Recording] = []
        self.items: list[Item] = []
        passed: Counter[str] = Counter()
        found = manifest.recordings if split is None else manifest.split(split)
        for recording in found:
            reason = lacking(recording, needs)
            if reason:
                passed[reason] += 1
                continue
            self.items += [Item(len(self.recordings), *span) for span in cut(span_of(recording, needs), item_seconds)]
            self.recordings.append(recording)
        self.report: dict[str, int] = dict(passed)
        if not self.items:
            parts = ["sound"] * (needs.audio_seconds > 0) + ["picture"] * (needs.frames > 0)
            wanted = " and ".join(needs.streams or parts) or "anything"
            held = f"{len(found)} recordings" + "".join(f", {n} {reason}" for reason, n in passed.items())
            if needs.streams:
                names = sorted({name for recording in found for name in recording.streams})
                held += f"; streams the manifest names: {', '.join(names) or 'none (avssl manifest --stream NAME)'}"
            if needs.label and set(passed) == {f"without the label {needs.label}"}:
                wanted = f"the label {needs.label}"
                held += "; data.labels=folders (avssl manifest --labels folders) labels each by the folder it lies in, "
                held += "data.labels=LABELS.tsv by a table"
            raise ValueError(f"no recording with {wanted} in {f'the {split} split' if split else 'all splits'}: {held}")

    def __len__(self) -> int:
        return len(self.items)

    def shorter_than(self, seconds: float) -> int:
        """How many items hold no whole window of so many seconds, to a tenth of it."""
        return sum(item.end - item.start < 0.9 * seconds for item in self.items)

    def __getitem__(self, index: int) -> Item:
        return self.items[index]

    def recording(self, index: int) -> Recording:
        """The recording an item is part of."""
        return self.recordings[self.items[index].recording]

    def path(self, index: int) -> Path:
        """The file an item is part of."""
        return self.root / self.recording(index).path

    def track(self, number: int, name: str) -> streams.Track:
        """A stream of the recording of that number, which has it."""
        found = streams.track(self.root, self.recordings[number], name)
        assert found is not None, "recordings without a stream that is needed are passed over"
        return found

    def phrases(self, index: int) -> list[Phrase]:
        """The phrases whose middle lies in the item."""
        item = self.items[index]
        return [phrase for phrase in self.recording(index).narration if item.start <= phrase.middle < item.end]


def lacking(recording: Recording, needs: Needs) -> str | None:
    """Why a recording cannot give what is needed, or None."""
    if needs.streams:
        return _lacking_stream(recording, needs)
    alone = (recording.video is None) != (recording.audio is None)
    may_lack = needs.may_lack if alone and (recording.narration or not needs.narrations) else ()
    if needs.frames and recording.video is None and "video" not in may_lack:
        return "without picture"
    if needs.audio_seconds > 0 and recording.audio is None and "audio" not in may_lack:
        return "without sound"
    if needs.label and needs.label not in recording.labels:
        return f"without the label {needs.label}"
    if needs.frames > 1 and recording.is_picture:
        return "a single picture"
    for part, held in (("picture", recording.video if needs.frames > 1 else None), ("sound", recording.audio)):
        wanted = part == "picture" or needs.audio_seconds > 0
        if wanted and held is not None and held.get("seconds", recording.seconds) < LEAST_SECONDS:
            return f"with hardly any {part}"
    return None


def _lacking_stream(recording: Recording, needs: Needs) -> str | None:
    for name in needs.streams:
        kind = streams.kind_of(recording, name)
        if kind is None:
            return f"without {name}"
        if not (needs.frames if kind == "picture" else needs.audio_seconds):
            return f"whose {name} is a {kind}, where its encoder needs a {'sound' if kind == 'picture' else 'picture'}"
        still = kind == "picture" and recording.is_picture
        if still and needs.frames > 1:
            return "a single picture"
        if not still and streams.seconds_of(recording, name) < LEAST_SECONDS:
            return f"with hardly any {name}"
    if needs.label and needs.label not in recording.labels:
        return f"without the label {needs.label}"
    return None


def span_of(recording: Recording, needs: Needs) -> float:
    """Seconds of a recording in which everything needed is there."""
    if needs.streams:
        return min(recording.seconds, *(streams.seconds_of(recording, name) for name in needs.streams))
    lengths = [recording.seconds]
    if needs.frames and recording.video is not None:
        lengths.append(float(recording.video.get("seconds", recording.seconds)))
    if needs.audio_seconds > 0 and recording.audio is not None:
        lengths.append(float(recording.audio.get("seconds", recording.seconds)))
    return min(lengths)


def cut(seconds: float, item_seconds: float) -> list[tuple[float, float]]:
    """0..``seconds`` in equal pieces of at most ``item_seconds``, as (start, end)."""
    pieces = max(1, math.ceil(seconds / item_seconds - 1e-3))
    return [(seconds * k / pieces, seconds * (k + 1) / pieces) for k in range(pieces)]


class Source:
    """Item index -> :class:`Sample`. Picklable; holds no open file.

    Args:
        items: what there is.
        needs: what each sample must hold; nothing else is decoded.
        folder: of decoded items (see :func:`avssl.data.cache.folder`), or None to decode anew each time.
    """

    def __init__(self, items: Items, needs: Needs, folder: Path | None = None):
        self.items = items
        self.needs = needs
        self.folder = folder

    def __len__(self) -> int:
        return len(self.items)

    def get(self, index: int, generator: Generator) -> Sample:
        """The sample at windows drawn by ``generator``. Raises Unreadable for bad media."""
        item = self.items[index]
        phrases = self.items.phrases(index) if self.needs.window in ("narration", "inside") else ()
        return self.at(index, windows.choose(item.start, item.end, self.needs, generator, phrases), generator)

    def at(self, index: int, starts: Sequence[float], generator: Generator | None = None) -> Sample:
        """The sample at given windows: their beginnings in seconds, on the grid of the item. Raises Unreadable.

        generator: draws which of several languages is heard where they say something at the same time; without it that
        is the first of them.
        """
        item, recording, whole = self.items[index], self.items.recording(index), self.needs
        needs = having(recording, whole)
        parts: dict[str, object] = {name: self._stream(index, name, starts) for name in whole.streams}
        if not whole.streams and (needs.frames or needs.audio_seconds > 0):
            plan = cache.Plan.of(item.start, item.end, needs, recording.is_picture)
            stored = None
            if self.folder is not None:
                stored = cache.fetch(self.folder, self.items.path(index), recording.sha256, plan, read)
            clips = []
            for start in starts:
                frames, sound = plan.window(round((start - item.start) * needs.fps), needs)
                try:
                    clip = stored.cut(frames, sound) if stored else None
                except OSError:  # another run has just made room
                    clip = None
                clips.append(clip or read(self.items.path(index), plan, frames, sound))
            if needs.frames:
                parts["video"] = torch.from_numpy(np.stack([video for video, _ in clips]))
            if needs.audio_seconds > 0:
                parts["audio"] = torch.from_numpy(np.stack([sound for _, sound in clips]))
        if whole.frames > needs.frames:
            shape = (len(starts), whole.frames, 3, whole.height, whole.width)
            parts["video"] = torch.zeros(shape, dtype=torch.uint8)
        if whole.audio_seconds > needs.audio_seconds:
            parts["audio"] = torch.zeros(len(starts), round(whole.audio_seconds * whole.hz))
        if needs.narrations:
            phrases = recording.narration if generator is None else windows.in_turns(recording.narration, generator)
            said = [windows.heard(phrases, start, needs) for start in (starts if needs.narrations_each else starts[:1])]
            parts["text"] = tuple(phrase.text for near in said for phrase in near)
            if needs.narration_times:
                times = [
                    (phrase.start - start, phrase.end - start)
                    for start, near in zip(starts, said, strict=False)
                    for phrase in near
                ]
                parts["times"] = torch.tensor(times, dtype=torch.float32)
        if needs.label:
            parts["label"] = self.items.classes.index(recording.labels[needs.label])
        lacks = ("video",) * (whole.frames > needs.frames) + ("audio",) * (whole.audio_seconds > needs.audio_seconds)
        return Sample(recording.key, index, tuple(starts), parts, lacks)

    def _stream(self, index: int, name: str, starts: Sequence[float]) -> Tensor:
        """Pictures [N, T, C, H, W] or sound [N, S] of one stream at windows that begin at ``starts``."""
        item, needs = self.items[index], self.needs
        one = self.items.track(item.recording, name)
        plan = cache.Plan.of(item.start, item.end, needs, one.still).of_stream(one.kind, one.deep)
        reader = functools.partial(_read_track, one)
        stored = cache.fetch(self.folder, one.path, one.content, plan, reader) if self.folder is not None else None
        clips: list[NDArray[Any]] = []
        for start in starts:
            frames, sound = plan.window(round((start - item.start) * needs.fps), needs)
            frames, sound = (frames, (0, 0)) if one.kind == "picture" else ((0, 0), sound)
            try:
                clip = stored.cut(frames, sound) if stored else None
            except OSError:  # another run has just made room
                clip = None
            clip = clip or reader(one.path, plan, frames, sound)
            clips.append(clip[0] if one.kind == "picture" else clip[1])
        held = np.stack(clips)
        return torch.from_numpy(one.scaled(held) if one.kind == "picture" else held)


def having(recording: Recording, needs: Needs) -> Needs:
    """The needs without what a recording may lack and does lack."""
    if not needs.may_lack:
        return needs
    return replace(
        needs,
        frames=0 if recording.video is None else needs.frames,
        audio_seconds=0.0 if recording.audio is None else needs.audio_seconds,
    )


def read(
    path: Path, plan: cache.Plan, frames: tuple[int, int], sound: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Decode grid frames [first, last) and sound samples [first, last) of a plan.

    Returns uint8 [T, 3, H, W] and float32 [S] in -1..1. Raises Unreadable.
    """
    return _read(functools.partial(decode, path), path, plan, frames, sound)


def _read_track(
    one: streams.Track, path: Path, plan: cache.Plan, frames: tuple[int, int], sound: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    return _read(one.decode, path, plan, frames, sound)


def _read(
    decoder: Callable[..., Decoded], path: Path, plan: cache.Plan, frames: tuple[int, int], sound: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    times = [plan.time(k) for k in range(*frames)]
    wanted = (sound[0] / plan.hz, (sound[1] - sound[0]) / plan.hz) if sound[1] > sound[0] else None
    got = decoder(times=times, size=(plan.height, plan.width), audio=wanted, hz=plan.hz)
    inside = [k for k, time in enumerate(times) if time < plan.end]
    if got.truncated and inside and times[inside[-1]] - got.video_times[inside[-1]] > LOST_SECONDS:
        raise Unreadable(path, f"has no picture at {times[inside[-1]]:.2f} s", "make the manifest again")
    return got.video, np.clip(got.audio, -1.0, 1.0)
