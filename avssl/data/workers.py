"""Processes that make the rows of batches, write them into shared memory, and may hang or die without harm.

A batch is split into pieces. Workers write each row to its place in a segment of memory that both sides see, so that a
batch is never pickled nor stacked. A segment is used again when the last tensor that looks into it is gone.
"""

from __future__ import annotations

import itertools
import logging
import math
import mmap
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

ALIGNMENT = 64
AHEAD = 4  # pieces a worker holds, so that it is not idle while the network computes
MAPPED = 32  # segments a worker keeps open
START_SECONDS = 120.0  # importing torch on a busy machine
_log = logging.getLogger(__name__)

Layout = tuple[tuple[str, str, tuple[int, ...]], ...]
"""(name, dtype, shape of one row) of every tensor of a batch"""


@dataclass(frozen=True)
class Chunk:
    """Rows to make: ``step`` None means in order, for evaluation. ``bad`` are items known to be bad."""

    step: int | None
    indices: tuple[int, ...]
    progress: float
    bad: frozenset[int]


@dataclass
class Rows:
    """What went wrong while rows were made: item -> reason."""

    bad: dict[int, str] = field(default_factory=dict)


class RowMaker(Protocol):
    """What a worker runs; :class:`avssl.data.loader.Maker` is one."""

    def row(self, chunk: Chunk, index: int, started: Callable[[int], None], rows: Rows) -> dict[str, Tensor] | None:
        """One example, or None for one that cannot be read."""
        ...

    def name(self, index: int) -> str:
        """How an item is called in messages."""
        ...


def layout_of(example: Mapping[str, Tensor]) -> Layout:
    """Names, dtypes and shapes of one row."""
    return tuple((name, str(x.dtype).removeprefix("torch."), tuple(x.shape)) for name, x in example.items())


def _places(layout: Layout, rows: int) -> tuple[list[tuple[str, torch.dtype, tuple[int, ...], int, int]], int]:
    """(name, dtype, [rows, ...] shape, first byte, bytes) of every field, and the bytes of all."""
    found, at = [], 0
    for name, kind, shape in layout:
        dtype: torch.dtype = getattr(torch, kind)
        size = rows * math.prod(shape) * dtype.itemsize
        found.append((name, dtype, (rows, *shape), at, size))
        at += -(-size // ALIGNMENT) * ALIGNMENT
    return found, max(at, ALIGNMENT)


def _fields(memory: Tensor, layout: Layout, rows: int) -> dict[str, Tensor]:
    """uint8 [bytes] -> the batch's tensors [rows, ...], without a copy."""
    places, _ = _places(layout, rows)
    return {name: memory[at : at + size].view(dtype).view(shape) for name, dtype, shape, at, size in places}


class Segment:
    """Memory that other processes can open by a path. Not in /dev/shm, which containers keep small.

    ``number`` tells segments apart: a path can come back when a descriptor is used again.
    """

    _numbers = itertools.count()

    def __init__(self, size: int):
        self.size, self.number = size, next(self._numbers)
        if hasattr(os, "memfd_create"):
            self._fd = os.memfd_create("avssl-batch")
            self.path, self._named = f"/proc/{os.getpid()}/fd/{self._fd}", False
        else:
            self._fd, self.path = tempfile.mkstemp(prefix="avssl-batch-")
            self._named = True
        os.ftruncate(self._fd, size)
        self._map = mmap.mmap(self._fd, size)
        weakref.finalize(self, _forget, self._fd, self.path if self._named else None)

    def memory(self, released: Callable[[], object] | None = None) -> Tensor:
        """uint8 [size]; ``released`` is called when no tensor looks into it any more."""
        array = np.frombuffer(self._map, np.uint8)
        if released is not None:
            weakref.finalize(array, released).atexit = False
        return torch.from_numpy(array)


def _forget(fd: int, path: str | None) -> None:
    os.close(fd)
    if path is not None:
        os.unlink(path)


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
            target=work, args=(theirs, self.status, maker), daemon=True, name=f"avssl-data-{number}"
        )
        self.process.start()
        theirs.close()
        self.born = time.monotonic()
        self.ready = False
        self.pieces: deque[_Piece] = deque()

    def stuck(self, timeout_seconds: float) -> bool:
        now = time.monotonic()
        if not self.ready:
            return now - self.born > max(START_SECONDS, timeout_seconds)
        return 0 < self.status[0] < now - timeout_seconds

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


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
            self._context.set_forkserver_preload(["avssl.data.loader", "avssl.data.dataset"])

    def submit(self, chunk: Chunk, known_bad: Mapping[int, str]) -> int:
        """Begin a batch; returns its number."""
        while len(self._workers) < self.count:
            self._workers.append(_Worker(self._context, len(self._workers), self.maker))
        self._known = known_bad
        rows = len(chunk.indices)
        segment = self._segment(_places(self.layout, rows)[1]) if self.layout else None
        number, self._next = self._next, self._next + 1
        job = self._jobs[number] = _Job(rows, self.layout, segment)
        size = max(1, -(-rows // (2 * self.count)))
        for low in range(0, rows, size):
            self._queue.append(_Piece(number, low, replace(chunk, indices=chunk.indices[low : low + size])))
            job.waiting += 1
        self._pump(0)
        return number

    def result(self, number: int, note: Callable[[int, str], None]) -> dict[str, Tensor]:
        """Wait for a batch; empty when none of its items could be read. ``note`` is told what was bad, and may raise."""
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
            try:
                worker.connection.send(None)
            except OSError:
                pass
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
            worker = by_connection[connection]  # type: ignore[index]
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
            return _fields(memory, job.layout, job.rows)
        parts: list[dict[str, Tensor]] = []
        for low, kept in sorted(job.kept.items()):
            if low in job.loose:
                self.layout, data, rows = job.loose[low]
                parts.append(_unpacked(self.layout, data, rows))
            elif memory is not None and job.layout and any(kept):
                places = low + torch.tensor(kept).nonzero().flatten()
                parts.append({name: x[places] for name, x in _fields(memory, job.layout, job.rows).items()})
        if (
            len(
                {
                    tuple((name, kind, shape) for name, kind, shape in layout_of({k: v[0] for k, v in p.items()}))
                    for p in parts
                }
            )
            > 1
        ):
            raise ValueError("the transform gives tensors of different names, types or shapes in one batch")
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if parts else {}


def _packed(examples: list[dict[str, Tensor]]) -> tuple[Layout, list[bytes], int]:
    stacked = [torch.stack([example[name] for example in examples]) for name in examples[0]]
    return layout_of(examples[0]), [x.reshape(-1).view(torch.uint8).numpy().tobytes() for x in stacked], len(examples)


def _unpacked(layout: Layout, data: list[bytes], rows: int) -> dict[str, Tensor]:
    found = {}
    for (name, kind, shape), raw in zip(layout, data, strict=True):
        dtype = getattr(torch, kind)
        flat = torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.empty(0, dtype=dtype)
        found[name] = flat.view(rows, *shape)
    return found


def work(connection: Connection, status: Any, maker: RowMaker) -> None:
    """What a worker does until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    memories: dict[int, Tensor] = {}

    def started(index: int) -> None:
        status[1] = index
        status[0] = time.monotonic()

    try:
        connection.send(("ready",))
        while (message := connection.recv()) is not None:
            try:
                reply = _piece(maker, started, memories, *message)
            except Exception as error:
                at = f" ({maker.name(int(status[1]))})" if status[0] > 0 else ""
                users = isinstance(error, ValueError)
                text = f"{error}{at}" if users else f"{type(error).__name__}: {error}{at}"
                reply = ("failed", users, text, traceback.format_exc())
            status[0] = 0.0
            connection.send(reply)
    except (EOFError, OSError):
        pass


def _piece(
    maker: RowMaker,
    started: Callable[[int], None],
    memories: dict[int, Tensor],
    chunk: Chunk,
    low: int,
    rows: int,
    layout: Layout | None,
    place: tuple[int, str] | None,
) -> tuple[Any, ...]:
    found = Rows()
    made = [maker.row(chunk, index, started, found) for index in chunk.indices]
    kept = tuple(example is not None for example in made)
    held = [example for example in made if example is not None]
    if not held:
        return "done", kept, found.bad, None
    if layout is None or place is None or any(layout_of(example) != layout for example in held):
        return "done", kept, found.bad, _packed(held)
    number, path = place
    if number not in memories:
        if len(memories) >= MAPPED:
            memories.clear()
        memories[number] = _mapped(path)
    for name, target in _fields(memories[number], layout, rows).items():
        for k, example in enumerate(made):
            if example is not None:
                target[low + k].copy_(example[name])
    return "done", kept, found.bad, None


def _mapped(path: str) -> Tensor:
    fd = os.open(path, os.O_RDWR)
    try:
        return torch.from_numpy(np.frombuffer(mmap.mmap(fd, 0), np.uint8))
    finally:
        os.close(fd)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
