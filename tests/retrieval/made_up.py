"""Made-up vectors and rows."""

import numpy as np

from retrieval.space import Space

WIDTH = 8
SPACE = Space(name="main", digest="0123456789abcdef", modalities=("video", "audio", "text"), width=WIDTH)


def vectors_of(count, seed=0):
    """Unit vectors; the first of them are the same for every count."""
    vectors = np.random.default_rng(seed).standard_normal((count, WIDTH))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def cells_of_row(identity):
    """Cells [2, 3, 5] of the picture of a row, by its id."""
    return np.random.default_rng([identity, 5]).standard_normal((2, 3, 5)).astype(np.float32)


def rows_of(count, first=0, modality="video"):
    return [
        {
            "recording": f"r{number // 4}",
            "path": f"videos/r{number // 4}.mp4",
            "start": 2.0 * (number % 4),
            "end": 2.0 * (number % 4) + 2.0,
            "modality": modality,
            "narration": f"moment {number}",
            "extra": {"kind": "bell" if number % 2 else "drum"},
        }
        for number in range(first, first + count)
    ]
