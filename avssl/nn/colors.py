"""Colours as classes: the bins of Zhang, Isola, Efros (ECCV 2016), their rarity, and the way back to a colour."""

from __future__ import annotations

import functools
import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

from avssl import ops

GRID = 10
"""distance of two bins in a and b"""
BEYOND = ((40, 90), (100, -90), (100, -10), (100, 0))
"""bins of the published 313 that no colour of a screen comes near enough to"""


@functools.lru_cache(maxsize=1)
def centers() -> Tensor:
    """The 313 bins (a, b) [313, 2], a then b increasing.

    309 are the corners of all squares of 10 by 10 in the ab plane that a colour of sRGB falls into; with the four
    others the set is the one that was published.
    """
    few, many = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 256), indexing="ij")
    # all faces of the cube of colours, its edges finely: in the ab plane, what is inside it lies inside its surface
    faces = [face for value in (0.0, 1.0) for face in itertools.permutations((torch.full_like(few, value), few, many))]
    points = ops.lab(torch.stack([torch.stack(face) for face in faces]))[:, 1:]  # [12, 2, 32, 256]
    squares = (points / GRID).floor().movedim(1, -1).reshape(-1, 2).unique(dim=0).long()
    bins = {(a + i, b + j) for a, b in squares.tolist() for i in (0, 1) for j in (0, 1)}
    bins |= {(a // GRID, b // GRID) for a, b in BEYOND}
    return torch.tensor(sorted(bins)).float() * GRID


def soft_bins(ab: Tensor, neighbors: int, deviation: float) -> Tensor:
    """ab [N, 2] -> shares [N, Q] of the nearest bins, weighted by a Gaussian of their distance, adding up to 1."""
    distance = torch.cdist(ab.float(), centers().to(ab.device)).square()  # [N, Q]
    near, bins = distance.topk(neighbors, 1, largest=False)
    # the nearest one's factor divides out, and nothing underflows far outside the bins
    weight = torch.softmax(-near / (2 * deviation**2), 1)
    return torch.zeros_like(distance).scatter_(1, bins, weight)


def rarity(prior: Tensor, uniform: float) -> Tensor:
    """Share of each bin in the data [Q] -> weights ((1 - l) p + l / Q')^-1, scaled so that their mean over p is 1.

    Args:
        prior: adds up to 1; Q' is the number of bins with a share.
        uniform: l; at 1 all bins with a share weigh 1. Those without one weigh 0.
    """
    seen = (prior > 0).to(prior.dtype)
    mixed = (1 - uniform) * prior + uniform * seen / seen.sum()
    weight = seen / mixed.clamp_min(1e-12)
    return weight / (weight * prior).sum()


def annealed(logits: Tensor, temperature: float) -> Tensor:
    """Logits [B, Q, h, w] -> the mean colour ab [B, 2, h, w] of the distribution sharpened by 1 / temperature."""
    return torch.einsum("bqhw,qc->bchw", F.softmax(logits.float() / temperature, 1), centers().to(logits.device))
