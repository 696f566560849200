"""Batches that are a pure function of (seed, step): independent of workers, ranks, and of where a run went on.

Position p = step * batch + row is in epoch p // length; an epoch's order is a permutation drawn from (seed, 1, epoch);
the example is ``transform(source.get(index, g), g, progress)`` with g drawn from (seed, 2, step, index); the stand-in
for a bad item is drawn from (seed, 3, step, index, try). With ``draws`` D, g is drawn from (seed, 5, epoch % D, index):
every item is then shown in D ways and no more, a new one in each of the first D epochs.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from avssl.data.rows import Chunk, Rows
from avssl.data.workers import Pool
from avssl.sample import Sample

PREFETCH = 2
STAND_INS = 64  # tries before it is said that next to nothing can be read
_log = logging.getLogger(__name__)

Transform = Callable[[Sample, Generator, float], Mapping[str, Tensor]]


class Readable(Protocol):
    """What the loader needs of a source; :class:`avssl.data.dataset.Source` is one."""

    items: Any
    """index -> (number of the recording, ...)"""

    def get(self, index: int, generator: Generator) -> Sample:
        """The sample of one item; any exception means that the item is bad."""
        ...


def mix(*parts: int) -> int:
    """A stable 63-bit hash of integers, for seeding."""
    told = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(told, "little") >> 1


def generator(*parts: int) -> Generator:
    """A generator seeded by :func:`mix`."""
    return torch.Generator().manual_seed(mix(*parts))


class BadItem(Exception):
    """An item that could not be read; carries its reason."""


@dataclass
class Maker:
    """Makes the rows of batches; one copy in every worker."""

    source: Readable
    transform: Transform
    batch: int
    seed: int
    length: int
    draws: int = 0
    _orders: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_orders": {}}

    def plan(self, step: int) -> list[int]:
        """The items of the global batch of one step, before any is replaced."""
        positions = range(step * self.batch, (step + 1) * self.batch)
        return [int(self._order(p // self.length)[p % self.length]) for p in positions]

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            while len(self._orders) > 1:
                del self._orders[min(self._orders)]
            self._orders[epoch] = torch.randperm(self.length, generator=generator(self.seed, 1, epoch))
        return self._orders[epoch]

    def row(self, chunk: Chunk, index: int, started: Callable[[int], None], rows: Rows) -> dict[str, Tensor] | None:
        """One example: of the item, or of its stand-in when it is bad; None for a bad item read in order.

        ``started`` is told each item before it is touched; what turns out bad is noted in ``rows.bad``.
        """
        if chunk.step is None:
            return self._try(index, generator(4, index), chunk, started, rows)
        wanted = index
        taken: set[int] | None = None
        for attempt in range(1, STAND_INS):
            found = self._try(index, self._draw(chunk.step, index), chunk, started, rows)
            if found is not None:
                return found
            if taken is None:
                taken = set(self.plan(chunk.step))
            index = mix(self.seed, 3, chunk.step, wanted, attempt) % self.length
            if index in taken and len(taken) < self.length:
                index = next(i % self.length for i in range(index, index + self.length) if i % self.length not in taken)
        raise ValueError(f"{STAND_INS} items in a row cannot be read, the last because {list(rows.bad.values())[-1:]}")

    def _draw(self, step: int, index: int) -> Generator:
        if not self.draws:
            return generator(self.seed, 2, step, index)
        epoch, offset = divmod(step * self.batch, self.length)
        if bool((self._order(epoch)[:offset] == index).any()):  # of a batch that reaches into the next epoch
            epoch += 1
        return generator(self.seed, 5, epoch % self.draws, index)

    def _try(
        self, index: int, draw: Generator, chunk: Chunk, started: Callable[[int], None], rows: Rows
    ) -> dict[str, Tensor] | None:
        if index in chunk.bad or index in rows.bad:
            return None
        started(index)
        try:
            sample = self.source.get(index, draw)
        except Exception as error:  # a decoder may raise anything; the item is at fault, whatever it is
            rows.bad[index] = " ".join(str(error).split()) or type(error).__name__
            return None
        made = {name: torch.as_tensor(value) for name, value in self.transform(sample, draw, chunk.progress).items()}
        made["index"] = torch.tensor(index)
        made["recording"] = torch.tensor(int(self.source.items[index][0]))
        return made

    def key(self, index: int) -> str:
        """Key of the recording that an item is part of; the item's number where recordings have none."""
        items = self.source.items
        return str(items.recording(index).key) if hasattr(items, "recording") else str(index)

    def name(self, index: int) -> str:
        """How an item is called in messages."""
        _, *span = self.source.items[index]
        return self.key(index) + (f" ({span[0]:.1f} to {span[1]:.1f} s)" if span else "")


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
    ):
        if length < 1:
            raise ValueError("there are no items to load")
        if batch % world:
            raise ValueError(f"batch is {batch}, which {world} ranks cannot share equally; take a multiple of {world}")
        self.maker = Maker(source, transform, batch, seed, length, draws)
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
        """This rank's batches of the steps [first, last): tensors [B / world, ...], ``index`` and ``recording`` int64.

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
