"""How a network does on the validation split while it trains: its own pairs, or neighbors of a kind, found."""

from collections.abc import Callable
from typing import Any

import numpy as np

from avssl.data.manifest import Manifest
from avssl.evaluation.finding import directions, relevance
from avssl.evaluation.middles import chosen_label, middles
from avssl.methods.base import Method
from retrieval import metrics

MOST = 200
"""recordings, spread over the split: a figure every few minutes must not cost minutes"""


def held_out(
    manifest: Manifest, split: str = "val", most: int = MOST
) -> Callable[[Method[Any], int], dict[str, float]]:
    """A callback (method, step) -> figures for the training loop; ``score`` is their mean, higher is better.

    Across modalities each figure is the mean reciprocal rank of the recording's own pair; for a method of one modality
    it is the share of recordings whose nearest other one carries the same label. Empty for a method without a space,
    and where the split holds fewer than two recordings to compare.
    """
    held = manifest.split(split)
    places = np.unique(np.linspace(0, len(held) - 1, min(len(held), most)).round().astype(int)).tolist() if held else []
    recordings = [held[place] for place in places]
    label = chosen_label(recordings)
    labels = [recording.labels.get(label, "") for recording in recordings]

    def figures(method: Method[Any], step: int) -> dict[str, float]:
        if not method.spaces or len(recordings) < 2:
            return {}
        vectors = middles(method, method.inputs, manifest, recordings)
        found: dict[str, float] = {}
        for a, b in directions(list(vectors)):
            both = sorted(set(vectors[a]) & set(vectors[b]))
            if len(both) < 2 or (a == b and (len(vectors) > 1 or not label)):
                continue
            scores = np.stack([vectors[a][k] for k in both]) @ np.stack([vectors[b][k] for k in both]).T
            own = np.arange(len(both))
            if a == b:
                alike = relevance([labels[k] for k in both])
                found[f"{a}_neighbors"] = metrics.recall_at(scores, alike, 1, exclude=own)
            else:
                found[f"{a}_to_{b}"] = metrics.mrr(scores, own)
        return {**found, "score": float(np.mean(list(found.values())))} if found else {}

    return figures
