"""Say which of a fixed set of permutations has shuffled the tiles of a picture.

Mehdi Noroozi, Paolo Favaro: Unsupervised Learning of Visual Representations by Solving Jigsaw Puzzles, ECCV 2016,
arXiv:1603.09246.

Meaning of a label: with permutation p, place k of the network's input shows cell p[k] of the picture, cells counted row
by row. Shortcuts are closed by a random place of each tile in its cell (no edge continues), its own mean and deviation
(no order of brightness), pictures without colour and shifted colour planes (no chromatic aberration).

Deviations: the set of permutations is chosen by the greatest least Hamming distance (the copied "greatest mean" rule is
no better than drawing at random); any encoder takes the place of AlexNet, with one vector per tile.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.pictures import OfPictures
from avssl.nn.heads import mlp
from avssl.sample import Sample
from avssl.views.aberration import displaced


class Config(MethodConfig):
    """Jigsaw; defaults are the paper's."""

    grid: int = Field(3, ge=2, le=3)
    """cells along each side"""
    permutations: int = Field(1000, ge=2)
    """N, how many permutations there are to tell apart"""
    tile: float = Field(64 / 75, gt=0, le=1)
    """side of a tile as a share of its cell; at 1 neighbouring tiles touch, which is a shortcut"""
    normalize: bool = True
    """each tile has its own mean and deviation; without it the order of brightness is a shortcut"""
    gray: float = Field(0.3, ge=0, le=1)
    """share of pictures without colour"""
    shift: int = Field(2, ge=0)
    """most pixels by which a colour plane of a tile is moved"""
    hidden: int = Field(4096, ge=1)
    """width of the hidden layer over all tiles"""
    seed: int = 0
    """chooses among equally distant permutations"""


@functools.lru_cache(maxsize=8)
def far_permutations(parts: int, count: int, seed: int = 0) -> Tensor:
    """int64 [count, parts]: each next permutation is the one farthest (in Hamming distance) from all before it.

    Raises ValueError if there are not so many permutations.
    """
    every = np.array(list(itertools.permutations(range(parts))), np.uint8)  # [parts!, parts]
    if count > len(every):
        raise ValueError(f"method.permutations: {parts} tiles have {len(every)} permutations, got {count}")
    columns = np.ascontiguousarray(
        np.random.default_rng(seed).permutation(every).T
    )  # ties fall to the first: a random one
    most_shared = np.zeros(columns.shape[1], np.uint8)  # places shared with the nearest chosen one
    chosen = [0]
    for _ in range(count - 1):
        latest = columns[:, chosen[-1]]
        np.maximum(most_shared, sum((row == place).view(np.uint8) for row, place in zip(columns, latest, strict=True)),
                   out=most_shared)  # fmt: skip
        chosen.append(int(most_shared.argmin()))
    return torch.from_numpy(columns[:, chosen].T.astype(np.int64))


class Shuffle:
    """One picture -> its tiles uint8 [P, 3, h, w] in a permuted order, and the label."""

    def __init__(self, cfg: Config, permutations: Tensor):
        self.cfg = cfg
        self.permutations = permutations

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Draws the colours, each tile's place in its cell, and the permutation."""
        tiles = views.gray(self.tiles(sample.video[0, 0], generator), generator, self.cfg.gray)
        label = views.integer(generator, len(self.permutations))
        return {"tiles": tiles[self.permutations[label]], "label": torch.tensor(label)}

    def words(self, example: Batch) -> dict[str, str]:
        """The arrangement, row by row."""
        rows = self.permutations[int(example["label"])].reshape(-1, self.cfg.grid).tolist()
        return {"label": "in place of cells 0, 1, ... are\n" + "\n".join(" ".join(map(str, row)) for row in rows)}

    def tiles(self, x: Tensor, generator: Generator) -> Tensor:
        """[3, H, W] -> one tile at a random place of each cell, row by row, [P, 3, h, w].

        Planes are displaced in each tile anew: together, differences between tiles would stay.
        """
        grid, rim = self.cfg.grid, 2 * self.cfg.shift
        tall, wide = (x.shape[1] - rim) // grid, (x.shape[2] - rim) // grid
        h, w = max(1, int(tall * self.cfg.tile)), max(1, int(wide * self.cfg.tile))
        found = []
        for row, column in itertools.product(range(grid), repeat=2):
            top = row * tall + views.integer(generator, tall - h + 1)
            left = column * wide + views.integer(generator, wide - w + 1)
            found.append(displaced(x[:, top : top + h + rim, left : left + w + rim], generator, self.cfg.shift))
        return torch.stack(found)


class Jigsaw(OfPictures[Config]):
    """One encoder sees each tile alone; a head sees all their vectors side by side."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.head = mlp(cfg.grid**2 * self.width, cfg.hidden, cfg.permutations)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``tiles`` uint8 [P, 3, h, w] and ``label``."""
        return Shuffle(cfg, far_permutations(cfg.grid**2, cfg.permutations, cfg.seed))

    def chance(self, items: int) -> dict[str, float]:
        """Of naming the right one."""
        return {"accuracy": 1 / self.cfg.permutations}

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Cross-entropy of the permutation."""
        tiles = batch["tiles"].float() / 255  # [B, P, 3, h, w]
        if self.cfg.normalize:
            deviation, mean = torch.std_mean(tiles, (2, 3, 4), keepdim=True, correction=0)
            tiles = (tiles - mean) / deviation.clamp_min(1e-2) / 4 + 0.5  # encoders expect 0..1
        vectors = self.encoders["image"](tiles.flatten(0, 1)).vector.unflatten(0, tiles.shape[:2])  # [B, P, D]
        logits = self.head(vectors.flatten(1))
        accuracy = (logits.argmax(1) == batch["label"]).float().mean()
        return Step(F.cross_entropy(logits, batch["label"]), detached({"accuracy": accuracy}))
