"""What a person is handed for one recording: an overlay video, a sheet of stills, and figures over time as JSON."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avssl.data.media import Header, decode, probe
from avssl.data.open import PICTURE_FORMATS
from avssl.localize.calibration import Calibration, write_json
from avssl.localize.heatmap import Heat
from avssl.localize.overlay import Picture, at_time, render, strip_png

MOST_FPS = 30.0
CHUNK_BYTES = 96 << 20
SOUND_HZ = (16000, 22050, 24000, 32000, 44100, 48000)  # rates every player takes; others become 44100
STILLS = 6


def make(path: Path, video: Path, heat: Heat, scale: Calibration, query: str, height: int = 480) -> list[Path]:
    """Write `video` (mp4), and beside it the sheet (.png) and the figures (.json); returns what was written.

    `heat` is of the recording at `path`, `query` says in words what was looked for. The picture is at most `height`
    pixels high; frame rates above 30 are thinned. The sound is the recording's own, mixed to one channel. A still
    picture gets no video.
    """
    header = probe(path)
    size = _size(header, height)
    fps = min(header.pictures[0].fps, MOST_FPS)
    step = float(heat.times[1] - heat.times[0]) if len(heat.times) > 1 else 1.0 / fps
    seconds = float(heat.times[-1]) + step
    written = []
    if header.format not in PICTURE_FORMATS:
        sound, hz = None, SOUND_HZ[-1]
        if header.sounds:
            hz = header.sounds[0].hz if header.sounds[0].hz in SOUND_HZ else 44100
            sound = decode(path, audio=(0.0, seconds), hz=hz).audio
        frames = _frames(path, size, fps, max(1, round(seconds * fps)))
        render(video, frames, fps, heat.maps, heat.times, scale.threshold, scale.ceiling, sound, hz)
        written.append(video)
    chosen = heat.times[moments(heat)]
    stills = decode(path, times=chosen.tolist(), size=size).video.transpose(0, 2, 3, 1)
    maps = np.stack([at_time(heat.maps, heat.times, moment) for moment in chosen])
    title = f"{path.name}: {query}"
    strip_png(video.with_suffix(".png"), stills, maps, chosen.tolist(), scale.threshold, scale.ceiling, title)
    write_json(video.with_suffix(".json"), figures(path, heat, scale, query))
    return [*written, video.with_suffix(".png"), video.with_suffix(".json")]


def moments(heat: Heat, count: int = STILLS) -> NDArray[np.int64]:
    """Which maps make a sheet: the highest score, the loudest moment, the rest spread evenly; ascending, none twice."""
    spread = np.linspace(0, len(heat.times) - 1, max(count - 2, 1)).round().astype(np.int64)
    picked = [int(heat.maps.max(axis=(1, 2)).argmax()), int(heat.loudness.argmax()), *spread.tolist()]
    return np.unique(picked)


def figures(path: Path, heat: Heat, scale: Calibration, query: str) -> dict[str, Any]:
    """The scale, the share of time that is lit, and each moment's peak: its score, its place where lit, the lit area.

    `x` and `y` are fractions of the picture, the middle of the highest cell; None where the moment is dark.
    """
    rows, columns = heat.maps.shape[1:]
    told = []
    for seconds, scores, level in zip(heat.times, heat.maps, heat.loudness, strict=True):
        peak = float(scores.max())
        lit = peak >= scale.threshold
        y, x = divmod(int(scores.argmax()), columns)
        told.append({
            "seconds": round(float(seconds), 3),
            "peak": peak,
            "x": (x + 0.5) / columns if lit else None,
            "y": (y + 0.5) / rows if lit else None,
            "lit_area": float(np.mean(scores >= scale.threshold)),
            "loudness_db": round(float(level), 1),
        })  # fmt: skip
    return {
        "recording": str(path),
        "query": query,
        "threshold": scale.threshold,
        "ceiling": scale.ceiling,
        "threshold_is": scale.chosen,
        "lit_time": float(np.mean([moment["x"] is not None for moment in told])),
        "moments": told,
    }


def _size(header: Header, height: int) -> tuple[int, int]:
    """(H, W), even, at most `height` high, in the displayed shape."""
    picture = header.pictures[0]
    factor = min(1.0, height / picture.height)
    return tuple(max(2, 2 * round(factor * side / 2)) for side in (picture.height, picture.width))  # type: ignore[return-value]


def _frames(path: Path, size: tuple[int, int], fps: float, count: int) -> Iterator[Picture]:
    """The pictures shown at k / fps, uint8 [H, W, 3], read a bounded number at a time."""
    chunk = max(1, CHUNK_BYTES // (3 * size[0] * size[1]))
    for first in range(0, count, chunk):
        times = np.arange(first, min(first + chunk, count)) / fps
        yield from decode(path, times=times.tolist(), size=size).video.transpose(0, 2, 3, 1)
