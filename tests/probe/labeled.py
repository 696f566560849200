"""Small label sets whose truth is known, and runs that are not trained."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from contract import tiny
from numpy.typing import NDArray

from avssl.probe.decoded import Decoded
from avssl.probe.examples import Example, Examples
from avssl.probe.study import Study
from avssl.train.build import Loaded


def listed(labels, *, part=None, fold=None, group=None, name="made") -> Examples:
    """Examples without files: labels and where they stand."""
    count = len(labels)
    return Examples(
        name,
        tuple(
            Example(
                Path(f"{k}.png"), str(k), str(labels[k]), part=(part or ["train"] * count)[k],
                fold=(fold or [""] * count)[k], group=(group or [""] * count)[k], kinds=frozenset({"image"}),
                sha256=str(k),
            )
            for k in range(count)
        ),
    )  # fmt: skip


def split(count: int, classes: int, name: str = "made") -> Examples:
    """``count`` examples of classes in turn; each tenth run of classes is val, the next test."""
    parts = [
        ("val" if (k // classes) % 5 == 3 else "test" if (k // classes) % 5 == 4 else "train") for k in range(count)
    ]
    return listed([k % classes for k in range(count)], part=parts, name=name)


def colored(data: Examples, side: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    """Pictures uint8 [N, 3, H, W]: noise, with a patch of the class's color at a random place."""
    draw = np.random.default_rng(seed)
    colors = np.array([[230, 30, 30], [30, 230, 30], [30, 30, 230], [230, 230, 30]], np.uint8)
    x = draw.integers(90, 150, (len(data), 3, side, side)).astype(np.uint8)
    for place, number in enumerate(data.labels):
        top, left = draw.integers(0, side // 2 + 1, 2)
        x[place, :, top : top + side // 2, left : left + side // 2] = colors[number, :, None, None]
    return x


def study(data: Examples, x: NDArray[np.uint8], method: str = "simclr", *words: str) -> Study:
    """An untrained run on decoded pictures; its "trained" network is another draw of the same architecture."""
    run = tiny.run(method, *words)
    modality = next(iter(run.kind.modalities))
    loaded = Loaded(run.cfg, run.method(1).eval(), run.inputs, "d" * 64, None, 0)
    decoded = Decoded(modality, x, np.arange(len(x)), run.inputs)
    return Study("runs/x", loaded, run.method(0).eval(), data, decoded)


def same_state(one: torch.nn.Module, other: dict[str, torch.Tensor]) -> bool:
    """Whether nothing in a module has changed."""
    return all(torch.equal(value, other[key]) for key, value in one.state_dict().items())


def state_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of a module's state."""
    return copy.deepcopy(module.state_dict())
