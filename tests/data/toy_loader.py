"""A loader of made-up items, and whether two runs gave the same batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from toy_source import Toy, plain

from avssl.data.loader import Loader

Batch = dict[str, Tensor]


def loader(source: Toy, transform: Callable[..., Any] = plain, **settings: Any) -> Loader:
    settings = {"batch": 8, "seed": 5, "workers": 0, "length": len(source.items), "bad_budget": 0.3, **settings}
    return Loader(source, transform, **settings)


def same(a: list[Batch], b: list[Batch], *, but: tuple[str, ...] = ("threads",)) -> bool:
    return len(a) == len(b) and all(
        x.keys() == y.keys() and all(torch.equal(x[k], y[k]) and x[k].dtype == y[k].dtype for k in x if k not in but)
        for x, y in zip(a, b, strict=True)
    )
