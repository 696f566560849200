"""A few thousand clustered vectors of three modalities, apart from each other as real ones are."""

import numpy as np

from retrieval.space import Space

WIDTH = 32
MODALITIES = ("video", "audio", "text")
SPACE = Space(name="main", digest="0123456789abcdef", modalities=MODALITIES, width=WIDTH)
CENTERS = np.random.default_rng(7).standard_normal((60, WIDTH))
GAPS = np.random.default_rng(8).standard_normal((len(MODALITIES), WIDTH))


def clustered(count, seed=0):
    """Unit vectors [count, WIDTH] and their rows; the modality goes round."""
    random = np.random.default_rng(seed)
    kinds, modalities = random.integers(len(CENTERS), size=count), np.arange(count) % len(MODALITIES)
    vectors = CENTERS[kinds] + 0.6 * GAPS[modalities] + 0.7 * random.standard_normal((count, WIDTH))
    rows = [
        {
            "recording": f"s{seed}r{number // 30}",
            "path": f"r{number // 30}.mp4",
            "start": float(number),
            "end": float(number + 1),
            "modality": MODALITIES[modality],
            "extra": {"kind": int(kind)},
        }
        for number, (kind, modality) in enumerate(zip(kinds, modalities, strict=True))
    ]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), rows


def brute(vectors, ids, queries, k):
    """The k best scores of each query and their ids, by a product in double precision."""
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), np.asarray(ids)[order]


def recall(found, true):
    """Share of the true nearest that were found; both [Q, k] of ids."""
    return np.mean([len(set(some) & set(wanted)) / len(wanted) for some, wanted in zip(found, true, strict=True)])
