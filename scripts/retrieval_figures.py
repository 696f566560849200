"""How the retrieval benchmark takes turns and shows its figures (see scripts/bench_retrieval.py)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def steps(what: str, total: int) -> Iterator[int]:
    """Count to `total` beside a progress bar."""
    console = Console(stderr=True)
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        for number in range(total):
            yield number
            bar.advance(task)


def rounds(what: str, contenders: dict[str, Callable[[], object]], count: int) -> dict[str, np.ndarray]:
    """CPU seconds of each in each round, after one that warms up."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in steps(what, count + 1):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            if number:
                taken[name].append(time.process_time() - start)
    return {name: np.array(times) for name, times in taken.items()}


def met(told: dict[str, Any]) -> bool:
    """Whether a figure is what was aimed at."""
    sign, number = told["target"].split()
    return bool(told["value"] >= float(number) if sign == ">=" else told["value"] <= float(number))


def shown(row: dict[str, Any]) -> Iterator[str]:
    """What was measured, beside what was aimed at."""
    load = "load {} before, {} after".format(*row["load"])
    yield f"\n{row['size']:,} x {row['width']}, {row['vectors']}; {row['machine']}; {load}"
    aimed = {name: told for name, told in row["figures"].items() if told["target"]}
    for name, told in row["figures"].items():
        spread = f"{told['value']:10.4g} {told['unit']:<13} [{told['low']:.4g} .. {told['high']:.4g}]"
        verdict = f"{told['target']:<8} {'met' if met(told) else 'MISSED'}" if name in aimed else ""
        yield f"{name:<66} {spread:<48} {verdict}".rstrip()
    yield f"{sum(map(met, aimed.values()))} of {len(aimed)} targets met"


def same(row: dict[str, Any]) -> list[Any]:
    """What two rows share that stand for the same thing."""
    return [row["size"], row["width"], row["vectors"]]
