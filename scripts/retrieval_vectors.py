"""Vectors to measure retrieval on: made up, or made of a trained network's windows (see scripts/bench_retrieval.py)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.kinds import import_faiss

NEIGHBORS = 5
NOISE = 0.1
MOVES = 4  # differences that make one noise


class Clustered:
    """Made-up windows: a kind's center and the window's own part, then for each modality a shift of its own and noise.
    The spectrum falls so that the effective rank is 12, which is what the trained made-up world has."""

    told = "clustered, made up"
    modalities = ("video", "audio")

    def __init__(self, width: int) -> None:
        self.width = width
        random = np.random.default_rng(0)
        self.scale = (1.0 + np.arange(width, dtype=np.float32)) ** -0.6
        self.turn = np.linalg.qr(random.standard_normal((width, width)))[0].astype(np.float32)
        self.centers = (random.standard_normal((1000, width)) * self.scale).astype(np.float32)
        self.shifts = (0.5 * random.standard_normal((2, width)) * self.scale).astype(np.float32)

    def block(self, count: int, seed: int) -> list[np.ndarray]:
        """Unit vectors of so many windows, [count, width] for each modality."""
        random = np.random.default_rng(seed)
        own = 0.7 * random.standard_normal((count, self.width), np.float32) * self.scale
        meant = self.centers[random.integers(len(self.centers), size=count)] + own
        noise = (0.3 * random.standard_normal((count, self.width), np.float32) * self.scale for _ in self.shifts)
        return [unit((meant + shift + some) @ self.turn) for shift, some in zip(self.shifts, noise, strict=True)]


class Windows:
    """A trained network's windows, and more between them.

    Pictures come first; a sound or a phrase belongs to the window of its recording whose middle is nearest to its own.
    Windows without one of each are left out; a modality that most windows lack is left out itself.
    """

    def __init__(self, folder: Path, width: int, wanted: Sequence[str] | None = None, even: bool = False) -> None:
        """wanted: modalities, all there are unless given. even: noise is alike in all directions, also in those that
        no window of the network fills; else it is made of differences between windows and their nearest.

        Raises ValueError, one line, for a folder without vectors and for a width below theirs.
        """
        held = {name: found for name, found in _read(folder).items() if wanted is None or name in wanted}
        if not held or (wanted is not None and len(held) < len(wanted)):
            raise ValueError(f"{folder} does not hold all of {', '.join(wanted or ())}")
        first = max(held, key=lambda name: (name == "video", len(held[name][1])))
        places = {name: _beside(held[first][1], rows) for name, (_, rows) in held.items()}
        kept = {name: found for name, found in places.items() if (found >= 0).mean() > 0.5}
        whole = np.logical_and.reduce([found >= 0 for found in kept.values()])
        vectors = {name: unit(held[name][0][found[whole]]) for name, found in kept.items()}
        own = vectors[first].shape[1]
        if own > width:
            raise ValueError(f"the vectors of {folder} have width {own}; ask for --width {own} or more")
        self.modalities, self.width, self.even = tuple(vectors), width, even
        # FAISS's products are slow at some widths, which would flatter us; turning changes no inner product.
        turn = np.linalg.qr(np.random.default_rng(0).standard_normal((width, own)))[0].T.astype(np.float32)
        self.held = {name: unit(found @ turn) for name, found in vectors.items()}
        together = unit(np.concatenate(list(self.held.values()), axis=1))
        faiss = import_faiss()
        self.near = faiss.knn(together, together, NEIGHBORS + 1, metric=faiss.METRIC_INNER_PRODUCT)[1][:, 1:]
        self.told = (
            f"{int(whole.sum())} windows of a trained network (width {own}, {', '.join(self.modalities)}), enlarged "
            + ("between neighbors, with even noise" if even else "between neighbors")
        )

    def block(self, count: int, seed: int) -> list[np.ndarray]:
        """Unit vectors of so many windows, [count, width] for each modality."""
        random = np.random.default_rng(seed)
        one = random.integers(len(self.near), size=count)
        other = self.near[one, random.integers(self.near.shape[1], size=count)]
        weight = random.uniform(0, 0.5, (count, 1)).astype(np.float32)
        return [
            unit((1 - weight) * vectors[one] + weight * vectors[other] + self._noise(vectors, count, random))
            for vectors in self.held.values()
        ]

    def _noise(self, vectors: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """About NOISE long, [count, width]."""
        if self.even:
            return NOISE / self.width**0.5 * random.standard_normal((count, self.width), np.float32)
        some = np.zeros((count, self.width), np.float32)
        for _ in range(MOVES):
            one = random.integers(len(self.near), size=count)
            other = self.near[one, random.integers(self.near.shape[1], size=count)]
            some += random.standard_normal((count, 1), np.float32) * (vectors[one] - vectors[other])
        return NOISE / max(1e-12, float(np.square(some).sum(1).mean() ** 0.5)) * some


def rows_of(count: int, first: int, modality: str) -> Iterator[dict[str, Any]]:
    """A window each second, in recordings of a minute."""
    for number in range(first, first + count):
        recording, start = f"r{number // 60}", float(number % 60)
        yield {"recording": recording, "path": f"{recording}.mp4", "start": start, "end": start + 2,
               "modality": modality, "narration": f"what is said in window {number}"}  # fmt: skip


def unit(vectors: np.ndarray) -> np.ndarray:
    """Of length 1, [N, D]."""
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _read(folder: Path) -> dict[str, tuple[np.ndarray, list[dict[str, Any]]]]:
    """Vectors and rows of each modality, of all shards. Raises ValueError for a folder that holds none."""
    vectors: dict[str, list[np.ndarray]] = defaultdict(list)
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(folder.rglob("vectors-*.npy")):
        name = path.stem.removeprefix("vectors-")
        vectors[name].append(np.load(path, allow_pickle=False))
        told = path.with_name(f"rows-{name}.jsonl").read_text(encoding="utf-8")
        rows[name] += [json.loads(line) for line in told.split("\n") if line]
    if not vectors:
        raise ValueError(f"{folder} holds no vectors-MODALITY.npy; avssl embed writes them")
    return {name: (np.concatenate(parts).astype(np.float32), rows[name]) for name, parts in vectors.items()}


def _beside(windows: list[dict[str, Any]], rows: list[dict[str, Any]]) -> np.ndarray:
    """The place of the row that shares each window's time best, -1 where none of its recording does, [windows]."""
    by_recording: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        by_recording[row["recording"]].append(place)
    found = np.full(len(windows), -1, np.int64)
    for number, window in enumerate(windows):
        sharing = [
            (abs(row["start"] + row["end"] - window["start"] - window["end"]), place)
            for place in by_recording[window["recording"]]
            if (row := rows[place])["start"] < window["end"] and row["end"] > window["start"]
        ]
        if sharing:
            found[number] = min(sharing)[1]
    return found
