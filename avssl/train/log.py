"""What a run tells while it runs: a progress line, JSON lines, TensorBoard events. One process writes."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from avssl.train.checkpoint import replace_text
from avssl.words import counted

QUIET_SECONDS = 10.0
"""least time between lines where there is no terminal"""
FEW = 20
"""held-out items; of fewer, figures tell little"""
COUNTS = ("items", "with_text")
"""figures that are counts of items"""


class Log:
    """``log.jsonl`` and ``tensorboard/`` in a run's folder, and the progress line.

    Lines after ``step`` (left by a run that was killed) are dropped, so that every step is told once.
    """

    def __init__(self, out: Path, *, step: int, steps: int, progress: bool = True, write: bool = True):
        self.write = write
        self.steps = steps
        self._busy = self._waited = 0.0
        self._began = 0.0
        self._first: int | None = None
        self._said, self._about = -QUIET_SECONDS, ""
        self._looked, self._nothing_said, self._few_said = 0.0, False, False
        self._bar: Progress | None = None
        self._path = out / "log.jsonl"
        if not write:
            return
        cut(self._path, step)
        from torch.utils.tensorboard import SummaryWriter

        self._events: Any = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1 if step else None)
        self._lines = open(self._path, "a", encoding="utf-8")  # noqa: SIM115
        self._console = Console(quiet=not progress)
        if progress and self._console.is_terminal:
            columns = [
                TextColumn("step"),
                MofNCompleteColumn(),
                BarColumn(),
                TextColumn("{task.fields[about]}"),
                TimeRemainingColumn(),
            ]
            self._bar = Progress(*columns, console=self._console, refresh_per_second=2)
            self._task = self._bar.add_task("train", total=steps, completed=step, about="")
            self._bar.start()

    def advance(self, step: int, seconds: float, waited_seconds: float) -> None:
        """One step is done; it took ``seconds``, of which it waited for data."""
        self._looked = 0.0
        if self._first is None:  # the first step starts workers and waits for the first batch: no other is like it
            self._began, self._first = time.monotonic(), step
        self._busy += seconds
        self._waited += waited_seconds
        if self._bar is not None:
            self._bar.update(self._task, completed=step, about=f"{self._rate(step):.2f} steps/s {self._about}")

    def looking(self, done: int, total: int) -> None:
        """Before an epoch, a method looks at all items; ``done`` counts up to ``total``."""
        if not self.write:
            return
        if self._bar is not None:
            self._bar.update(self._task, about=f"looking at all items, {done} of {total}")
        elif self._looked == 0.0:
            self._looked = time.monotonic()
        elif time.monotonic() - self._looked >= QUIET_SECONDS:
            self._looked = time.monotonic()
            self._console.print(f"before the epoch: looked at {done} of {total} items", highlight=False)

    def train(self, step: int, values: Mapping[str, float], lr: float) -> None:
        """A line about a training step: loss, metrics, learning rate, and the share of time spent waiting for data."""
        if not self.write:
            return
        wait = self._waited / max(self._busy, 1e-9)
        self._busy = self._waited = 0.0
        self._put(step, {**values, "lr": lr, "wait": wait})
        self._about = f"loss {values.get('loss', float('nan')):.4f} waiting for data {wait:.0%}"
        if self._bar is None and (time.monotonic() - self._said >= QUIET_SECONDS or step == self.steps):
            self._said = time.monotonic()
            rate = self._rate(step)
            told = f"  {rate:.2f} steps/s  {(self.steps - step) / rate:.0f} s left" if rate else ""
            self._console.print(f"step {step}/{self.steps}  {self._about}{told}", highlight=False)

    def held_out(self, step: int, values: Mapping[str, float], judged: bool = True) -> None:
        """A line about a held-out evaluation; figures with a slash in their name are kept, and not told.

        Where there are no others, why, once, unless none were asked for (not ``judged``).
        """
        if values and self.write:
            self._put(step, {f"held_out/{key}": value for key, value in values.items()})
        told = "  ".join(
            f"{key} {value:.{0 if key in COUNTS else 3}f}" for key, value in values.items() if "/" not in key
        )
        if told:
            self.say(f"step {step}  held out: {told}")
            few = min((values[key] for key in COUNTS if key in values), default=FEW)
            if few < FEW and not self._few_said:
                self._few_said = True
                self.say(f"these figures are of {counted(int(few), 'held-out item')}: too few to tell much")
        elif judged and not self._nothing_said:
            self._nothing_said = True
            self.say("no held-out figures: the val split (a folder val/) has no recording that this method can use")

    def say(self, text: str) -> None:
        """A message, above the progress line."""
        if self.write:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def sync(self) -> None:
        """Make what was told durable; called with every checkpoint."""
        if self.write:
            self._events.flush()
            os.fsync(self._lines.fileno())

    def close(self) -> None:
        """End the progress line and the files."""
        if self._bar is not None:
            self._bar.stop()
        if self.write:
            self._events.close()
            self._lines.close()

    def _put(self, step: int, values: Mapping[str, float]) -> None:
        self._lines.write(json.dumps({"step": step, "time": time.time(), **values}) + "\n")
        self._lines.flush()
        for key, value in values.items():
            self._events.add_scalar(key, value, step)

    def _rate(self, step: int) -> float:
        """Steps per second since the first one was done; 0 before."""
        return (step - (self._first or step)) / max(time.monotonic() - self._began, 1e-9)


def cut(path: Path, step: int) -> None:
    """Keep the lines of ``path`` up to ``step``; later ones, and a last one that was half written, go."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    replace_text(path, "".join(line + "\n" for line in lines if _step(line) <= step))


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")


@contextmanager
def one_writer(out: Path) -> Iterator[None]:
    """Hold a run's folder; the kernel frees it even when the holder is killed. Raises ValueError if it is held.

    A folder that is new goes again when a ValueError ends the run before it has begun.
    """
    new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    handle = os.open(out / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{out} is being trained by another process; wait for it or choose another -o") from None
        yield
    except ValueError:
        if new and not (out / "run.json").exists():
            for name in ("manifest.jsonl", "lock"):
                (out / name).unlink(missing_ok=True)
            with suppress(OSError):  # something else lies there
                out.rmdir()
        raise
    finally:
        os.close(handle)
