"""Result rows in a file of JSON lines: what was asked before is not computed again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from avssl.probe.study import Row
from avssl.train.checkpoint import replace_text


def read(path: Path) -> list[Row]:
    """All rows of a file, [] where there is none yet. Raises ValueError naming a line that is no row."""
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: not JSON ({error})") from None
        if not isinstance(rows[-1], dict) or "probe" not in rows[-1]:
            raise ValueError(f"{path}, line {number}: not a row of avssl probe; choose another --rows")
    return rows


def add(path: Path, rows: Iterable[Row]) -> None:
    """Add rows below those that are there by now; the file changes whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    replace_text(path, before + "".join(json.dumps(row) + "\n" for row in rows))
