"""The list of recordings everything else starts from: what they hold, what is said, and who learns from them."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from avssl.data.further import wrong_streams
from avssl.data.narration import Phrase

VERSION = 1
ITEM_SECONDS = 10.0  # what a recording is cut into by default
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One file: a video, a sound, or a picture.

    ``seconds`` is the decoded duration, 0 for a still picture. ``video`` holds width, height, fps, frames, seconds and
    codec; ``audio`` hz, channels, seconds and codec; None where there is none. ``streams`` are further ones with the
    same clock, by name (:mod:`avssl.data.streams`): kind (picture or sound), seconds, and the path and sha256 of their
    file, or, as shares of the recording's own picture, crop. ``loudness_db`` is against full scale,
    ``stillness`` the share of pictures a second apart that do not differ. ``path`` is absolute or relative to the
    manifest's folder.
    """

    key: str
    path: str
    sha256: str
    seconds: float
    video: Mapping[str, Any] | None = None
    audio: Mapping[str, Any] | None = None
    loudness_db: float | None = None
    stillness: float | None = None
    narration: tuple[Phrase, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    split: str = "train"
    problems: tuple[str, ...] = ()
    streams: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def is_picture(self) -> bool:
        """Whether this is a single still picture."""
        return self.video is not None and self.audio is None and self.seconds == 0


@dataclass(frozen=True)
class Manifest:
    """Recordings in a fixed order, and the (path, reason) of every file that was left out.

    ``root`` is the folder that relative paths start from; ``warnings`` are for people.
    """

    recordings: tuple[Recording, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    root: Path = Path()
    warnings: tuple[str, ...] = ()

    def path_of(self, recording: Recording) -> Path:
        """Where the recording's file is."""
        return self.root / recording.path

    @cached_property
    def _digest(self) -> str:
        told = hashlib.sha256()
        for line in sorted(
            json.dumps({**_plain(r, paths=False), "problems": []}, sort_keys=True) for r in self.recordings
        ):
            told.update(line.encode())
        return told.hexdigest()

    def digest(self) -> str:
        """SHA-256 over everything that can change what is learnt: contents, spans, narration, labels, splits."""
        return self._digest

    def split(self, name: str) -> tuple[Recording, ...]:
        """The recordings of one split, in order. Raises ValueError for a split that does not exist."""
        if name not in SPLITS:
            raise ValueError(f"unknown split {name!r}; there are {', '.join(SPLITS)}")
        return tuple(recording for recording in self.recordings if recording.split == name)

    def save(self, path: Path) -> None:
        """Write JSON lines: a header, then one line per recording. The file appears whole or not at all.

        Paths are written relative to the manifest's folder where the recordings lie inside it, else absolute.
        """
        path = Path(path)
        folder = path.parent.resolve()
        header = {
            "avssl_manifest": VERSION,
            "recordings": len(self.recordings),
            "digest": self.digest(),
            "left_out": [list(pair) for pair in self.left_out],
            "warnings": list(self.warnings),
        }
        lines = [header]
        for recording in self.recordings:
            lines.append(_plain(moved(recording, self.root, folder)))
        write_whole(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read what :meth:`save` wrote. Raises ValueError naming the line that is wrong."""
        path = Path(path)
        if path.is_dir():
            raise ValueError(f"{path} is a folder; make its manifest first: avssl manifest {path} -o {path.name}.jsonl")
        wanted = f"a manifest of recordings is wanted here, made by: avssl manifest FOLDER -o {path.stem}.jsonl"
        try:
            with path.open("rb") as file:
                listed = file.read(1) == b"{"  # what is something else, a film perhaps, is not read whole
            lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n") if listed else [""]
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}; {wanted}") from None
        header = _header(lines[0])
        if "avssl_manifest" not in header:
            raise ValueError(f"{path}: not a manifest; {wanted}")
        if header["avssl_manifest"] != VERSION:
            raise ValueError(f"{path}: manifest version {header['avssl_manifest']}; this avssl reads version {VERSION}")
        recordings = [_recording(_parse(line, path, n), path, n) for n, line in enumerate(lines[1:], 2) if line.strip()]
        if len(recordings) != header.get("recordings"):
            raise ValueError(
                f"{path}: the first line promises {header.get('recordings')} recordings, the file holds "
                f"{len(recordings)}; was it cut short?"
            )
        keys: dict[str, int] = {}
        for n, recording in enumerate(recordings, 2):
            if recording.key in keys:
                raise ValueError(
                    f"{path}, line {n}: key {recording.key!r} already stands in line {keys[recording.key]}"
                )
            keys[recording.key] = n
        left_out = tuple((str(name), str(reason)) for name, reason in header.get("left_out", []))
        return cls(tuple(recordings), left_out, path.parent.resolve(), tuple(map(str, header.get("warnings", []))))


def make(
    folder: Path,
    *,
    labels: Path | None = None,
    out: Path | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    include_images: bool = True,
    languages: Sequence[str] = (),
    sentences: bool = False,
    streams: Sequence[str] = (),
) -> Manifest:
    """Look into every file of a folder, each in a process that may die, and list what can be learnt from.

    Args:
        folder: of recordings, with sub-folders, but for those that hold a file .nomedia; links that lead out of it are
            not followed.
        labels: TSV with a ``path`` or ``clip`` column; its other columns become labels, ``split`` the split. Or the
            word ``folders``: what a recording's folder is called is its label ``kind``.
        out: file the manifest is saved to.
        workers: processes; None means one per core.
        progress: told (files done, files in all).
        include_images: whether still pictures are recordings.
        languages: of narration, side by side (``clip.en.vtt`` and streams tagged so); () takes the first there is.
        sentences: cues are joined and split into sentences.
        streams: further ones, in files or folders beside a recording (``depth`` finds ``clip.depth.mkv``) or parts of
            its picture: see :func:`avssl.data.sides.wanted`.

    Raises ValueError when the folder holds nothing that can be read, or the labels cannot be.
    """
    # Reading a manifest needs no decoder, so what makes one is imported only here.
    from avssl.data import audit, spoken

    speech = spoken.Speech(tuple(languages), sentences)
    made = audit.look_over(Path(folder), labels, workers, progress, include_images, speech, streams)
    if out is not None:
        made.save(out)
    return made


def moved(recording: Recording, root: Path, folder: Path | None) -> Recording:
    """The recording for a manifest in another folder: paths are relative where they lie inside it, else absolute."""

    def there(path: str) -> str:
        full = Path(os.path.abspath(root / path))
        return str(full.relative_to(folder) if folder is not None and full.is_relative_to(folder) else full)

    beside = {
        name: {**row, "path": there(row["path"])} if "path" in row else row for name, row in recording.streams.items()
    }
    return replace(recording, path=there(recording.path), streams=beside)


def write_whole(path: Path, text: str) -> None:
    """Write a text file that appears under its name only when it is complete and on disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        if error.filename is None:
            raise
        # not the file beside it, of which nobody has heard
        raise type(error)(error.errno, error.strerror, str(path)) from None
    finally:
        with suppress(OSError):
            partial.unlink()


def few(recordings: Iterable[Recording], least: int = 200) -> str | None:
    """A warning when there are too few items to learn from, else None."""
    learnt = [recording for recording in recordings if recording.split == "train"]
    if learnt and all(recording.is_picture for recording in learnt):
        return f"few pictures to learn from ({len(learnt)}): add some" if len(learnt) < least else None
    count = sum(max(1, math.ceil(recording.seconds / ITEM_SECONDS)) for recording in learnt)
    if count >= least:
        return None
    return (
        f"few recordings ({count} items to learn from): add some, or begin with pretrained encoders "
        "(configs/pretrained.yaml, of narrated videos)"
    )


def _plain(recording: Recording, paths: bool = True) -> dict[str, Any]:
    """What a line of the file holds; without ``paths``, what of it can change what is learnt."""
    values = dict(vars(recording))
    if not paths:
        values["path"] = ""
    if recording.streams:
        rows = recording.streams.items()
        values["streams"] = {name: {k: v for k, v in row.items() if paths or k != "path"} for name, row in rows}
    else:  # as manifests were before there were any, whose digests stay
        del values["streams"]
    values["narration"] = [phrase.row(language=paths) for phrase in recording.narration]
    values["problems"] = list(recording.problems)
    values["labels"] = dict(recording.labels)
    return values


def _header(line: str) -> dict[str, Any]:
    """The first line of a manifest; empty where it is no such line."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _parse(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: not JSON ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}, line {number}: expected an object, got {type(values).__name__}")
    return values


def _recording(values: dict[str, Any], path: Path, number: int) -> Recording:
    wrong = f"{path}, line {number}"
    known = set(Recording.__dataclass_fields__)
    if unknown := set(values) - known:
        raise ValueError(f"{wrong}: unknown field {min(unknown)!r}; known: {', '.join(sorted(known))}")
    for name, kinds in (("key", str), ("path", str), ("sha256", str), ("seconds", (int, float))):
        if not isinstance(values.get(name), kinds):
            raise ValueError(f"{wrong}: {name} is {values.get(name)!r}; every recording has one")
    if not 0 <= values["seconds"] < float("inf"):
        raise ValueError(f"{wrong}: seconds is {values['seconds']}; a duration is finite and not negative")
    if values.get("split", "train") not in SPLITS:
        raise ValueError(f"{wrong}: split is {values['split']!r}; one of {', '.join(SPLITS)}")
    for name in ("video", "audio"):
        if not isinstance(values.get(name), dict | None):
            raise ValueError(f"{wrong}: {name} is {values[name]!r}; expected an object or null")
    if told := wrong_streams(values.get("streams", {})):
        raise ValueError(f"{wrong}: {told}")
    try:
        phrases = tuple(Phrase.of(item) for item in values.get("narration", []))
        labels = {str(name): str(value) for name, value in values.get("labels", {}).items()}
        problems = tuple(map(str, values.get("problems", [])))
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"{wrong}: narration, labels or problems are malformed ({error})") from None
    return Recording(**{**values, "narration": phrases, "labels": labels, "problems": problems})
