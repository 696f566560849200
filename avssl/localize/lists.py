"""Readers of the released lists of sound-localization sets: which pictures and sounds, and where the sound is.

A list is known by what it holds, not by its name:

* VGG-SS: ``[{"file", "class", "bbox"}]``, boxes as fractions of the picture; twelve ends are overflowed integers, which
  leave boxes that cover nothing.
* IS3, VPO, AVSBench as boxes: ``[{"image", "audio", "gt_box"}]``, one box in pixels of a 224 x 224 picture; a frame of
  AVSBench in which nothing sounds has a box of zeros.
* the same as masks: ``gt_box`` is the path of a mask image and ``offset`` an integer. The paths are those of the
  authors' machine, so only their last part is kept.
* ids: VGG-SS, heard and unheard (one column), Flickr-SoundNet (id and a number), and both with items that do not sound
  (columns video, audio, label).
"""

import csv
import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from avssl.localize.masks import Floats

PIXELS = 224
"""width and height of the pictures that boxes in pixels belong to"""


@dataclass(frozen=True)
class Item:
    """One picture with one sound.

    Attributes:
        key: its name; unique in most lists.
        sound: name of its sound.
        group: what the items have in common that are the same picture with different sounds.
        boxes: where the sound is [K, 4], x0, y0, x1, y1 as fractions; None where the list has none.
        mask: name of the image of the mask; "" where the list has none.
        label: class, or "".
        sounding: False for items of the lists that say that nothing in the picture sounds.
        number: the second column of Flickr-SoundNet, ``offset`` of mask lists; None elsewhere.
    """

    key: str
    sound: str
    group: str
    boxes: Floats | None = field(default=None, compare=False)
    mask: str = ""
    label: str = ""
    sounding: bool = True
    number: int | None = None


def read(path: str | Path) -> list[Item]:
    """The items of a released list, in its order.

    Raises FileNotFoundError when there is no such file and ValueError, naming the file and the item or line, for what
    is none of the lists.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a list of items (.json or .csv)")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}") from None
    items = _objects(path, text) if text.lstrip()[:1] in ("[", "{") else _lines(path, text)
    if not items:
        raise ValueError(f"{path} lists no item")
    return items


def _objects(path: Path, text: str) -> list[Item]:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply to be a list of items") from None
    if not isinstance(rows, list):
        raise ValueError(f"{path}: expected a list of items, found one {type(rows).__name__}")
    found = []
    for number, row in enumerate(rows):
        try:
            found.append(_object(row))
        except ValueError as error:
            raise ValueError(f"{path}, item {number}: {error}") from None
    return found


def _object(row: Any) -> Item:
    if not isinstance(row, dict):
        raise ValueError(f"expected an object with its boxes, found {str(row)[:40]!r}")
    if {"file", "bbox"} <= set(row):
        boxes, name = row["bbox"], _text(row, "file")
        if not isinstance(boxes, list):
            raise ValueError(f"bbox must be a list of boxes [x0, y0, x1, y1], found {str(boxes)[:40]!r}")
        inside = np.clip(np.array([_box(box) for box in boxes]).reshape(-1, 4), 0.0, 1.0)
        if len(inside) and min(map(min, boxes)) >= 0 and max(map(max, boxes)) > 2.0:
            raise ValueError(f"bbox must hold fractions of the picture, found {max(map(max, boxes)):g}")
        return Item(name, name, name, inside, label=str(row.get("class", "")))
    if not {"image", "audio", "gt_box"} <= set(row):
        raise ValueError("expected file and bbox, or image, audio and gt_box; found " + (", ".join(row) or "nothing"))
    picture, sound = (PurePosixPath(_text(row, name)).stem for name in ("image", "audio"))
    # Where each sound has a picture file of its own, their common name without the sound is the picture.
    group = picture.rpartition("_")[0] if picture == sound and "_" in picture else picture
    where = row["gt_box"]
    if isinstance(where, str):
        offset = row.get("offset")
        number = offset if isinstance(offset, int) else None
        return Item(picture, sound, group, mask=PurePosixPath(where).name, number=number)
    box = _box(where)
    if min(box) < 0 or max(box) > PIXELS:
        raise ValueError(f"gt_box must lie in 0 to {PIXELS} pixels, found {where}")
    return Item(picture, sound, group, np.array([box]) / PIXELS)


def _text(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a name, found {str(value)[:40]!r}")
    return value


def _box(value: Any) -> list[float]:
    if not isinstance(value, list) or len(value) != 4 or not all(_is_number(edge) for edge in value):
        raise ValueError(f"a box is four numbers x0, y0, x1, y1, found {str(value)[:60]}")
    return [float(edge) for edge in value]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _lines(path: Path, text: str) -> list[Item]:
    rows = [(number, row) for number, row in enumerate(csv.reader(io.StringIO(text)), 1) if row]
    header = rows[0][1] if rows else []
    extended = header[:3] == ["video", "audio", "label"]
    columns = len(header)
    found = []
    for number, row in rows[1:] if extended else rows:
        if len(row) != columns or columns > 3 or (columns == 3 and not extended):
            expected = "video,audio,label" if extended else "an id, an id and a number, or a header video,audio,label"
            raise ValueError(f"{path}, line {number}: expected {expected}, found {','.join(row)[:60]!r}")
        name, *rest = (cell.strip() for cell in row)
        if not name or any(letter.isspace() for letter in name):
            raise ValueError(f"{path}, line {number}: {name[:40]!r} is no id")
        if extended:
            sounding = rest[1] != "non-sounding"
            found.append(Item(name, rest[0], name, label=rest[1], sounding=sounding))
        elif rest and not rest[0].isdecimal():
            raise ValueError(f"{path}, line {number}: expected a whole number after the id, found {rest[0][:40]!r}")
        else:
            found.append(Item(name, name, name, number=int(rest[0]) if rest else None))
    return found
