"""A small folder of recordings, made once for the tests of manifests, items, caches and proxies."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avssl.data.encode import write_clip

HZ = 16000
FPS = 10


def frames(count: int, seed: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Noise in big blocks, another in every frame; two gray corners say which frame it is."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(count):
        blocks = rng.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
        picture = blocks.repeat(8, 0).repeat(8, 1)
        picture[:16, :16], picture[:16, 16:32] = 32 * (k % 8), 24 * (k // 8)
        made.append(picture)
    return made


def number(picture: np.ndarray) -> int:
    """Which frame a picture [3, 48, 64] is."""
    low, high = picture[:, 4:12, 4:12].mean(), picture[:, 4:12, 20:28].mean()
    return round(low / 32) + 8 * round(high / 24)


def tone(seconds: float, seed: int) -> np.ndarray:
    """A hum of its own pitch with a little noise, float32 [S]."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * HZ)) / HZ
    return (0.3 * np.sin(2 * np.pi * (200 + 37 * seed) * t) + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


def clip(path: Path, seconds: float, seed: int, *, sound: bool = True, **settings: object) -> Path:
    """An mp4 (or what the suffix says) of noise and a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = tone(seconds, seed) if sound else None
    write_clip(path, frames(round(seconds * FPS), seed), FPS, wave, HZ, preset="ultrafast", **settings)
    return path
