"""The progress of commands that go through many files: how many, how fast, how long still."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

FIRST_SECONDS, LINE_SECONDS = 2.0, 10.0
"""until the first line, and between lines, where there is no terminal to draw a bar on"""


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows a bar on stderr, or a line now and then; gives the function that is told (done, in all).

    Nothing is shown before it is told the first time: a refusal is then one line without an empty bar.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(what)
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)
    with ExitStack() as shown:

        def tell(done: int, total: int) -> None:
            if not bar.tasks:
                bar.add_task(what, total=total, rate="")
                shown.enter_context(bar)  # begun before, it would leave an empty line
            speed = bar.tasks[0].speed
            bar.update(bar.task_ids[0], completed=done, total=total, rate=f"{speed:.1f}/s" if speed else "")

        yield tell


def _lines(what: str) -> Callable[[int, int], None]:
    began = told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        # who was told how far it is, is told that it is done
        pause = LINE_SECONDS if told > began else FIRST_SECONDS
        if now - told < pause and not (done == total and told > began):
            return
        told, rate = now, done / max(now - began, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if done > 1 else ""  # the first took the start as well
        print(f"{what}: {done} of {total}, {rate:.1f}/s{left}", file=sys.stderr, flush=True)

    return tell
