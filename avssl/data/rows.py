"""A data worker: makes rows of batches until its parent is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Protocol

import torch
from torch import Tensor

from avssl.data.segments import Layout, fields, layout_of, mapped, packed

MAPPED = 32  # segments a worker keeps open


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
    """What a worker runs; :class:`avssl.data.maker.Maker` is one."""

    def row(self, chunk: Chunk, index: int, started: Callable[[int], None], rows: Rows) -> dict[str, Tensor] | None:
        """One example, or None for one that cannot be read."""
        ...

    def name(self, index: int) -> str:
        """How an item is called in messages."""
        ...


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
        return "done", kept, found.bad, packed(held)
    number, path = place
    if number not in memories:
        if len(memories) >= MAPPED:
            memories.clear()
        memories[number] = mapped(path)
    for name, target in fields(memories[number], layout, rows).items():
        for k, example in enumerate(made):
            if example is not None:
                target[low + k].copy_(example[name])
    return "done", kept, found.bad, None


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
