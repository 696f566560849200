"""Score maps and boxes become masks: enlarging, thresholding rules by name, box rasters, annotators' consensus.

Every function takes one item at a time (or treats each item of a stack on its own) in float64, so no result can
depend on what else is in a batch.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rule = Literal["top_half", "top_half_strict", "adaptive", "fixed", "universal"]

RULES: tuple[str, ...] = ("top_half", "top_half_strict", "adaptive", "fixed", "universal")


def as_scores(values: ArrayLike | Any, dimensions: tuple[int, ...] = (2,)) -> Floats:
    """The values as float64, refused when the rank is wrong, when empty, or when any value is not finite.

    NaN is refused instead of ignored: a scorer that drops it would reward a network for breaking.
    """
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim not in dimensions or scores.size == 0:
        ranks = " or ".join(str(d) for d in dimensions)
        raise ValueError(f"a score map has {ranks} dimensions and at least one cell, got shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"a score map of shape {scores.shape} holds NaN or infinity; every cell must be finite")
    return scores


def _neighbours(cells: int, pixels: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """For each pixel centre: the cell before it, the cell after it, and the weight of the second."""
    place = np.clip((np.arange(pixels) + 0.5) * (cells / pixels) - 0.5, 0.0, cells - 1.0)
    before = np.floor(place).astype(np.int64)
    return before, np.minimum(before + 1, cells - 1), place - before


Part = tuple[slice, slice]
"""rows and columns of a picture"""


def upsample(scores: ArrayLike | Any, size: tuple[int, int], part: Part = (slice(None), slice(None))) -> Floats:
    """Bilinear resize of [h, w] or [N, h, w] to `size` (H, W), corners not aligned, without anti-aliasing.

    Of a `part` of the picture only that is made, with the same values.

    Published scorers differ here (corner-aligned, bicubic, OpenCV); cell centres map to centres of their squares of
    pixels. The form a + weight * (b - a) keeps equal cells exactly equal, so ties survive and are scored as ties.
    """
    cells = as_scores(scores, (2, 3))
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"size must be two positive numbers (height, width), got {size}")
    above, below, down = (held[part[0]] for held in _neighbours(cells.shape[-2], height))
    rows = cells[..., above, :]
    rows = rows + down[:, None] * (cells[..., below, :] - rows)  # [.., H, w]
    left, right, across = (held[part[1]] for held in _neighbours(cells.shape[-1], width))
    columns = rows[..., left]
    out: Floats = columns + across * (rows[..., right] - columns)  # [.., H, W]
    return out


def reach(lit: Mask, size: tuple[int, int]) -> Part:
    """The part of a picture of `size` (H, W) to which the lit cells [h, w], at least one, lend their scores."""
    spans = []
    for axis, pixels in enumerate(size):
        places = np.flatnonzero(lit.any(axis=1 - axis))
        share = pixels / lit.shape[axis]
        first, last = int((places[0] - 0.5) * share), int(np.ceil((places[-1] + 1.5) * share))
        spans.append(slice(max(first, 0), min(last, pixels)))
    return spans[0], spans[1]


def binarize(
    scores: ArrayLike | Any,
    rule: Rule = "top_half",
    truth: ArrayLike | Any | None = None,
    threshold: float | None = None,
) -> Mask:
    """The pixels of one map [H, W] that a rule counts as found, bool [H, W].

    * ``top_half``: pixels >= the ascending-sorted value at index floor(N / 2) (EZ-VSL, SLAVC, FNAC). Marks half of a
      map without ties; a constant map marks everything, and so does a non-negative map that is 0 on more than half
      of its pixels, because that value is then 0.
    * ``top_half_strict``: the same with > (LVS): a constant map marks nothing, a mostly zero one its positive pixels.
    * ``adaptive``: as many of the highest pixels as `truth` has non-zero ones, half of the picture when it has none
      (SSL-Align). Pixels tied with the last one taken are taken too.
    * ``fixed``: pixels >= `threshold` (default 0.5) after the map is stretched to 0..1; a constant map marks nothing.
    * ``universal``: pixels >= `threshold`, on the scores as they are: one number for all items.

    Raises ValueError for an unknown rule, or where the rule's `truth` or `threshold` is missing.
    """
    values = as_scores(scores)
    flat = values.ravel()
    if rule in ("top_half", "top_half_strict"):
        middle = np.partition(flat, flat.size // 2)[flat.size // 2]
        return np.asarray(values > middle if rule == "top_half_strict" else values >= middle)
    if rule == "adaptive":
        if truth is None:
            raise ValueError('rule "adaptive" keeps as many pixels as the truth has: pass truth=')
        wanted = np.asarray(truth)
        if wanted.shape != values.shape:
            raise ValueError(f"truth has shape {wanted.shape}, the map {values.shape}; they must be equal")
        count = int(np.count_nonzero(wanted)) or flat.size // 2 or 1
        return np.asarray(values >= np.partition(flat, flat.size - count)[flat.size - count])
    if rule == "fixed":
        low, high = float(flat.min()), float(flat.max())
        if low == high:
            return np.zeros(values.shape, dtype=np.bool_)
        return np.asarray((values - low) / (high - low) >= (0.5 if threshold is None else threshold))
    if rule == "universal":
        if threshold is None:
            raise ValueError('rule "universal" needs threshold=, the one chosen on validation (choose_threshold)')
        return np.asarray(values >= threshold)
    raise ValueError(f"unknown threshold rule {rule!r}; known: {', '.join(RULES)}")


def boxes_to_mask(boxes: ArrayLike | Any, size: tuple[int, int]) -> Floats:
    """The union of boxes [K, 4] (x0, y0, x1, y1 as fractions of the picture) as 0 and 1 over `size` (H, W).

    The convention of the released lists: fractions are clipped to 0..1, edges are ``int(W * x)`` and ``int(H * y)``
    (truncated, not rounded), and a box holds columns x0 <= x < x1 and rows y0 <= y < y1. No boxes give an empty mask.
    A box thinner than a pixel, or one that ends before it starts, covers nothing: the VGG-SS list holds twelve whose
    end is an overflowed integer, and its items count with whatever boxes they have left.
    """
    height, width = size
    fractions = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) if np.size(boxes) else np.zeros((0, 4))
    if not np.isfinite(fractions).all():
        raise ValueError("a box holds NaN or infinity; boxes are x0, y0, x1, y1 as fractions 0 to 1")
    mask = np.zeros((height, width), dtype=np.float64)
    for x0, y0, x1, y1 in np.clip(fractions, 0.0, 1.0):
        mask[int(height * y0) : int(height * y1), int(width * x0) : int(width * x1)] = 1.0
    return mask


def consensus(masks: ArrayLike | Any, agree: int = 2) -> Floats:
    """Annotators' masks [K, H, W] as one truth [H, W] in 0..1: min(1, sum / agree) (Flickr-SoundNet, Senocak 2018).

    With `agree` = 2 a pixel that two annotators marked counts fully, one that a single annotator marked half.
    """
    stack = as_scores(masks, (3,))
    if agree < 1:
        raise ValueError(f"agree is a number of annotators, at least 1, got {agree}")
    agreed: Floats = np.minimum(1.0, stack.sum(axis=0) / agree)
    return agreed


def truth_over_time(
    boxes: Sequence[ArrayLike | Any], size: tuple[int, int], combine: Literal["union", "mean"] = "union"
) -> Floats:
    """The truth of a whole clip [H, W] from boxes per time (each [K, 4] fractions, empty where nothing sounds).

    ``union`` marks all that the thing ever covered, 0 or 1, as the still-picture lists do with several boxes.
    ``mean`` gives each pixel the share of the sounding times (those that have a box) at which it was covered, so a
    moving thing's path weighs less than the place where it stays.
    """
    if combine not in ("union", "mean"):
        raise ValueError(f'truth over time is combined by "union" or "mean", got {combine!r}')
    total = np.zeros(size, dtype=np.float64)
    sounding = 0
    for at_one_time in boxes:
        if np.size(at_one_time):
            total += boxes_to_mask(at_one_time, size)
            sounding += 1
    return np.minimum(1.0, total) if combine == "union" else total / max(sounding, 1)
