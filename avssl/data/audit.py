"""Making a manifest: walk a folder, look into every file, pair narration and labels, tell what is odd."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avssl.data import apart, languages, media, narration, sides, subtitles
from avssl.data.labels import FOLDERS, attach, folders_of, of_folders, read_labels
from avssl.data.manifest import SPLITS, Manifest, Recording, few
from avssl.data.spoken import Speech, said
from avssl.data.suffixes import AUDIO, IMAGE, VIDEO

OTHER_NARRATION = "further narration of a recording that has some; --language en,de takes several languages"
NOT_TAKEN = "narration in a language that was not asked for, or named neither as its recording nor with a language"
NOT_TEXT = "a name that is not UTF-8: rename it"
NO_MEDIUM = "by its name no video, sound or picture"
NO_MEDIA = ".nomedia"
"""a file of this name says of its folder what it says to players: nothing in it is to be listed"""
SILENT_DB = -60.0
STILL = 0.95
SHORT_SECONDS = 0.5
PICTURE_SUBTITLES = frozenset(
    ["dvd_subtitle", "dvb_subtitle", "hdmv_pgs_subtitle", "dvdsub", "dvbsub", "pgssub", "xsub"]
)
Progress = Callable[[int, int], None]
"""(files done, files in all)"""


@dataclass(frozen=True)
class Seen:
    """What one file holds, as a process of its own found it."""

    sha256: str
    header: media.Header
    scan: media.Scan
    subtitles: tuple[tuple[str, list[narration.Phrase]], ...]
    """(language, phrases) of each stream of text"""


@dataclass
class Found:
    """Files of a folder: media by relative path, narration, and what is neither."""

    media: list[str] = field(default_factory=list)
    narration: set[str] = field(default_factory=set)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    names: dict[str, set[str]] = field(default_factory=dict)


def look_over(
    folder: Path,
    labels: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    include_images: bool = True,
    speech: Speech | None = None,
    streams: Sequence[str] = (),
) -> Manifest:
    """The manifest of a folder; see :func:`avssl.data.manifest.make`."""
    if not folder.is_dir():
        what = "a file, not a folder" if folder.is_file() else "no such folder"
        raise ValueError(f"{folder}: {what}; give the folder that holds the recordings")
    by_folder = labels == Path(FOLDERS)
    rows = read_labels(labels) if labels is not None and not by_folder else {}
    speech = speech or Speech()
    further = [sides.wanted(text) for text in streams]
    found = walk(folder, VIDEO | AUDIO | (IMAGE if include_images else frozenset()))
    beside_them = sides.take(found, further)
    if not found.media:
        links = sum(reason.startswith("a link") for _, reason in found.left_out)
        passed = f"; {links} links in it are not followed: copy the files, or name their folder" if links else ""
        raise ValueError(f"{folder}: no video, sound or picture in this folder (by the names of its files){passed}")
    tasks = [*found.media, *(side.path for side in beside_them)]
    results: dict[int, Seen | sides.SeenFolder | apart.Failed] = {}
    for index, result in apart.run(look_at, [str(folder / name) for name in tasks], patience, workers):
        results[index] = result
        if progress is not None:
            progress(len(results), len(tasks))
    streams_of: dict[str, dict[sides.Side, Seen | sides.SeenFolder]] = {}
    left_out = list(found.left_out)
    for index, side in enumerate(beside_them, len(found.media)):
        looked = results[index]
        if isinstance(looked, apart.Failed):
            left_out.append((side.path, looked.reason.removeprefix(f"{folder / side.path}: ")))
        elif isinstance(looked, Seen) and (reason := useless(looked)):
            left_out.append((side.path, reason))
        else:
            streams_of.setdefault(side.of, {})[side] = looked
    recordings: list[Recording] = []
    keys = _keys(found.media)
    by_content: dict[str, int] = {}  # content -> place in recordings
    spoken: set[str] = set()
    for index, name in enumerate(found.media):
        seen = results[index]
        assert not isinstance(seen, sides.SeenFolder)
        beside = subtitles.beside(folder / name, found.names[os.path.dirname(name)], speech.languages)
        spoken |= {os.path.relpath(one, folder) for one in beside}
        if isinstance(seen, apart.Failed):
            left_out.append((name, seen.reason.removeprefix(f"{folder / name}: ")))
        elif seen.sha256 in by_content:
            place = by_content[seen.sha256]
            kept, taken = recordings[place], ""
            if beside and not kept.narration:
                recordings[place] = describe(kept.path, kept.key, seen, beside, speech, Path(name).stem)
                taken = f", which takes its narration from {beside[0].name}"
            left_out.append((name, f"the same content as {kept.path}{taken}"))
        elif reason := useless(seen):
            left_out.append((name, reason))
        else:
            by_content[seen.sha256] = len(recordings)
            recordings.append(describe(name, keys[name], seen, beside, speech))
    said_in = {Path(one.path).with_suffix("").as_posix(): bool(one.narration) for one in recordings}
    stems = {Path(name).with_suffix("").as_posix() for name in found.media}
    for name in sorted(found.narration - spoken):
        plain = Path(name).with_suffix("")
        own = next((stem for stem in (plain.as_posix(), plain.with_suffix("").as_posix()) if stem in stems), None)
        if own is None:
            left_out.append((name, "narration of no recording"))
        else:
            left_out.append((name, OTHER_NARRATION if said_in.get(own, True) else NOT_TAKEN))
    if not recordings:
        raise ValueError(f"{folder}: nothing in it can be read: {left_out[0][0]}: {left_out[0][1]}")
    if further:
        recordings = [sides.described(one, streams_of.get(one.path, {}), further) for one in recordings]
    recordings, warnings = (of_folders(recordings, folder), []) if by_folder else attach(recordings, rows, labels)
    told = [*warnings, *not_found(recordings, further, speech), few(recordings)]
    return Manifest(tuple(recordings), tuple(sorted(left_out)), folder.resolve(), tuple(filter(None, told)))


def not_found(recordings: Sequence[Recording], further: Sequence[sides.Wanted], speech: Speech) -> list[str]:
    """What was asked for and no recording has, each with where it was looked for."""
    streams = {name for recording in recordings for name in recording.streams}
    spoken = {phrase.language for recording in recordings for phrase in recording.narration}
    return [
        *(f"no recording has the stream {one.name}: it is looked for beside clip.mp4, in clip.{one.name}.mkv or in "
          f"pictures in clip.{one.name}/" for one in further if one.name not in streams),
        *(f"no narration is in {tag}: a file's name (clip.{tag}.vtt), its header or its stream tells the language"
          for tag in speech.languages if not any(languages.same(one, tag) for one in spoken)),
    ]  # fmt: skip


def walk(folder: Path, suffixes: Iterable[str]) -> Found:
    """The files of a folder in order, links last; hidden ones are passed over, and folders in it that hold NO_MEDIA."""
    wanted, root = frozenset(suffixes), Path(os.path.realpath(folder))
    found = Found()
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        where = os.path.relpath(here, folder)
        where = "" if where == "." else where
        if where and NO_MEDIA in files:
            folders.clear()
            found.left_out.append((where, f"a folder that holds {NO_MEDIA}: it says that nothing in it is a recording"))
            continue
        found.names[where] = set(files)
        for name in folders:
            if os.path.islink(os.path.join(here, name)):
                found.left_out.append((os.path.join(where, name), "a link to a folder; links are not followed"))
        for name in sorted(files):
            path, suffix = os.path.join(where, name), os.path.splitext(name)[1].lower()
            if name.startswith("."):
                continue
            if path != path.encode(errors="replace").decode():
                found.left_out.append((os.fsencode(path).decode(errors="backslashreplace"), NOT_TEXT))
            elif suffix in subtitles.SUFFIXES:
                found.narration.add(path)
            elif suffix not in wanted:
                if suffix not in IMAGE:
                    found.left_out.append((path, NO_MEDIUM))
            elif leads_out(os.path.join(here, name), root):
                broken = not os.path.exists(os.path.join(here, name))
                found.left_out.append((path, f"a link that leads {'nowhere' if broken else 'out of the folder'}"))
            else:
                found.media.append(path)
    found.media.sort(key=lambda path: (os.path.islink(folder / path), path))  # of a file and a link, the file is kept
    return found


def leads_out(path: str, root: Path) -> bool:
    """Whether a file, found without following links of folders, is a link to what lies outside the root."""
    return os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(root)


def patience(path: str) -> float:
    """Seconds that a file may take (or a folder's files together): a minute, and one for every 5 MB."""
    try:
        if os.path.isdir(path):
            return 60.0 + sum(entry.stat().st_size for entry in os.scandir(path)) / 5e6
        return 60.0 + os.stat(path).st_size / 5e6
    except OSError:
        return 60.0


def look(path: str) -> Seen:
    """Everything about one file. Raises Unreadable."""
    header, scan = media.probe(path), media.scan(path)
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    streams: list[tuple[str, list[narration.Phrase]]] = []
    for index, codec, language in header.subtitles:
        if codec not in PICTURE_SUBTITLES:
            lines = [narration.Phrase(*line) for line in media.subtitles(path, index)]
            streams += [(language, lines)] if lines else []
    return Seen(sha256, header, scan, tuple(streams))


def look_at(path: str) -> Seen | sides.SeenFolder:
    """Everything about a file, or about a folder that is one stream. Raises Unreadable."""
    return sides.look_folder(path) if os.path.isdir(path) else look(path)


def useless(seen: Seen) -> str | None:
    """Why nothing can be learnt from a file that can be read, or None."""
    if not seen.scan.frames and not seen.scan.audio_seconds:
        return "holds neither picture nor sound that can be decoded"
    if not _is_picture(seen) and seen.scan.duration < SHORT_SECONDS:
        return f"too short ({seen.scan.duration:.3g} s)"
    return None


def describe(
    name: str, key: str, seen: Seen, beside: Sequence[Path] = (), speech: Speech | None = None, stem: str = ""
) -> Recording:
    """The recording of one file, with its problems and its narration: that beside it, else that inside it.

    ``stem`` is what the files beside it are named after, where that is another name.
    """
    scan, problems = seen.scan, []
    still = _is_picture(seen)
    seconds = 0.0 if still else scan.duration
    video = audio = None
    if seen.header.pictures and scan.frames:
        first = seen.header.pictures[0]
        video = {"width": first.width, "height": first.height, "fps": first.fps, "frames": scan.frames,
                 "seconds": 0.0 if still else scan.video_seconds, "codec": first.codec}  # fmt: skip
    if seen.header.sounds and scan.audio_seconds:
        sound = seen.header.sounds[0]
        audio = {"hz": sound.hz, "channels": sound.channels, "seconds": scan.audio_seconds, "codec": sound.codec}
    if video is not None and audio is None and not still:
        problems.append("no sound")
    if audio is not None and scan.loudness_db is not None and scan.loudness_db < SILENT_DB:
        problems.append("silent")
    if video is not None and not still and scan.stillness is not None and scan.stillness > STILL:
        problems.append("still")
    if scan.truncated:
        problems.append("claims more than it holds")
    if scan.errors:
        problems.append(f"decode errors ({scan.errors})")
    speech = speech or Speech()
    spoken, told = said(beside, seen.subtitles, seconds, speech, stem or Path(name).stem)
    problems += told
    return Recording(
        key=key, path=name, sha256=seen.sha256, seconds=seconds, video=video, audio=audio,
        loudness_db=scan.loudness_db, stillness=scan.stillness, narration=spoken,
        split=split_of(name, seen.sha256), problems=tuple(problems),
    )  # fmt: skip


def _is_picture(seen: Seen) -> bool:
    return seen.scan.frames == 1 and not seen.scan.audio_seconds


def _keys(names: list[str]) -> dict[str, str]:
    """Path -> key: the path without its suffix, unless two files share that."""
    stems = {name: Path(name).with_suffix("").as_posix() for name in names}
    count = Counter(stems.values())
    return {name: stem if count[stem] == 1 else Path(name).as_posix() for name, stem in stems.items()}


def split_of(name: str, sha256: str) -> str:
    """The split a folder on the path names; else eight tenths of all contents are train, one val, one test."""
    if told := folders_of(Path(name))[0]:
        return told
    place = int(sha256[:8], 16) % 10
    return "train" if place < 8 else SPLITS[place - 7]
