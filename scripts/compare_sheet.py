"""A sheet of what networks look for and what they find alike: first filters, nearest neighbors of a few pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from compare_figures import by_name
from matplotlib.figure import Figure
from numpy.typing import NDArray
from seeds import Row

from avssl.data.manifest import Manifest
from avssl.probe import decoded, features, importers
from avssl.probe.decoded import Decoded
from avssl.report.filters import first, strongest
from avssl.report.filters import sheet as filters
from avssl.report.neighbors import cosines, nearest, shares
from avssl.train.build import Loaded
from avssl.train.checkpoint import load_run

PER_CLASS = 40
"""test pictures among which neighbors are looked for"""
QUERIES, NEIGHBORS = 5, 5
FILTERS, ACROSS, SIDE = 32, 16, 30
"""the strongest, how many in a line, and pixels that one is enlarged to"""
GAP, SAME = 2, (230, 100, 20)
"""pixels of a frame, and the color of those around pictures of the query's class"""


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
    seen, labels = _pictures(next(iter(loaded.values())), out)
    pictures = np.asarray(seen.x, np.uint8)
    queries = np.linspace(0, len(seen.owner) - 1, QUERIES).round().astype(np.int64)
    figure = Figure(figsize=(17, 0.62 * len(loaded) + 0.5), layout="constrained")
    axes = figure.subplots(len(loaded), 2, squeeze=False, width_ratios=[3, 12])
    chance = 0.0
    for (left, right), (label, one) in zip(axes, loaded.items(), strict=True):
        weights = first(one.method.encoders["image"])
        assert weights is not None, "encoders of pictures begin with a convolution"
        left.imshow(filters(weights[strongest(weights, FILTERS)], ACROSS, SIDE), interpolation="nearest")
        scores = cosines(features.vectors(one.method, seen))
        right.imshow(neighbors(scores, pictures, queries, labels), interpolation="nearest")
        told = shares(scores, labels, NEIGHBORS)
        assert told is not None, "there are several pictures of each class"
        chance = told[1]
        right.text(1.01, 0.5, f"{told[0]:.0%}", transform=right.transAxes, va="center", fontsize=9)
        left.set_ylabel(label.replace("_", " "), rotation=0, ha="right", va="center", fontsize=9)
        for place in (left, right):
            place.set_xticks([])
            place.set_yticks([])
            place.spines[:].set_visible(False)
    axes[0, 0].set_title("filters of the first layer", fontsize=9)
    axes[0, 1].set_title("a test picture, and the test pictures most like it, framed where of its class", fontsize=9)
    axes[0, 1].set_title(f"of all {NEIGHBORS} nearest\nof its class\n(chance {chance:.0%})", fontsize=7, loc="right")
    return figure, missing


def folder(out: Path, row: Mapping[str, Any]) -> Path:
    """Where a row's run lies."""
    return out / "runs" / f"{row['name']}-{row['steps']}-{row['seed']}"


def _pictures(one: Loaded, out: Path) -> tuple[Decoded, list[str]]:
    """Test pictures in a drawn order, so that classes do not lie together, and the class of each."""
    assert one.manifest is not None
    room = out / "decoded"
    room.mkdir(parents=True, exist_ok=True)
    found = importers.manifest(Manifest.load(one.manifest), "sheet", "kind", None).fewer(PER_CLASS)
    found, seen = decoded.decode(found, one.inputs, "image", room)
    test = np.array([place for place, example in enumerate(found.examples) if example.part == "test"])
    order = test[np.random.default_rng(0).permutation(len(test))]
    labels = [found.examples[place].label for place in order]
    return Decoded("image", np.asarray(seen.x[order]), np.arange(len(order)), one.inputs), labels


def neighbors(
    scores: NDArray[np.float64], pictures: NDArray[np.uint8], queries: NDArray[np.int64], labels: Sequence[str]
) -> NDArray[np.uint8]:
    """Each query and the pictures most like it, [h, w, 3], with frames around those of its label.

    Args:
        scores: [N, N].
        pictures: [N, 3, H, W].
        queries: places of those asked for.
        labels: N of them.
    """
    parts = []
    for query in queries:
        row = [_framed(pictures[query], False)]
        gap = np.full((row[0].shape[0], 3 * GAP, 3), 255, np.uint8)
        row.append(gap)
        row += [_framed(pictures[k], labels[k] == labels[query]) for k in nearest(scores, int(query), NEIGHBORS)]
        parts += [*row, gap, gap, gap]
    return np.concatenate(parts[:-3], 1)


def _framed(picture: NDArray[np.uint8], same: bool) -> NDArray[np.uint8]:
    """A picture [3, H, W] with its frame, [h, w, 3]."""
    height, width = picture.shape[1:]
    made = np.full((height + 2 * GAP, width + 2 * GAP, 3), SAME if same else (255, 255, 255), np.uint8)
    made[GAP:-GAP, GAP:-GAP] = picture.transpose(1, 2, 0)
    return made
