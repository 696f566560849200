"""Work on untrusted files in processes of their own: a crash, a hang or a blow-up of memory costs that file only."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

MEMORY_BYTES = 8 << 30  # more than the largest picture that is decoded needs
START_SECONDS = 60.0
EARLY = 3
"""processes in a row that may end before they have begun with their task; it is no file's fault"""
CRASHED = "the decoder crashed ({})"
UNBEGUN = (
    "processes that read files end before they begin ({}); in a script of your own, begin below "
    'if __name__ == "__main__":'
)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Failed:
    """Why there is no result, in one line."""

    reason: str


@dataclass
class _Hand(Generic[T]):
    process: Any
    connection: Connection
    at: int | None = None
    deadline: float = 0.0
    begun: bool = False
    """with the task that it has now: one that ends before may have been killed while it had nothing to do"""


def run(
    function: Callable[[T], R], tasks: Sequence[T], seconds: Callable[[T], float], workers: int | None = None
) -> Iterator[tuple[int, R | Failed]]:
    """``function`` of every task, as (place in ``tasks``, result) in the order in which they are done.

    Args:
        function: importable by name; what it raises becomes Failed.
        tasks: picklable.
        seconds: how long a task may take before its process is ended.
        workers: processes; None means one per core.

    Raises ValueError where no process can be begun.
    """
    context = multiprocessing.get_context("spawn")
    count = max(1, min(workers or os.cpu_count() or 1, len(tasks)))
    waiting = list(reversed(range(len(tasks))))
    hands: list[_Hand[T]] = []
    early = 0
    try:
        while waiting or any(hand.at is not None for hand in hands):
            while len(hands) < count and waiting:
                hands.append(_start(context, function))
            for hand in hands:
                if hand.at is None and waiting:
                    hand.at, hand.begun = waiting.pop(), False
                    hand.deadline = time.monotonic() + seconds(tasks[hand.at]) + START_SECONDS
                    with contextlib.suppress(OSError):  # a dead one shows when it is read from
                        hand.connection.send(tasks[hand.at])
            busy = {hand.connection: hand for hand in hands if hand.at is not None}
            ready = wait(list(busy), max(0.0, min(hand.deadline for hand in busy.values()) - time.monotonic()))
            for connection in ready:
                hand = busy[connection]  # type: ignore[index]
                assert hand.at is not None
                try:
                    kind, value = hand.connection.recv()
                except (EOFError, OSError):
                    hands.remove(hand)
                    told, early = _end(hand), early + (not hand.begun)
                    if early >= EARLY:
                        raise ValueError(UNBEGUN.format(told)) from None
                    if hand.begun:
                        yield hand.at, Failed(CRASHED.format(told))
                    else:
                        waiting.append(hand.at)
                    continue
                if kind == "begun":
                    hand.begun, early = True, 0
                    hand.deadline = time.monotonic() + seconds(tasks[hand.at])
                    continue
                done, hand.at = hand.at, None
                yield done, Failed(value) if kind == "failed" else value
            now = time.monotonic()
            for hand in [hand for hand in hands if hand.at is not None and hand.deadline < now]:
                assert hand.at is not None
                if hand.connection.poll():
                    continue
                _end(hand)
                hands.remove(hand)
                yield hand.at, Failed(f"took longer than {seconds(tasks[hand.at]):g} s")
    finally:
        for hand in hands:
            _end(hand)


class Apart(Generic[T, R]):
    """``function`` in a process that stays for the next task, and is begun anew after a task that ended it.

    function: importable by name. For one thread at a time.
    """

    def __init__(self, function: Callable[[T], R]):
        self._function = function
        self._context = multiprocessing.get_context("spawn")
        self._hand: _Hand[T] | None = _start(self._context, function)

    def __call__(self, task: T, seconds: float) -> R:
        """``function(task)``. Raises TimeoutError after ``seconds``, ValueError for what it raised or if it crashed."""
        told = ""
        for _ in range(EARLY):
            if self._hand is None or not self._hand.process.is_alive():
                self.close()
                self._hand = _start(self._context, self._function)
            hand = self._hand
            hand.begun = False
            try:
                return self._answer(hand, task, seconds)
            except TimeoutError:
                self.close()
                raise
            except (EOFError, OSError):
                self._hand = None
                told = _end(hand)
                if hand.begun:
                    raise ValueError(CRASHED.format(told)) from None
        raise ValueError(UNBEGUN.format(told))

    def _answer(self, hand: _Hand[T], task: T, seconds: float) -> R:
        hand.connection.send(task)
        for limit in (START_SECONDS, seconds):  # until it has begun, and until it is done
            if not hand.connection.poll(limit):
                raise TimeoutError(f"took longer than {limit:g} s")
            kind, value = hand.connection.recv()
            hand.begun = True
            if kind == "failed":
                raise ValueError(value)
        result: R = value
        return result

    def close(self) -> None:
        """End the process."""
        if self._hand is not None:
            _end(self._hand)
            self._hand = None


def _start(context: Any, function: Callable[[T], Any]) -> _Hand[T]:
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, function), daemon=True)
    with deaf_to_ctrl_c():
        process.start()
    theirs.close()
    return _Hand(process, ours)


@contextlib.contextmanager
def deaf_to_ctrl_c(*more: signal.Signals) -> Iterator[None]:
    """Processes started in this block never get Ctrl-C, which is for their parent; their imports would print traces.

    Nor do they get ``more`` signals; who asks for SIGTERM must end them by SIGKILL.
    """
    resource_tracker.ensure_running()  # begun in the block, it would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *more})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(hand: _Hand[T]) -> str:
    """End a process and say how it ended."""
    hand.connection.close()
    hand.process.join(0.2)
    if hand.process.is_alive():
        hand.process.kill()
    hand.process.join()
    code = hand.process.exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _serve(connection: Connection, function: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    try:
        while True:
            task = connection.recv()
            connection.send(("begun", None))
            try:
                reply = ("done", function(task))
            except MemoryError:
                reply = ("failed", f"needs more than {MEMORY_BYTES >> 30} GB of memory")
            except Exception as error:
                text = " ".join(str(error).split())
                reply = ("failed", text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}")
            connection.send(reply)
    except (EOFError, OSError):
        pass


def _limit_memory() -> None:
    if sys.platform != "linux":
        return
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = used + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
