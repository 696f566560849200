"""What the benchmarks have in common: how a figure is told, how a stretch is timed, and the row that is kept of it."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.files import replacing

Figures = dict[str, dict[str, Any]]


def timed(what: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result, CPU seconds, wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = what()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def figure(values: Any, unit: str, target: str = "") -> dict[str, Any]:
    """Median and quartiles, and what is aimed at: "", ">= number" or "<= number"."""
    low, middle, high = np.percentile(np.atleast_1d(values), (25, 50, 75)).tolist()
    return {"value": middle, "low": low, "high": high, "unit": unit, "target": target}


def machine(threads: int, *more: str) -> str:
    """What it was measured on."""
    return ", ".join([platform.machine(), f"{os.cpu_count()} cores", f"{threads} threads", *more])


def row(benchmark: str, machine: str, before: float, **told: Any) -> dict[str, Any]:
    """before: the load average when the benchmark began."""
    load = [round(before, 1), round(os.getloadavg()[0], 1)]
    return {"benchmark": benchmark, "machine": machine, "load": load, "date": time.strftime("%Y-%m-%d"), **told}


def keep(path: Path, row: dict[str, Any], instead: Callable[[dict[str, Any]], bool] = lambda other: False) -> None:
    """Add a row to a file, in the place of those that it stands ``instead`` of."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    others = [line for line in lines if line and not instead(json.loads(line))]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text("".join(line + "\n" for line in [*others, json.dumps(row)]), encoding="utf-8")
