"""Sources and transforms for the loader's tests; at module level, because workers import them by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Generator, Tensor

from avssl.data.dataset import Item
from avssl.sample import Sample


class Halves(list[Item]):
    """Two items of every recording."""

    def recording(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(key=f"r{index // 2}")


class Toy:
    """Items whose sample is noise; some are bad, kill their process, or hang until a file appears (or for ever)."""

    def __init__(self, length: int, **odd: object):
        self.items = Halves(Item(k // 2, k % 2, k % 2 + 1.0) for k in range(length))
        self.bad: tuple[int, ...] = odd.get("bad", ())  # type: ignore[assignment]
        self.deadly: tuple[int, ...] = odd.get("deadly", ())  # type: ignore[assignment]
        self.hanging: tuple[int, ...] = odd.get("hanging", ())  # type: ignore[assignment]
        self.once: Path | None = odd.get("once")  # type: ignore[assignment]

    def get(self, index: int, generator: Generator) -> Sample:
        if index in self.bad:
            raise ValueError(f"item {index} is broken")
        # With `once`, only the first process that comes here has bad luck.
        lucky = self.once is not None and self.once.exists()
        if index in self.deadly and not lucky:
            self._mark()
            os.kill(os.getpid(), signal.SIGKILL)
        if index in self.hanging and not lucky:
            self._mark()
            time.sleep(600)
        return Sample(
            f"r{index // 2}", index, (float(index),), {"video": torch.rand(1, 2, 3, 8, 8, generator=generator)}
        )

    def _mark(self) -> None:
        if self.once is not None:
            self.once.touch()


def plain(sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
    """Some tensors of different types."""
    return {
        "video": (255 * sample.video[0]).byte(),
        "noise": torch.randn(3, generator=generator),
        "half": torch.rand((), generator=generator).bfloat16(),
        "flag": torch.tensor(sample.index % 2 == 0),
        "progress": torch.tensor(progress),
        "threads": torch.tensor(torch.get_num_threads()),
    }


def slow(sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
    """Like plain, but takes a while."""
    time.sleep(0.02)
    return plain(sample, generator, progress)


def wrong(sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
    """A transform with a bug."""
    if sample.index == 3:
        raise KeyError("no such part")
    return plain(sample, generator, progress)


def growing(sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
    """Tensors whose size depends on the progress: another layout at every step."""
    return {"x": torch.rand(4 + round(progress), 2, generator=generator)}


def ragged(sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
    """Tensors that cannot be stacked."""
    return {"x": torch.zeros(1 + sample.index % 2)}
