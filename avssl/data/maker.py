"""Batches that are a pure function of (seed, step): independent of workers, ranks, and of where a run went on.

Position p = step * batch + row is in epoch p // length; an epoch's order is a permutation drawn from (seed, 1, epoch);
the example is ``transform(source.get(index, g), g, progress)`` with g drawn from (seed, 2, step, index); the stand-in
for a bad item is drawn from (seed, 3, step, index, try). With ``draws`` D, g is drawn from (seed, 5, epoch % D, index):
every item is then shown in D ways and no more, a new one in each of the first D epochs.

With ``together`` n, each item stands n times in a row, copy after copy, in windows of its own: position p is of the
epoch's item p // n, and the copy's number is one more part of what g is drawn from. A plan names copy c of item i as
i + c * length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from avssl.data.rows import Chunk, Rows
from avssl.sample import Sample

STAND_INS = 64  # tries before it is said that next to nothing can be read

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


@dataclass
class Maker:
    """Makes the rows of batches; one copy in every worker."""

    source: Readable
    transform: Transform
    batch: int
    seed: int
    length: int
    draws: int = 0
    together: int = 1
    _orders: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_orders": {}}

    def plan(self, step: int) -> list[int]:
        """The items of the global batch of one step, before any is replaced; copies as i + c * length."""
        found = []
        for position in range(step * self.batch, (step + 1) * self.batch):
            turn, copy = divmod(position, self.together)
            epoch, place = divmod(turn, self.length)
            found.append(int(self._order(epoch)[place]) + copy * self.length)
        return found

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
        copy, index = divmod(wanted, self.length)
        taken: set[int] | None = None
        for attempt in range(1, STAND_INS):
            found = self._try(index, self._draw(chunk.step, index, copy), chunk, started, rows)
            if found is not None:
                return found
            if taken is None:
                taken = {one % self.length for one in self.plan(chunk.step)}
            index = mix(self.seed, 3, chunk.step, wanted, attempt) % self.length
            if index in taken and len(taken) < self.length:
                index = next(i % self.length for i in range(index, index + self.length) if i % self.length not in taken)
        raise ValueError(f"{STAND_INS} items in a row cannot be read, the last because {list(rows.bad.values())[-1:]}")

    def _draw(self, step: int, index: int, copy: int) -> Generator:
        copies = (copy,) if copy else ()
        if not self.draws:
            return generator(self.seed, 2, step, index, *copies)
        epoch, offset = divmod(step * self.batch // self.together, self.length)
        if bool((self._order(epoch)[:offset] == index).any()):  # of a batch that reaches into the next epoch
            epoch += 1
        return generator(self.seed, 5, epoch % self.draws, index, *copies)

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
        made["seconds"] = torch.tensor(sample.starts[0] if sample.starts else 0.0)
        return made

    def key(self, index: int) -> str:
        """Key of the recording that an item is part of; the item's number where recordings have none."""
        items = self.source.items
        return str(items.recording(index).key) if hasattr(items, "recording") else str(index)

    def name(self, index: int) -> str:
        """How an item is called in messages."""
        _, *span = self.source.items[index]
        return self.key(index) + (f" ({span[0]:.1f} to {span[1]:.1f} s)" if span else "")
