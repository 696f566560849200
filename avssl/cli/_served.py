"""The network behind an index, for the service: strangers' files are read in a process that may crash or hang."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from avssl.cli import _network
from avssl.cli._vectors import Source
from avssl.data.apart import Apart
from avssl.data.media import decode
from avssl.embedding.network import Embedder, modality_of, query, read_query
from avssl.embedding.regions import seeks, sought_in
from avssl.embedding.window import Window, windows
from avssl.localize import calibration
from avssl.localize.calibration import Calibration
from avssl.localize.heatmap import QUERY_SECONDS
from avssl.localize.moment import moment_maps
from avssl.localize.overlay import calibrate
from avssl.methods.base import localizes
from retrieval.segment import Vectors
from retrieval.serve.encoder import KINDS, Heat, Sought
from retrieval.serve.settings import Limits
from retrieval.space import Space

Array = NDArray[Any]


@dataclass(frozen=True)
class Reading:
    """What to read: the windows of a query, a query's sound as it is, or windows of a recording from `starts` on."""

    window: Window
    path: Path
    kind: str
    most_seconds: float = 0.0
    starts: tuple[float, ...] = ()
    sound: bool = False


def read(asked: Reading) -> list[Array]:
    """Arrays of what was asked for, in the process that may come to harm."""
    if asked.starts:
        clips = asked.window.read(asked.path, asked.starts, video=True, audio=asked.sound)
        return [part.numpy() for part in clips if part is not None]
    if asked.kind == "sound":
        return [decode(asked.path, audio=(0.0, QUERY_SECONDS), hz=asked.window.inputs.cfg.hz).audio]
    return [part.numpy() for part in read_query(asked.window, asked.kind, asked.path, asked.most_seconds)]


class Network:
    """The `Encoder` of a folder that avssl index wrote.

    Args:
        folder: the index.
        run: the run, if it is no longer where it was; None takes where it was.
        limits: how long an upload may be, and may take.
        device: auto, cpu, cuda or mps.

    Raises ValueError when the run is gone or is not the one that made the index.
    """

    def __init__(self, folder: Path, run: Path | None, space: Space, limits: Limits, device: str = "auto"):
        source = Source.read(folder)
        if run is None and not _network.is_towers(source.run) and not Path(source.run).exists():
            raise ValueError(
                f"{source.run}, the run that made {folder}, is not there any more; say where it is: --run DIR"
            )
        where = Path(run or source.run)
        self._loaded = _network.load(run or source.run, () if run else source.changes, device)
        method = self._loaded.method
        self._embedder = Embedder(method, self._loaded.inputs, source.window_seconds, space.name, source.augment)
        self.space = Space(space.name, self._loaded.digest, self._embedder.modalities, space.width)
        known = self._embedder.modalities
        self.kinds = tuple(kind for kind in KINDS if kind in known or (kind == "image" and "video" in known))
        self.localizes = tuple(
            kind for kind in ("text", "audio") if localizes(method, kind) and kind in method.encoders
        )
        self._limits = limits
        self._window = Window(self._loaded.inputs)
        self._scales = {kind: calibration.stored(where, self._loaded.digest, kind) for kind in self.localizes}
        self._apart: Apart[Reading, list[Array]] = Apart(read)

    def embed(self, kind: str, given: str | Path) -> Vectors:
        """Unit vectors [Q, width]; see `retrieval.serve.encoder.Encoder`."""
        if kind == "text":
            return query(self._embedder, kind, given)
        modality = modality_of(self._embedder, kind)
        asked = Reading(self._embedder.window, Path(given), kind, most_seconds=self._limits.upload_seconds)
        parts = self._apart(asked, self._limits.decode_seconds)
        return np.concatenate([self._embedder(modality, torch.from_numpy(part)) for part in parts])

    def seek(self, kind: str, given: str | Path) -> Sought | None:
        """What to compare regions with; see `retrieval.serve.encoder.Encoder`."""
        if not seeks(self._embedder, kind):
            return None
        inputs = self._embedder.inputs
        if kind == "text":
            read = [inputs.tokens([str(given)])]
        else:
            asked = Reading(self._embedder.window, Path(given), kind, most_seconds=self._limits.upload_seconds)
            read = [inputs.audio(torch.from_numpy(part)) for part in self._apart(asked, self._limits.decode_seconds)]
        scale = self._scales.get(kind)
        return Sought(sought_in(self._embedder, kind, read), None if scale is None else scale.threshold)

    def localize(self, path: Path, start: float, end: float, kind: str, given: str | Path | None) -> Heat:
        """A heat map of a moment; see `retrieval.serve.encoder.Encoder`."""
        cfg, seconds = self._loaded.inputs.cfg, self._limits.decode_seconds
        length = self._window.seconds
        starts = tuple(start + begin for begin, _ in windows(end - start, length, length))
        query: str | Array | None = str(given) if kind == "text" else None
        if kind == "audio" and given is not None:
            query = self._apart(Reading(self._window, Path(given), "sound"), seconds)[0]
        read = self._apart(Reading(self._window, path, "moment", starts=starts, sound=query is None), seconds)
        video = torch.from_numpy(read[0])
        sound = torch.from_numpy(read[1]) if len(read) > 1 else None

        def maps_of(asked: str | Array | None) -> Array:
            maps = moment_maps(self._loaded.method, self._loaded.inputs, video, sound, asked, self._embedder.device)
            return maps.reshape(-1, *maps.shape[2:])

        maps = maps_of(query)
        times = (np.array(starts)[:, None] + np.arange(video.shape[1]) / cfg.fps).ravel()
        # The last window ends with the moment, so it may begin before the one before it has ended.
        times, first = np.unique(times.round(6), return_index=True)
        scale = self._scales.get(kind) or self._stand_in(kind, maps, maps_of)
        levels = calibrate(maps[first], scale.threshold, scale.ceiling)
        lit = np.where(levels < 0, 0, 1 + np.round(254 * np.clip(levels, 0, 1))).astype(np.uint8)
        return Heat(lit, times.tolist(), scale.chosen)

    def close(self) -> None:
        """End the process that reads."""
        self._apart.close()

    def _stand_in(self, kind: str, maps: Array, maps_of: Callable[[str | Array | None], Array]) -> Calibration:
        nothing = [maps_of(query) for query in calibration.deaf(kind, self._loaded.inputs)]
        return calibration.stand_in(kind, maps, nothing, self._loaded.digest)
