"""Label sets from what lies on the disk: folders, archives, manifests, torchvision's sets. Nothing is downloaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from avssl.data.audit import NO_MEDIUM, walk
from avssl.data.labels import attach, folders_of, read_labels
from avssl.data.manifest import Manifest, Recording, make
from avssl.data.suffixes import MEDIA
from avssl.probe.archives import ARCHIVES, stem, unpacked
from avssl.probe.examples import Example, Examples, kinds_of
from avssl.probe.parts import parted
from avssl.probe.torchvision_sets import PREFIX, torchvision

ESC = re.compile(r"(?P<fold>[1-9])-(?P<source>\d+)(-[A-Z])?(-\d+)?")
"""ESC-10 and ESC-50: fold, Freesound clip, take, and in newer ones the class"""
DIGITS = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_\d+")
"""the Free Spoken Digit Dataset"""
UNLABELED = "give --labels TSV, or make the manifest anew with --labels folders: a file's folder is its label"
STRAY = "lies in no class folder; the folder a file lies in is its label"


def unsaid(what: str) -> None:
    """Where nobody listens."""


def read(
    spec: str, room: Path, *, label: str = "", labels: Path | None = None, say: Callable[[str], None] = unsaid
) -> Examples:
    """The label set that ``spec`` names.

    Args:
        spec: a manifest (.jsonl); a folder of class folders, with or without train and test above them; such a folder
            as .tar or .tar.gz; ESC-10's folder (its folds are used); the Free Spoken Digit Dataset's (speakers are its
            folds); a folder of recordings with ``labels``; or torchvision:NAME:ROOT.
        room: an existing folder where archives are unpacked and torchvision's pictures are laid out.
        label: which label of a manifest or table; ``kind``, or the first in the alphabet.
        labels: TSV with a path or clip column and the labels; a split column tells the parts.
        say: told what takes long, and that ``room`` then keeps, before it is done.

    Raises ValueError where there is no such thing, or nothing in it is labeled.
    """
    packed = spec.endswith(ARCHIVES)
    if labels is not None and (spec.startswith(PREFIX) or packed):
        whose = "an archive" if packed else "a set of torchvision"
        raise ValueError(f"--labels {labels}: {spec} is {whose}, which has labels of its own; unpack it into a folder")
    if spec.startswith(PREFIX):
        return _unchosen(torchvision(spec, room, say), label)
    path = Path(spec)
    if not path.exists():
        raise ValueError(f"{spec}: no such file or folder; nothing is downloaded, so put the data there")
    if path.is_file() and not packed:
        return manifest(Manifest.load(path), path.stem, label, labels)
    if labels is not None:
        return manifest(made := make(path), path.resolve().name, label, labels, made.left_out)
    found = folder(unpacked(path, room, say), stem(path)) if packed else folder(path, path.resolve().name)
    return _unchosen(found, label)


def _unchosen(found: Examples, label: str) -> Examples:
    unused = (f"{found.name}: --label {label} chooses nothing here; a file's folder, or its name, is its label",)
    return replace(found, warnings=(*found.warnings, *unused)) if label else found


def manifest(
    held: Manifest, name: str, label: str, table: Path | None, left_out: Sequence[tuple[str, str]] = ()
) -> Examples:
    """The labeled recordings of a manifest; ``table`` replaces its labels and splits.

    Contents are those that the files have now: what the manifest tells of them is of when it was made.
    """
    recordings, warnings = list(held.recordings), list[str]()
    if table is not None:
        recordings, warnings = attach(recordings, read_labels(table), table)
    names = {key for recording in recordings for key in recording.labels}
    chosen = label or ("kind" if "kind" in names else min(names, default=""))
    if not names:
        raise ValueError("; ".join([f"{name}: nothing in it is labeled", *(warnings or [UNLABELED])]))
    if chosen not in names:
        raise ValueError(f"{name}: no label {chosen}; its labels are {', '.join(sorted(names))}")
    return parted(
        f"{name}/{chosen}",
        [
            Example(
                path=held.path_of(recording), name=recording.key, label=recording.labels[chosen], part=recording.split,
                kinds=_held(recording), seconds=recording.seconds,
                sha256="" if held.path_of(recording).is_file() else recording.sha256,
                phrases=recording.narration,
            )
            for recording in recordings
            if chosen in recording.labels
        ],
        [f"{held.root / one}: {reason}" for one, reason in left_out],
        warnings,
    )  # fmt: skip


def _held(recording: Recording) -> frozenset[str]:
    kinds = {"image"} if recording.video is not None else set()
    kinds |= {"video"} if recording.video is not None and not recording.is_picture else set()
    kinds |= {"audio"} if recording.audio is not None else set()
    return frozenset(kinds | ({"text"} if recording.narration else set()))


def folder(root: Path, name: str) -> Examples:
    """A folder whose files are labeled by their folder or by their name: the files that a manifest would list. Those
    in no class folder are left out where others are in one."""
    found = walk(root, MEDIA)
    left_out = [f"{root / one}: {reason}" for one, reason in found.left_out if reason != NO_MEDIUM]
    files = sorted(root / one for one in found.media)
    if not files:
        raise ValueError("; ".join([f"{root}: no picture, video or sound in it", *left_out[:1]]))
    classed = [_classed(path, root) for path in files]
    strays = [example.path for example in classed if not example.label]
    if 0 < len(strays) < len(files):
        left_out += [f"{path}: {STRAY}" for path in strays]
        classed = [example for example in classed if example.label]
        files = [example.path for example in classed]
    for form, example in ((ESC, _esc), (DIGITS, _digit)):
        if all(form.fullmatch(path.stem) for path in files):
            return parted(name, [example(path, root) for path in files], left_out)
    if len(strays) == len(files):
        raise ValueError(f"{files[0]}: {STRAY}")
    return parted(name, classed, left_out)


def _esc(path: Path, root: Path) -> Example:
    found = ESC.fullmatch(path.stem)
    assert found is not None
    return Example(
        path, str(path.relative_to(root)), path.parent.name, fold=found["fold"], group=found["source"],
        kinds=kinds_of(path),
    )  # fmt: skip


def _digit(path: Path, root: Path) -> Example:
    found = DIGITS.fullmatch(path.stem)
    assert found is not None
    return Example(
        path, str(path.relative_to(root)), found["digit"], fold=found["speaker"], group=found["speaker"],
        kinds=kinds_of(path),
    )  # fmt: skip


def _classed(path: Path, root: Path) -> Example:
    inside = path.relative_to(root)
    part, kind = folders_of(inside)
    return Example(path, str(inside), kind, part, kinds=kinds_of(path))
