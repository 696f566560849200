"""What people know about recordings, from a table or the folders they lie in: labels, and who may learn from what."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from avssl.data.manifest import SPLITS, Recording

SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
               "test": "test", "testing": "test"}  # fmt: skip

FOLDERS, KIND = "folders", "kind"
"""the word for labels that are names of folders, and the name of such a label"""


def folders_of(path: PurePath) -> tuple[str, str]:
    """(split, class) that the folders on a relative path name; "" for what they do not."""
    splits = [SPLIT_NAMES[part.lower()] for part in path.parts[:-1] if part.lower() in SPLIT_NAMES]
    classes = [part for part in path.parts[:-1] if part.lower() not in SPLIT_NAMES]
    return (splits or [""])[0], (classes or [""])[-1]


def of_folders(recordings: Sequence[Recording], root: Path) -> list[Recording]:
    """The recordings, labeled by the folder that each lies in; train, val and test are no classes.

    Raises ValueError where none lies in one.
    """
    labeled = []
    for recording in recordings:
        _, name = folders_of(PurePath(recording.path))
        labeled.append(replace(recording, labels={KIND: name}) if name else recording)
    if not any(recording.labels for recording in labeled):
        raise ValueError(f"{root}: nothing in it lies in a class folder, such as {root / 'cat'}, so nothing is labeled")
    return labeled


def read_labels(path: Path) -> dict[str, dict[str, str]]:
    """Path, name or stem -> columns of a TSV file. Raises ValueError."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            name = next((column for column in ("path", "clip") if column in (reader.fieldnames or [])), None)
            if name is None:
                raise ValueError(
                    f"{path}: no column named path or clip; its columns: {', '.join(reader.fieldnames or [])}"
                )
            rows: dict[str, dict[str, str]] = {}
            for number, row in enumerate(reader, 2):
                told = row.pop(name) or ""
                if None in row:
                    raise ValueError(f"{path}, line {number}: more fields than columns")
                split = row.get("split")
                if split and split.lower() not in SPLIT_NAMES:
                    raise ValueError(f"{path}, line {number}: split is {split!r}; one of {', '.join(SPLITS)}")
                rows[told.removeprefix("./")] = {column: value for column, value in row.items() if value}
            return rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{path}: labels cannot be read ({reason})") from None


def attach(
    recordings: list[Recording], rows: Mapping[str, Mapping[str, str]], path: Path | None
) -> tuple[list[Recording], list[str]]:
    """The recordings with the labels and splits of their rows, and warnings. A row names a path, a name or a stem."""
    places: dict[str, list[int]] = {}
    for index, recording in enumerate(recordings):
        posix = Path(recording.path).as_posix()
        for name in {posix, Path(posix).name, Path(posix).stem, Path(posix).with_suffix("").as_posix()}:
            places.setdefault(name, []).append(index)
    result, unknown = list(recordings), []
    for name, columns in rows.items():
        at = places.get(name, [])
        if len(at) != 1:
            unknown.append(name)
            continue
        changes: dict[str, Any] = {"labels": {k: v for k, v in columns.items() if k != "split"}}
        if "split" in columns:
            changes["split"] = SPLIT_NAMES[columns["split"].lower()]
        result[at[0]] = replace(result[at[0]], **changes)
    warnings = []
    if unknown:
        warnings.append(f"{path}: {len(unknown)} of {len(rows)} rows name no recording, or several: {unknown[0]}, ...")
    return result, warnings
