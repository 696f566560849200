"""Processes that make the rows of batches, write them into shared memory, and may hang or die without harm.

A batch is split into pieces. Workers write each row to its place in a segment of memory that both sides see, so that a
batch is never pickled nor stacked. A segment is used again when the last tensor that looks into it is gone.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing import util
from multiprocessing.connection import wait
from typing import Any

import torch
from torch import Tensor

from avssl.data.apart import deaf_to_ctrl_c
from avssl.data.rows import Chunk, RowMaker, work
from avssl.data.segments import Layout, Segment, fields, layout_of, places, unpacked

AHEAD = 4  # pieces a worker holds, so that it is not idle while the network computes
START_SECONDS = 120.0  # importing torch on a busy machine
NAME = "avssl-data-"
PRELOADED = ["avssl.data.maker", "avssl.data.dataset", "torchvision.transforms.v2"]  # what forked workers share
_log = logging.getLogger(__name__)


@dataclass
class _Job:
    """A batch in the making."""

    rows: int
    layout: Layout | None
    segment: Segment | None
    waiting: int = 0
    cancelled: bool = False
    loose: dict[int, tuple[Layout, list[bytes], int]] = field(default_factory=dict)
    kept: dict[int, tuple[bool, ...]] = field(default_factory=dict)
    bad: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Piece:
    job: int
    low: int
    chunk: Chunk


class _Worker:
    """The parent's side of one process."""

    def __init__(self, context: Any, number: int, maker: RowMaker):
        self.number = number
        self.status = context.RawArray("d", 2)  # when the item at hand was begun (0: none is), and which it is
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=work, args=(theirs, self.status, maker), daemon=True, name=f"{NAME}{number}"
        )
        # Signals to all of a terminal's or a job's processes are for the parent, which ends its workers itself. The
        # server that forks workers is begun with the first of them.
        with deaf_to_ctrl_c(signal.SIGTERM):
            self.process.start()
        theirs.close()
        self.born = time.monotonic()
        self.ready = False
        self.pieces: deque[_Piece] = deque()

    def stuck(self, timeout_seconds: float) -> bool:
        now = time.monotonic()
        if not self.ready:
            return now - self.born > max(START_SECONDS, timeout_seconds)
        return bool(0 < self.status[0] < now - timeout_seconds)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _end_left() -> None:
    """At exit, before multiprocessing sends SIGTERM to those that nobody closed, who do not hear it, and waits."""
    for process in multiprocessing.active_children():
        if process.name.startswith(NAME):
            process.kill()


util.Finalize(None, _end_left, exitpriority=1)


class Pool:
    """Workers, and the batches they are making.

    ``replaced`` counts workers that hung or died. An item on which two workers ended counts as bad.
    """

    def __init__(self, maker: RowMaker, workers: int, timeout_seconds: float):
        self.maker, self.count, self.timeout_seconds = maker, workers, timeout_seconds
        self.replaced = 0
        self.layout: Layout | None = None
        self.fatal: dict[int, str] = {}
        self._deaths: dict[int, int] = {}
        self._early = 0
        self._known: Mapping[int, str] = {}
        self._workers: list[_Worker] = []
        self._queue: deque[_Piece] = deque()
        self._jobs: dict[int, _Job] = {}
        self._next = 0
        self._free: list[Segment] = []
        method = "forkserver" if sys.platform == "linux" else "spawn"
        self._context = multiprocessing.get_context(method)
        if method == "forkserver":
            # Imported once there, then shared by all workers; the server itself never starts a thread.
            self._context.set_forkserver_preload(PRELOADED)

    def submit(self, chunk: Chunk, known_bad: Mapping[int, str]) -> int:
        """Begin a batch; returns its number."""
        while len(self._workers) < self.count:
            self._workers.append(_Worker(self._context, len(self._workers), self.maker))
        self._known = known_bad
        rows = len(chunk.indices)
        segment = self._segment(places(self.layout, rows)[1]) if self.layout else None
        number, self._next = self._next, self._next + 1
        job = self._jobs[number] = _Job(rows, self.layout, segment)
        size = max(1, -(-rows // (2 * self.count)))
        for low in range(0, rows, size):
            self._queue.append(_Piece(number, low, replace(chunk, indices=chunk.indices[low : low + size])))
            job.waiting += 1
        self._pump(0)
        return number

    def result(self, number: int, note: Callable[[int, str], None]) -> dict[str, Tensor]:
        """Wait for a batch; empty when none of its items could be read. ``note`` is told what was bad; it may raise."""
        job = self._jobs[number]
        while job.waiting:
            self._pump(0.5)
        del self._jobs[number]
        for index, reason in {**job.bad, **self.fatal}.items():
            note(index, reason)
        return self._assemble(job)

    def cancel(self, number: int) -> None:
        """Forget a batch; what workers still write of it is dropped."""
        job = self._jobs.get(number)
        if job is None:
            return
        job.cancelled = True
        before = len(self._queue)
        self._queue = deque(piece for piece in self._queue if piece.job != number)
        job.waiting -= before - len(self._queue)
        self._settle(number, job)

    def close(self) -> None:
        """End all workers, the busy ones by force."""
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.connection.send(None)
        deadline = time.monotonic() + 0.5
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.end()
        self._workers = []
        self._queue.clear()
        self._jobs.clear()
        self._free.clear()

    def _segment(self, size: int) -> Segment:
        for k, segment in enumerate(self._free):
            if segment.size >= size:
                return self._free.pop(k)
        # Smaller ones were for a batch of another shape.
        self._free.clear()
        return Segment(size)

    def _pump(self, seconds: float) -> None:
        """Hand out pieces, take in what is done, replace who hangs or died; waits at most ``seconds``."""
        self._hand_out()
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection), seconds):
            worker = by_connection[connection]
            try:
                while worker.connection.poll():
                    self._take(worker, worker.connection.recv())
            except (EOFError, OSError):
                self._replace(worker, None)
        for worker in list(self._workers):
            if worker.stuck(self.timeout_seconds):
                self._replace(worker, f"took longer than {self.timeout_seconds:g} s")
        self._hand_out()

    def _hand_out(self) -> None:
        while self._queue:
            worker = min(self._workers, key=lambda w: len(w.pieces))
            if len(worker.pieces) >= AHEAD:
                return
            piece = self._queue.popleft()
            job = self._jobs[piece.job]
            place = (job.segment.number, job.segment.path) if job.segment else None
            known = frozenset(self._known) | frozenset(self.fatal)
            worker.pieces.append(piece)
            try:
                worker.connection.send((replace(piece.chunk, bad=known), piece.low, job.rows, job.layout, place))
            except OSError:
                self._replace(worker, None)

    def _take(self, worker: _Worker, message: tuple[Any, ...]) -> None:
        kind, *rest = message
        if kind == "ready":
            worker.ready, self._early = True, 0
            return
        piece = worker.pieces.popleft()
        job = self._jobs[piece.job]
        job.waiting -= 1
        if kind == "failed":
            is_users, text, trace = rest
            self._settle(piece.job, job)
            if not job.cancelled:
                raise ValueError(text) if is_users else RuntimeError(f"{text}\n\nin a data worker:\n{trace}")
            return
        kept, bad, loose = rest
        job.kept[piece.low] = kept
        job.bad.update(bad)
        if loose is not None:
            job.loose[piece.low] = loose
        self._settle(piece.job, job)

    def _settle(self, number: int, job: _Job) -> None:
        if job.cancelled and not job.waiting:
            if job.segment is not None:
                self._free.append(job.segment)
            del self._jobs[number]

    def _replace(self, worker: _Worker, hung: str | None) -> None:
        """Start another process for one that hung (why) or died (None), and give it the same pieces."""
        index = int(worker.status[1]) if worker.status[0] > 0 else None
        worker.end()
        code = worker.process.exitcode or 0
        told = hung or ("the decoder crashed" + (f" (signal {-code})" if code < 0 else f" (exit code {code})"))
        self.replaced += 1
        if not worker.ready:
            self._early += 1
            if self._early >= 3:
                raise RuntimeError(f"data workers end before they begin ({told}); try data.workers=0 to see why")
        where = f" at {self.maker.name(index)}" if index is not None else ""
        _log.warning("data worker %d (pid %d)%s: %s; it is replaced", worker.number, worker.process.pid, where, told)
        if index is not None:
            self._deaths[index] = self._deaths.get(index, 0) + 1
            if self._deaths[index] >= 2:
                self.fatal[index] = told
        self._queue.extendleft(reversed(worker.pieces))
        fresh = _Worker(self._context, worker.number, self.maker)
        self._workers[self._workers.index(worker)] = fresh

    def _assemble(self, job: _Job) -> dict[str, Tensor]:
        memory = None
        if job.segment is not None:
            free, segment = self._free, job.segment
            memory = segment.memory(lambda: free.append(segment))
        if memory is not None and job.layout and not job.loose and all(all(kept) for kept in job.kept.values()):
            return fields(memory, job.layout, job.rows)
        parts: list[dict[str, Tensor]] = []
        for low, kept in sorted(job.kept.items()):
            if low in job.loose:
                self.layout, data, rows = job.loose[low]
                parts.append(unpacked(self.layout, data, rows))
            elif memory is not None and job.layout and any(kept):
                there = low + torch.tensor(kept).nonzero().flatten()
                parts.append({name: x[there] for name, x in fields(memory, job.layout, job.rows).items()})
        if len({layout_of({name: x[0] for name, x in part.items()}) for part in parts}) > 1:
            raise ValueError("the transform gives tensors of different names, types or shapes in one batch")
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if parts else {}
