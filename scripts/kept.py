"""What scripts have in common: rows that are kept from one start to the next, and one line for what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from avssl import cli
from avssl.train.checkpoint import replace_text


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows that were kept; none where there is no such file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines]


def keep(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write all rows, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, "".join(json.dumps(one) + "\n" for one in rows))


def start(main: Callable[[], None]) -> None:
    """Run a script; a ValueError ends it with one line."""
    cli.settle_threads()
    try:
        main()
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
