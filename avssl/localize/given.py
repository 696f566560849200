"""Score maps that somebody made for the items of a released list, and masks of its things, read from files.

A map is a .npy file of numbers [h, w], or [T, h, w] whose mean over time is taken. That of an item is called KEY.npy by
its `lists.Item.key`; where the list has a key more than once (a picture with several sounds), KEY.SOUND.npy. A map that
is not of the scored size is brought to it by `score.upsample`: bilinear, also where it is larger.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath
from tokenize import TokenError

import numpy as np
from numpy.lib.format import open_memmap

from avssl.data.media import decode
from avssl.localize import score
from avssl.localize.lists import Item
from avssl.localize.masks import Floats, Mask

LARGEST = 1e100
"""of a score: sums and ranges of anything beyond may be infinite"""
LOSSY = frozenset([".jpg", ".jpeg"])
PICTURES = LOSSY | {".png"}


def names(items: Sequence[Item]) -> list[str]:
    """What the map of each item is called, without .npy: KEY, or KEY.SOUND where several items have that key.

    Raises ValueError where a picture and sound are listed twice, so that two maps would have one name, and for a key
    that is no name of a file.
    """
    shared = Counter(item.key for item in items)
    found = [item.key if shared[item.key] == 1 else f"{item.key}.{item.sound}" for item in items]
    twice, times = Counter(found).most_common(1)[0]
    if times > 1:
        raise ValueError(f"{times} items of the list are called {twice}: no file can be told to be the map of one")
    for name in found:
        if PurePath(name).name != name:
            raise ValueError(f"the list calls an item {name!r}, which is no name of a file")
    return found


def maps_of(folder: Path, items: Sequence[Item]) -> list[Path]:
    """The file of each item's map. Raises ValueError that names the first that is missing, and how many are."""
    held = {path.name: path for path in _files(folder, {".npy"}, inside=False)}
    wanted = [f"{name}.npy" for name in names(items)]
    _all_there(folder, [name for name in wanted if name not in held], len(items), "map")
    return [held[name] for name in wanted]


def any_maps(folder: Path) -> list[Path]:
    """The maps in a folder and the folders in it, whatever they are called."""
    return _files(folder, {".npy"}, inside=True)


def masks_of(folder: Path, items: Sequence[Item]) -> list[Path]:
    """The file of each item's mask, in the folder or in the folders in it, as released sets have them.

    Raises ValueError where some are missing, or where a name that is wanted is there twice.
    """
    held: dict[str, list[Path]] = {}
    for path in _files(folder, PICTURES, inside=True):
        held.setdefault(path.name, []).append(path)
    _all_there(folder, [item.mask for item in items if item.mask not in held], len(items), "mask")
    for item in items:
        if len(held[item.mask]) > 1:
            first, second, *_ = held[item.mask]
            raise ValueError(f"{first} and {second} are both called as the mask of {item.key} is; leave one")
    return [held[item.mask][0] for item in items]


def read_map(path: Path) -> Floats:
    """One map at the scored size [H, W]. Raises ValueError that names the file for what is none."""
    try:
        with open(path, "rb"):  # what may not be read is told as such
            held = open_memmap(path, mode="r")
    except (ValueError, EOFError, TypeError, OverflowError, SyntaxError, TokenError) as error:
        why = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise ValueError(f"{path} is no .npy file of numbers: {why}") from None
    if held.dtype.kind not in "fiub":
        raise ValueError(f"{path} holds {held.dtype}; a map holds real numbers")
    if held.ndim not in (2, 3) or held.size == 0:
        raise ValueError(f"{path} has shape {held.shape}; a map is [h, w], or [T, h, w] of which the mean is taken")
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is told below
        values = np.asarray(held, dtype=np.float64)
    if not (np.abs(values) <= LARGEST).all():
        raise ValueError(f"{path} holds NaN, infinity or a number beyond {LARGEST:g}; every score must be finite")
    return score.upsample(values.mean(axis=0) if values.ndim == 3 else values, score.SCORING_SIZE)


def read_mask(path: Path) -> Mask:
    """One mask at the scored size [H, W], of each pixel's nearest one.

    Of a PNG all that is not black (in 8 bits) is marked, so that masks of 0 and 1, of 0 and 255 and in colors are read
    alike; of a JPEG, whose edges are blurred into what is black, what is brighter than 127 of 255.

    Raises ValueError for what is no picture.
    """
    picture = decode(path, times=(0.0,), strict=True).video[0].max(axis=0)  # [h, w], the brightest channel
    marked = picture > (127 if path.suffix.lower() in LOSSY else 0)
    rows, columns = (
        ((np.arange(pixels) + 0.5) * (cells / pixels)).astype(np.int64)
        for pixels, cells in zip(score.SCORING_SIZE, marked.shape, strict=True)
    )
    return np.asarray(marked[np.ix_(rows, columns)])


def _files(folder: Path, suffixes: set[str] | frozenset[str], inside: bool) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder}: {'a file; name a folder' if folder.exists() else 'no such folder'}")
    paths = sorted(folder.rglob("*") if inside else folder.iterdir())
    found = [path for path in paths if path.suffix.lower() in suffixes and path.is_file()]
    if not found:
        raise ValueError(f"{folder} holds no {' or '.join(sorted(suffixes))} file")
    return found


def _all_there(folder: Path, missing: Sequence[str], items: int, what: str) -> None:
    if missing:
        raise ValueError(f"{folder / missing[0]} is missing: {len(missing)} of {items} items have no {what}")
