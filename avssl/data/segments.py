"""Batches in memory that several processes see: where each tensor lies, and how it is released."""

from __future__ import annotations

import itertools
import math
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

ALIGNMENT = 64

Layout = tuple[tuple[str, str, tuple[int, ...]], ...]
"""(name, dtype, shape of one row) of every tensor of a batch"""


def layout_of(example: Mapping[str, Tensor]) -> Layout:
    """Names, dtypes and shapes of one row."""
    return tuple((name, str(x.dtype).removeprefix("torch."), tuple(x.shape)) for name, x in example.items())


def places(layout: Layout, rows: int) -> tuple[list[tuple[str, torch.dtype, tuple[int, ...], int, int]], int]:
    """(name, dtype, [rows, ...] shape, first byte, bytes) of every field, and the bytes of all."""
    found, at = [], 0
    for name, kind, shape in layout:
        dtype: torch.dtype = getattr(torch, kind)
        size = rows * math.prod(shape) * dtype.itemsize
        found.append((name, dtype, (rows, *shape), at, size))
        at += -(-size // ALIGNMENT) * ALIGNMENT
    return found, max(at, ALIGNMENT)


def fields(memory: Tensor, layout: Layout, rows: int) -> dict[str, Tensor]:
    """uint8 [bytes] -> the batch's tensors [rows, ...], without a copy."""
    where, _ = places(layout, rows)
    return {name: memory[at : at + size].view(dtype).view(shape) for name, dtype, shape, at, size in where}


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


def packed(examples: list[dict[str, Tensor]]) -> tuple[Layout, list[bytes], int]:
    """Examples as (layout, bytes of every field, rows), for a pipe; what is sent before the layout is known."""
    stacked = [torch.stack([example[name] for example in examples]) for name in examples[0]]
    return layout_of(examples[0]), [x.reshape(-1).view(torch.uint8).numpy().tobytes() for x in stacked], len(examples)


def unpacked(layout: Layout, data: list[bytes], rows: int) -> dict[str, Tensor]:
    """What :func:`packed` packed, as tensors [rows, ...]."""
    found = {}
    for (name, kind, shape), raw in zip(layout, data, strict=True):
        dtype = getattr(torch, kind)
        flat = torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.empty(0, dtype=dtype)
        found[name] = flat.view(rows, *shape)
    return found


def mapped(path: str) -> Tensor:
    """The memory of another process's :class:`Segment`, uint8 [bytes]."""
    fd = os.open(path, os.O_RDWR)
    try:
        return torch.from_numpy(np.frombuffer(mmap.mmap(fd, 0), np.uint8))
    finally:
        os.close(fd)
