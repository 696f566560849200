"""What scripts have in common: rows that are kept from one start to the next, the runs of a comparison told one after
the other, and one line for what goes wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avssl import cli
from avssl.config import RunConfig
from avssl.train import build
from avssl.train.checkpoint import replace_text

SETTINGS = ("method", "inputs", "encoders", "optim", "precision")
"""parts of a configuration by which, and by its batch, a row is known to be of today's"""
BREAK_SECONDS, BREAK_STEPS = 60.0, 20
"""a run that told nothing for so long, and for the time of so many of its usual lines, was interrupted"""


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows that were kept; none where there is no such file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines]


def keep(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write all rows, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, "".join(json.dumps(one) + "\n" for one in rows))


def of_today(row: dict[str, Any], cfg: RunConfig) -> bool:
    """Whether a row's run had the settings that ``cfg`` has, as far as it tells them in ``run``; what it does not tell
    came later, and is of today where ``cfg`` has it at its default."""
    if "run" not in row:
        return True
    try:
        told = build.dump(build.parse(row["run"], "a kept row"))
    except ValueError:  # it has an option, or a value, that is gone
        return False
    today = build.dump(cfg)
    return all(told[part] == today[part] for part in SETTINGS) and told["data"]["batch"] == today["data"]["batch"]


def seconds_at(folder: Path) -> tuple[list[int], list[float]]:
    """Steps that were logged, and how long the run had trained by then; time in which it was interrupted left out."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    told = [line for line in lines if "time" in line]
    gaps = np.diff([line["time"] for line in told], prepend=told[0]["time"])
    usual = float(np.median(gaps[1:])) if len(gaps) > 1 else 0.0
    gaps[gaps > BREAK_SECONDS + BREAK_STEPS * usual] = usual
    return [line["step"] for line in told], np.cumsum(gaps).tolist()


def trained(folder: Path) -> float:
    """Seconds that a run has trained, in however many parts."""
    return seconds_at(folder)[1][-1]


class Turns:
    """The runs of a comparison: tells which comes next and how long the rest takes, and keeps what failed."""

    def __init__(self, total: int):
        self.total = total
        self._began, self._worked = time.monotonic(), 0
        self._failed: list[str] = []

    def begin(self, number: int, what: str, steps: int) -> None:
        """Run ``number``, counted from 0 and with those that have a row already, is next."""
        each = (time.monotonic() - self._began) / self._worked if self._worked else 0.0
        left = f", {each * (self.total - number) / 60:.0f} min left" if self._worked else ""
        print(f"\n[{number + 1}/{self.total}{left}] {what}: {steps} steps", flush=True)

    def done(self) -> None:
        """A run has its row."""
        self._worked += 1

    def fail(self, what: str, error: ValueError) -> None:
        """A run has none; the others are no worse for it."""
        self._failed.append(f"{what}: {error}")
        print(f"error: {self._failed[-1]}", flush=True)

    def end(self) -> None:
        """Raise ValueError where runs have failed."""
        if self._failed:
            raise ValueError(f"{len(self._failed)} of {self.total} runs have no row: {'; '.join(self._failed)}")


def start(main: Callable[[], None]) -> None:
    """Run a script; a ValueError ends it with one line."""
    cli.settle_threads()
    try:
        main()
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
