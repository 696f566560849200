"""torchvision's label sets, where they lie on the disk; nothing is downloaded, nothing is unpickled."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from avssl.probe.examples import Example, Examples, kinds_of
from avssl.probe.parts import parted

PREFIX = "torchvision:"
PICKLED = frozenset({"CIFAR10", "CIFAR100", "LSUN", "LSUNClass"})
"""torchvision's classes that unpickle what lies on the disk"""
EXAMPLE = "write torchvision:NAME:ROOT, such as torchvision:MNIST:data where data/MNIST/raw holds its files"
NAMES = {"train": ("train", "trainval"), "val": ("val", "valid"), "test": ("test",)}
"""part -> what torchvision's classes call it"""


def torchvision(spec: str, room: Path, say: Callable[[str], None]) -> Examples:
    """torchvision:NAME:ROOT, a set that is on disk; its pictures are laid out as PNG, so that one road reads all, which
    is said before.

    The name of each tells what is in it, so that roots that hold different ones can share a room.
    """
    from torchvision import datasets

    _, name, root = [*spec.split(":", 2), "", ""][:3]
    if name not in datasets.__all__ or not root:
        raise ValueError(f"{spec}: {EXAMPLE}")
    if name in PICKLED:
        raise ValueError(f"{spec}: torchvision unpickles this set, and nothing here does; give it as class folders")
    kind = getattr(datasets, name)
    if "root" not in inspect.signature(kind).parameters:
        raise ValueError(f"{spec}: torchvision's {name} reads no folder; {EXAMPLE}")
    examples, laying = list[Example](), False
    for part, held in _parts(kind, root, spec):
        classes = getattr(held, "classes", None)
        for place in range(len(held)):
            picture, number = held[place]
            if not isinstance(number, int) or not hasattr(picture, "save"):
                raise ValueError(f"{spec}: not pictures with one class each, so not for a probe")
            path = room / name / (part or "all") / f"{place:06d}-{_shown(picture)}.png"
            if not path.exists():
                if not laying:
                    say(f"laying out the pictures of {spec}")
                laying = True
                path.parent.mkdir(parents=True, exist_ok=True)
                partial = path.with_suffix(f".{os.getpid()}.partial")
                picture.save(partial, format="PNG", compress_level=1)
                os.replace(partial, path)
            label = str(classes[number]) if classes and number < len(classes) else str(number)
            inside = f"{part}/{place:06d}"
            examples.append(Example(path, inside, label, part, kinds=kinds_of(path)))
    return parted(name, examples)


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
        other = getattr(kind, "splits", ())  # of EMNIST they are collections
        if other and not {called for names in NAMES.values() for called in names} & set(other):
            raise ValueError(f"{spec}: its splits are {', '.join(other)}, none a part; give one as class folders")
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
        raise ValueError(f"{spec}: torchvision finds nothing there ({why}); nothing is downloaded; {EXAMPLE}")
    if "val" in found and "test" not in found:
        found["test"] = found.pop("val")
    yield from found.items()
