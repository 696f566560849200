"""Batches, made by workers ahead of time; which rows they hold is :mod:`avssl.data.maker`'s to say."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from avssl.data.maker import Maker, Readable, Transform
from avssl.data.rows import Chunk, Rows
from avssl.data.workers import Pool

PREFETCH = 2
_log = logging.getLogger(__name__)


class Loader:
    """Batches for training and evaluation.

    Args:
        source: item index -> sample, with ``items[index][0]`` the recording's number.
        transform: (sample, generator, progress) -> tensors of one example; picklable.
        batch: items per step over all ranks; this rank gets rows [rank * batch / world, (rank + 1) * batch / world).
        seed: of the run.
        workers: processes; 0 makes batches in this one.
        length: number of items.
        rank: of this process.
        world: number of ranks.
        bad_budget: share of items that may fail before ValueError is raised.
        timeout_seconds: a worker that takes longer over one item is replaced.
        progress: step -> 0..1, given to the transform.
        draws: in how many ways each item is ever shown; 0 for a new one each time.
        together: copies of an item in a batch, each in a window of its own; not with ``order``.

    ``order`` int64 [length], where a method has set one, is the items in the order in which batches take them, in place
    of the epoch's permutation; it counts for the batches that are asked for after it is set, and an item may stand in
    it several times. ``bad`` names the recordings that failed and why, ``replaced`` counts workers, ``wait_seconds`` is
    the time that was spent waiting for batches.
    """

    def __init__(
        self,
        source: Readable,
        transform: Transform,
        *,
        batch: int,
        seed: int,
        workers: int,
        length: int,
        rank: int = 0,
        world: int = 1,
        bad_budget: float = 0.05,
        timeout_seconds: float = 120.0,
        progress: Callable[[int], float] = lambda step: 0.0,
        draws: int = 0,
        together: int = 1,
    ):
        if length < 1:
            raise ValueError("there are no items to load")
        if batch % together:
            raise ValueError(f"data.batch={batch} is no multiple of data.together={together}, the windows of each item")
        if batch % world:
            raise ValueError(f"batch is {batch}, which {world} ranks cannot share equally; take a multiple of {world}")
        self.maker = Maker(source, transform, batch, seed, length, draws, together)
        self.rank, self.world, self.progress = rank, world, progress
        self.bad_budget, self.workers, self.timeout_seconds = bad_budget, workers, timeout_seconds
        self.wait_seconds = 0.0
        self.order: Tensor | None = None
        self._bad: dict[int, str] = {}
        self._pool: Pool | None = None

    @property
    def bad(self) -> dict[str, str]:
        """Key of each recording that failed -> why."""
        return {self.maker.key(index): reason for index, reason in reversed(self._bad.items())}

    @property
    def replaced(self) -> int:
        """Workers that died or hung."""
        return self._pool.replaced if self._pool is not None else 0

    def state_dict(self) -> dict[str, Any]:
        """What was dropped so far: {"bad": {item: reason}}, plain JSON."""
        return {"bad": {str(index): reason for index, reason in self._bad.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Drop again what was dropped before."""
        self._bad = {int(index): str(reason) for index, reason in state["bad"].items()}

    def batches(self, first_step: int, last_step: int) -> Iterator[dict[str, Tensor]]:
        """This rank's batches of the steps [first, last): tensors [B / world, ...], ``index`` and ``recording`` int64,
        ``seconds`` at which the (first) window begins.

        Raises ValueError when more items are bad than the budget allows.
        """
        low = self.maker.batch * self.rank // self.world
        high = self.maker.batch * (self.rank + 1) // self.world

        def chunk(step: int) -> Chunk:
            return Chunk(step, tuple(self._plan(step)[low:high]), float(self.progress(step)), frozenset())

        return self._stream(chunk(step) for step in range(first_step, last_step))

    def _plan(self, step: int) -> list[int]:
        """The items of the global batch of one step."""
        if self.order is None:
            return self.maker.plan(step)
        size = self.maker.batch
        # not the maker's, whose copies in workers do not know it: they ask only which items not to take as stand-ins
        return [int(self.order[p % len(self.order)]) for p in range(step * size, (step + 1) * size)]

    def batches_in_order(self, indices: Sequence[int] | None = None) -> Iterator[dict[str, Tensor]]:
        """The given items (None: all), ``batch`` at a time and in order, each always with the same randomness and
        progress 1. Items that cannot be read are missing; ``index`` tells which are there. All ranks get all items.
        """
        wanted = range(self.maker.length) if indices is None else indices
        size = self.maker.batch

        def chunk(start: int) -> Chunk:
            return Chunk(None, tuple(int(i) for i in wanted[start : start + size]), 1.0, frozenset())

        return self._stream(chunk(start) for start in range(0, len(wanted), size))

    def close(self) -> None:
        """End the workers; they are started again when batches are asked for."""
        if self._pool is not None:
            self._pool.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stream(self, chunks: Iterator[Chunk]) -> Iterator[dict[str, Tensor]]:
        if self.workers == 0:
            yield from self._here(chunks)
            return
        if self._pool is None:
            self._pool = Pool(self.maker, self.workers, self.timeout_seconds)
        jobs = []
        try:
            for ahead in chunks:
                jobs.append(self._pool.submit(ahead, self._bad))
                if len(jobs) > PREFETCH:
                    yield from self._finish(jobs.pop(0))
            while jobs:
                yield from self._finish(jobs.pop(0))
        finally:
            for job in jobs:
                self._pool.cancel(job)

    def _finish(self, job: int) -> Iterator[dict[str, Tensor]]:
        assert self._pool is not None
        began = time.monotonic()
        try:
            batch = self._pool.result(job, self._note)
        finally:
            self.wait_seconds += time.monotonic() - began
        if batch:
            yield batch

    def _here(self, chunks: Iterator[Chunk]) -> Iterator[dict[str, Tensor]]:
        for chunk in chunks:
            began = time.monotonic()
            chunk = Chunk(chunk.step, chunk.indices, chunk.progress, frozenset(self._bad))
            rows = Rows()
            made = [self.maker.row(chunk, index, lambda _: None, rows) for index in chunk.indices]
            for index, reason in rows.bad.items():
                self._note(index, reason)
            held = [example for example in made if example is not None]
            self.wait_seconds += time.monotonic() - began
            if held:
                yield {name: torch.stack([example[name] for example in held]) for name in held[0]}

    def _note(self, index: int, reason: str) -> None:
        """Count a bad item. Raises ValueError above the budget."""
        if index in self._bad:
            return
        self._bad[index] = reason
        _log.warning("%s cannot be read and is left out: %s", self.maker.name(index), reason)
        if len(self._bad) > self.bad_budget * self.maker.length:
            some = "; ".join(f"{key}: {why}" for key, why in list(self.bad.items())[:3])
            raise ValueError(
                f"{len(self._bad)} of {self.maker.length} items cannot be read, more than data.bad_budget = "
                f"{self.bad_budget:g} allows: {some}"
            )
