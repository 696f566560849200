"""A sheet of what networks look for and what they find alike: first filters, nearest neighbors of a few pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from compare_tables import Row, by_name
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from avssl.data.manifest import Manifest
from avssl.probe import decoded, features, importers
from avssl.probe.decoded import Decoded
from avssl.train.build import Loaded
from avssl.train.checkpoint import load_run

PER_CLASS = 40
"""test pictures among which neighbors are looked for"""
QUERIES, NEIGHBORS = 5, 5
FILTERS = 32
PIXELS = 6
"""side of a filter's pixel on the sheet"""
GAP = 2


def sheet(rows: Sequence[Row], out: Path) -> tuple[Figure | None, list[str]]:
    """One line for each name, of its first seed; and the names whose runs are not in ``out``."""
    loaded, missing = {}, []
    for label, seeds in by_name(rows).items():
        try:
            loaded[label] = load_run(folder(out, seeds[0]))
        except ValueError:
            missing.append(label)
    if not loaded:
        return None, missing
    seen = _pictures(next(iter(loaded.values())), out)
    pictures = np.asarray(seen.x, np.uint8)
    queries = np.linspace(0, len(seen.owner) - 1, QUERIES).round().astype(np.int64)
    figure = Figure(figsize=(17, 0.62 * len(loaded) + 0.5), layout="constrained")
    axes = figure.subplots(len(loaded), 2, squeeze=False, width_ratios=[3, 12])
    for (left, right), (label, one) in zip(axes, loaded.items(), strict=True):
        left.imshow(filters(one.method.encoders["image"]), interpolation="nearest")
        right.imshow(neighbors(features.vectors(one.method, seen), pictures, queries), interpolation="nearest")
        left.set_ylabel(label.replace("_", " "), rotation=0, ha="right", va="center", fontsize=9)
        for place in (left, right):
            place.set_xticks([])
            place.set_yticks([])
            place.spines[:].set_visible(False)
    axes[0, 0].set_title("filters of the first layer", fontsize=9)
    axes[0, 1].set_title("a test picture, and the test pictures most like it", fontsize=9)
    return figure, missing


def folder(out: Path, row: Mapping[str, Any]) -> Path:
    """Where a row's run lies."""
    return out / "runs" / f"{row['name']}-{row['steps']}-{row['seed']}"


def _pictures(one: Loaded, out: Path) -> Decoded:
    """Test pictures, in the order of their names, not of their classes."""
    assert one.manifest is not None
    room = out / "decoded"
    room.mkdir(parents=True, exist_ok=True)
    found = importers.manifest(Manifest.load(one.manifest), "sheet", "kind", None).fewer(PER_CLASS)
    seen = decoded.decode(found, one.inputs, "image", room)
    test = np.array([place for place, example in enumerate(found.examples) if example.part == "test"])
    order = test[np.random.default_rng(0).permutation(len(test))]
    return Decoded("image", np.asarray(seen.x[order]), np.arange(len(order)), one.inputs)


def filters(encoder: nn.Module) -> NDArray[np.uint8]:
    """The first layer's filters side by side in two lines, each stretched to its own range, [h, w, 3]."""
    first = next(part for part in encoder.modules() if isinstance(part, nn.Conv2d))
    weights = first.weight.detach().float()[:FILTERS]  # [K, 3, k, k]
    low, high = weights.amin((1, 2, 3), keepdim=True), weights.amax((1, 2, 3), keepdim=True)
    shown = ((weights - low) / (high - low).clamp_min(1e-9) * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    large = np.kron(shown, np.ones((1, PIXELS, PIXELS, 1), np.uint8))
    half = -(-len(large) // 2)
    lines = [_row(list(large[:half])), _row(list(large[half:]))]
    width = max(line.shape[1] for line in lines)
    filled = [np.pad(line, ((0, GAP), (0, width - line.shape[1]), (0, 0)), constant_values=255) for line in lines]
    return np.concatenate(filled)


def neighbors(
    vectors: NDArray[np.float32], pictures: NDArray[np.uint8], queries: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Each query and the pictures most like it by cosine, [h, w, 3]; vectors [N, D], pictures [N, 3, H, W]."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    parts = []
    for query in queries:
        scores = unit @ unit[query]
        scores[query] = np.inf
        found = [pictures[place].transpose(1, 2, 0) for place in np.argsort(-scores)[: 1 + NEIGHBORS]]
        gap = np.full((found[0].shape[0], 3 * GAP, 3), 255, np.uint8)
        parts += [found[0], gap, _row(found[1:]), gap, gap, gap]
    return np.concatenate(parts[:-3], 1)


def _row(parts: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures of one height side by side, with gaps."""
    gap = np.full((parts[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([piece for part in parts for piece in (part, gap)][:-1], 1)
