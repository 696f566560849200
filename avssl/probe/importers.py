"""Label sets from what lies on the disk: folders, archives, manifests, torchvision's sets. Nothing is downloaded."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import shutil
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from avssl.data.labels import attach, folders_of, read_labels
from avssl.data.manifest import Manifest, Recording, make
from avssl.probe.examples import Example, Examples, content_of, kinds_of, known

TORCHVISION = "torchvision:"
PICKLED = frozenset({"CIFAR10", "CIFAR100", "LSUN", "LSUNClass"})
"""torchvision's classes that unpickle what lies on the disk"""
NAMES = {"train": ("train", "trainval"), "val": ("val", "valid"), "test": ("test",)}
"""part -> what torchvision's classes call it"""
ARCHIVES = (".tar", ".tar.gz", ".tgz")
ESC = re.compile(r"(?P<fold>[1-9])-(?P<source>\d+)(-[A-Z])?(-\d+)?")
"""ESC-10 and ESC-50: fold, Freesound clip, take, and in newer ones the class"""
JUDGED = 0.1
"""share of each class that judges, and share that chooses, where nobody says which"""
DIGITS = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_\d+")
"""the Free Spoken Digit Dataset"""


def read(spec: str, room: Path, *, label: str = "", labels: Path | None = None) -> Examples:
    """The label set that ``spec`` names.

    Args:
        spec: a manifest (.jsonl); a folder of class folders, with or without train and test above them; such a folder
            as .tar or .tar.gz; ESC-10's folder (its folds are used); the Free Spoken Digit Dataset's (speakers are its
            folds); a folder of recordings with ``labels``; or torchvision:NAME:ROOT.
        room: an existing folder where archives are unpacked and torchvision's pictures are laid out.
        label: which label of a manifest or table; ``kind``, or the first in the alphabet.
        labels: TSV with a path or clip column and the labels; a split column tells the parts.

    Raises ValueError where there is no such thing, or nothing in it is labeled.
    """
    if spec.startswith(TORCHVISION):
        return _torchvision(spec, room)
    path = Path(spec)
    if not path.exists():
        raise ValueError(f"{spec}: no such file or folder; nothing is downloaded, so put the data there")
    if path.name.endswith(ARCHIVES):
        return folder(_unpacked(path, room), _stem(path))
    if path.is_file():
        return manifest(Manifest.load(path), path.stem, label, labels)
    if labels is not None:
        return manifest(make(path), path.resolve().name, label, labels)
    return folder(path, path.resolve().name)


def manifest(held: Manifest, name: str, label: str, table: Path | None) -> Examples:
    """The labeled recordings of a manifest; ``table`` replaces its labels and splits."""
    recordings: list[Recording] = list(held.recordings)
    if table is not None:
        recordings, _ = attach(recordings, read_labels(table), table)
    names = {key for recording in recordings for key in recording.labels}
    chosen = label or ("kind" if "kind" in names else min(names, default=""))
    if chosen not in names:
        told = f"its labels are {', '.join(sorted(names))}" if names else "it has no labels; give --labels TSV"
        raise ValueError(f"{name}: no label {chosen or 'at all'}; {told}")
    return Examples(
        f"{name}/{chosen}",
        tuple(
            Example(
                path=held.path_of(recording), name=recording.key, label=recording.labels[chosen], part=recording.split,
                kinds=_held(recording), seconds=recording.seconds, sha256=recording.sha256,
                phrases=recording.narration,
            )
            for recording in recordings
            if chosen in recording.labels
        ),
    )  # fmt: skip


def _held(recording: Recording) -> frozenset[str]:
    kinds = {"image"} if recording.video is not None else set()
    kinds |= {"video"} if recording.video is not None and not recording.is_picture else set()
    kinds |= {"audio"} if recording.audio is not None else set()
    return frozenset(kinds | ({"text"} if recording.narration else set()))


def folder(root: Path, name: str) -> Examples:
    """A folder whose files are labeled by their folder or by their name."""
    files = known(path for path in root.rglob("*") if path.is_file())
    if not files:
        raise ValueError(f"{root}: no picture, video or sound in it")
    for form, example in ((ESC, _esc), (DIGITS, _digit)):
        if all(form.fullmatch(path.stem) for path in files):
            return Examples(name, tuple(example(path, root) for path in files))
    return drawn(name, [_classed(path, root) for path in files])


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
    if not kind:
        raise ValueError(f"{path}: lies in no class folder; the folder a file lies in is its label")
    return Example(path, str(inside), kind, part, kinds=kinds_of(path))


def drawn(name: str, examples: Sequence[Example]) -> Examples:
    """A label set in which those without a part get one: a tenth of each class judges and a tenth chooses, at least one
    each where there are three.

    Of these, files of equal content count once: they would stand on both sides of the cut. Whose part is told stay as
    they are.
    """
    made: list[Example] = []
    left_out: list[str] = []
    first: dict[str, str] = {}
    for example in examples:
        if example.part:
            made.append(example)
            continue
        content = example.sha256 or content_of(example.path)
        if content in first:
            left_out.append(f"{example.path}: the same content as {first[content]}")
            continue
        first[content] = example.name
        made.append(replace(example, sha256=content))
    classes: dict[str, list[int]] = defaultdict(list)
    for place, example in enumerate(made):
        if not example.part:
            classes[example.label].append(place)
    for held in classes.values():
        held.sort(key=lambda place: hashlib.sha256(made[place].name.encode()).hexdigest())
        count = max(1, round(JUDGED * len(held))) if len(held) > 1 else 0
        choose = count if len(held) > 2 else 0
        for order, place in enumerate(held):
            part = "test" if order < count else "val" if order < count + choose else "train"
            made[place] = replace(made[place], part=part)
    return Examples(name, tuple(made), tuple(left_out))


def _unpacked(archive: Path, room: Path) -> Path:
    """The folder that an archive holds, unpacked below ``room``; done once, for each archive that was there."""
    state = archive.stat()
    about = repr((str(archive.resolve()), state.st_size, state.st_mtime_ns))
    into = room / f"{_stem(archive)}-{hashlib.sha256(about.encode()).hexdigest()[:12]}"
    done = room / f".{into.name}.done"
    if not done.exists():
        into.mkdir(parents=True, exist_ok=True)
        try:
            with tarfile.open(archive) as held:
                _unpack(held, into)
        except (tarfile.TarError, EOFError, KeyError) as error:
            raise ValueError(f"{archive}: cannot be unpacked ({error})") from None
        done.touch()
    inside = list(into.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else into


def _unpack(held: tarfile.TarFile, into: Path) -> None:
    """Contents alone: no links, devices, owners or modes. Older Pythons have no filter for that. Raises TarError, and
    KeyError for a link to nothing."""
    for member in held:
        path = into / member.name
        if not path.resolve().is_relative_to(into.resolve()):
            raise tarfile.TarError(f"{member.name} leads out of it")
        source = held.extractfile(member)
        if source is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                shutil.copyfileobj(source, file)


def _stem(archive: Path) -> str:
    """Its name without what it is packed by."""
    return archive.name.removesuffix(max((end for end in ARCHIVES if archive.name.endswith(end)), key=len))


def _torchvision(spec: str, room: Path) -> Examples:
    """torchvision:NAME:ROOT, a set that is on disk; its pictures are laid out as PNG, so that one road reads all.

    The name of each tells what is in it, so that roots that hold different ones can share a room.
    """
    from torchvision import datasets

    _, name, root = [*spec.split(":", 2), "", ""][:3]
    if name not in datasets.__all__ or not root:
        raise ValueError(f"{spec}: write torchvision:NAME:ROOT, for example torchvision:MNIST:data")
    if name in PICKLED:
        raise ValueError(f"{spec}: torchvision unpickles this set, and nothing here does; give it as class folders")
    kind = getattr(datasets, name)
    examples = []
    for part, held in _parts(kind, root, spec):
        classes = getattr(held, "classes", None)
        for place in range(len(held)):
            picture, number = held[place]
            if not isinstance(number, int) or not hasattr(picture, "save"):
                raise ValueError(f"{spec}: not pictures with one class each, so not for a probe")
            path = room / name / (part or "all") / f"{place:06d}-{_shown(picture)}.png"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                partial = path.with_suffix(f".{os.getpid()}.partial")
                picture.save(partial, format="PNG", compress_level=1)
                os.replace(partial, path)
            label = str(classes[number]) if classes and number < len(classes) else str(number)
            inside = f"{part}/{place:06d}"
            examples.append(Example(path, inside, label, part, kinds=kinds_of(path)))
    return drawn(name, examples)


def _shown(picture: Any) -> str:
    """A digest of what a picture shows."""
    told = hashlib.sha256(repr((picture.mode, picture.size, picture.getpalette())).encode())
    told.update(picture.tobytes())
    return told.hexdigest()[:12]


def _parts(kind: Callable[..., Any], root: str, spec: str) -> Iterator[tuple[str, Any]]:
    """(part, set) of a torchvision class; a part that it does not have is passed over. Where there is no test part, the
    validation part judges, as is usual for such sets."""
    takes = inspect.signature(kind).parameters
    fixed = {"download": False} if "download" in takes else {}
    wanted: list[tuple[str, dict[str, Any]]] = [("", {})]
    if "train" in takes:
        wanted = [("train", {"train": True}), ("test", {"train": False})]
    elif "split" in takes:
        wanted = [(part, {"split": called}) for part, names in NAMES.items() for called in names]
    found: dict[str, Any] = {}
    why = ""
    for part, words in wanted:
        if part in found:
            continue
        try:
            held = kind(root, **words, **fixed)
            found.update({part: held} if len(held) else {})
        except Exception as error:  # each class of torchvision's has its own for what is not there
            why = " ".join(str(error).split()).replace("You can use download=True to download it", "").strip()
    if not found:
        raise ValueError(f"{spec}: torchvision finds nothing there ({why}); nothing is downloaded")
    if "val" in found and "test" not in found:
        found["test"] = found.pop("val")
    yield from found.items()
