"""What people know about recordings, from a table: labels, and who may learn from what."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from avssl.data.manifest import SPLITS, Recording

SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
               "test": "test", "testing": "test"}  # fmt: skip


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
        raise ValueError(f"{path}: labels cannot be read ({error})") from None


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
