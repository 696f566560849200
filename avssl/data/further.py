"""Whether what a manifest says of a recording's further streams can be so."""

from __future__ import annotations

import math
from typing import Any


def wrong_streams(rows: Any) -> str | None:
    """What is wrong with the further streams of a recording, or None."""
    if not isinstance(rows, dict):
        return f"streams is {rows!r}; expected an object: name -> stream"
    for name, row in rows.items():
        if not isinstance(row, dict) or row.get("kind") not in ("picture", "sound"):
            return f"stream {name} is {row!r}; expected an object whose kind is picture or sound"
        box, values = row.get("crop"), row.get("range")
        if "path" not in row and box is None:
            return f"stream {name} has neither a path nor a crop"
        if "path" in row and not (isinstance(row["path"], str) and isinstance(row.get("sha256"), str)):
            return f"stream {name}: path and sha256 must be text"
        if box is not None and not (_numbers(box, 4) and 0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
            return f"stream {name}: crop is {box!r}; expected left, top, right, bottom as shares of the picture"
        if values is not None and not (_numbers(values, 2) and values[0] < values[1]):
            return f"stream {name}: range is {values!r}; expected the lowest and the highest value"
        for key in ("seconds", "folder_fps"):
            if key in row and not (_numbers([row[key]], 1) and row[key] >= 0):
                return f"stream {name}: {key} is {row[key]!r}; expected a number, not negative"
    return None


def _numbers(values: Any, count: int) -> bool:
    """Whether these are so many finite numbers."""
    return (
        isinstance(values, list | tuple) and len(values) == count
        and all(isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in values)
    )  # fmt: skip
