"""What frozen towers saw, on disk: an input that comes again is read instead of computed.

The name of a file is a hash of the tower (its weights, its settings) and of the very input, bit for bit: of the
recording, its window, its size and every augmentation. So what is read is always right, but only inputs that come again
are found: ``data.draws`` lets items come in so many draws of windows and crops, and no more.

Values are rounded to half precision, when they are computed as when they are read, and computed in float32; on a CPU
one input at a time, so that they do not depend on what else was looked for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

VERSION = 1
SPARE_BYTES = 1 << 30
"""free disk that is never used up"""
SUFFIX = ".safetensors"
_log = logging.getLogger(__name__)

Look = Callable[[Tensor], tuple[Tensor, ...]]
"""inputs [B, ...] -> outputs, each [B, ...]"""


class Memory:
    """The memory of one tower.

    Args:
        folder: of this tower; made when something is kept.
        room_bytes: how much more may be written; beyond it, and where the disk is full, nothing more is kept.

    ``computed`` and ``found`` count inputs.
    """

    def __init__(self, folder: Path, room_bytes: int):
        self.folder = folder
        self.room_bytes = room_bytes
        self.computed = 0
        self.found = 0

    def __call__(self, look: Look, x: Tensor) -> tuple[Tensor, ...]:
        """``look(x)`` in float32 on the device of x [B, ...], without gradients."""
        if not len(x):
            return look(x)
        rows = x.detach().cpu()
        names = [_hash(row) for row in rows]
        held = {name: kept for name in dict.fromkeys(names) if (kept := self._read(name)) is not None}
        lacking = [name for name in dict.fromkeys(names) if name not in held]
        for at_once in [[name] for name in lacking] if x.device.type == "cpu" else [lacking] * bool(lacking):
            places = [names.index(name) for name in at_once]
            with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
                outputs = [_half(output.float()).cpu() for output in look(x[places])]
            for number, name in enumerate(at_once):
                made = tuple(output[number].contiguous() for output in outputs)
                held[name] = made
                self._write(name, made)
        self.computed += len(lacking)
        self.found += len(held) - len(lacking)
        columns = zip(*(held[name] for name in names), strict=True)
        return tuple(torch.stack([part.float() for part in column]).to(x.device) for column in columns)

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}{SUFFIX}"

    def _read(self, name: str) -> tuple[Tensor, ...] | None:
        """What is kept; None where nothing is, or what is there is damaged."""
        try:
            with safe_open(self._path(name), "pt") as file:
                values = tuple(file.get_tensor(key) for key in sorted(file.keys()))
                return values if (file.metadata() or {}).get("sum") == _sum(values) else None
        except (OSError, SafetensorError):
            return None

    def _write(self, name: str, values: tuple[Tensor, ...]) -> None:
        """Whole or not at all, so that any number of processes may write the same."""
        data = save({str(number): value for number, value in enumerate(values)}, metadata={"sum": _sum(values)})
        if len(data) > self.room_bytes:
            return
        path = self._path(name)
        partial = path.with_name(f".{name}.{os.getpid()}-{threading.get_ident()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(partial, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            os.replace(partial, path)
        except OSError as error:
            _log.warning("%s: features cannot be kept (%s); going on without", self.folder, error.strerror)
            self.room_bytes = 0
            return
        finally:
            with suppress(OSError):
                partial.unlink()
        self.room_bytes -= len(data)
        if self.room_bytes < len(data):
            _log.warning("%s is full: further features are computed each time; raise data.features_gb", self.folder)


def root() -> Path:
    """The folder of all towers' memories, in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avssl" / "features"


def room(base: Path, towers: list[str], limit_bytes: int) -> int:
    """Bytes that may still be written below ``base``; what other towers saw is removed for it, the oldest first.

    Args:
        base: the folder of all memories.
        towers: digests whose memories stay.
        limit_bytes: most that all may take.
    """
    try:
        base.mkdir(parents=True, exist_ok=True)
        held = sorted((file.stat().st_mtime, file, file.stat().st_size) for file in base.glob(f"*/??/*{SUFFIX}"))
        total = sum(size for _, _, size in held)
        for _, file, size in held:
            if total > limit_bytes // 2 and file.parent.parent.name not in towers:
                file.unlink(missing_ok=True)
                total -= size
        return max(0, min(limit_bytes - total, shutil.disk_usage(base).free - SPARE_BYTES))
    except OSError as error:
        _log.warning("%s: features cannot be kept (%s); going on without", base, error.strerror)
        return 0


def digest(weights: dict[str, Tensor], about: dict[str, Any]) -> str:
    """A tower's name: a hash of its weights and of all that shapes what it sees."""
    told = hashlib.blake2b(json.dumps([VERSION, about], sort_keys=True, default=str).encode(), digest_size=16)
    for key in sorted(weights):
        told.update(f"{key} {weights[key].dtype} {tuple(weights[key].shape)}".encode())
        told.update(_bytes(weights[key]))
    return told.hexdigest()


def _hash(row: Tensor) -> str:
    told = hashlib.blake2b(f"{row.dtype} {tuple(row.shape)}".encode(), digest_size=16)
    told.update(_bytes(row))
    return told.hexdigest()


def _sum(values: tuple[Tensor, ...]) -> str:
    told = hashlib.blake2b(digest_size=8)
    for value in values:
        told.update(_bytes(value))
    return told.hexdigest()


def _bytes(value: Tensor) -> memoryview:
    plain: Any = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return memoryview(plain)


def _half(x: Tensor) -> Tensor:
    """In half precision, unless something is too large for it."""
    half = x.half()
    return half if bool(half.isfinite().all()) else x
