"""What the service asks of whoever knows the network; without one it finds by item alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.segment import Vectors
from retrieval.space import Space

KINDS = ("text", "image", "audio", "video")
"""what a query can be: words, a picture, a sound, or the pictures of a clip"""


@dataclass(frozen=True)
class Heat:
    """Where in the picture something is, over the seconds of a moment.

    levels: uint8 [T, h, w], 0 where it is dark (below the checkpoint's threshold), then 1 to 255 up to the end of its
    scale. times: seconds [T] of the recording, ascending. scale: in words, how the threshold was chosen.
    """

    levels: NDArray[np.uint8]
    times: Sequence[float]
    scale: str


class Sought(NamedTuple):
    """What to compare the places of pictures with, [D] or [N, D], and the score from which on a place counts, if that
    is known. Of several the best counts.
    """

    vector: NDArray[np.float32]
    threshold: float | None


class Encoder(Protocol):
    """The network behind an index. Its methods are called from one thread at a time.

    kinds: which of `KINDS` it can search with. localizes: with which of "text", "audio" it can say where something
    is. space: of its vectors.

    What a user can put right is a ValueError of one line. Files that are passed in were written by strangers: they
    are to be decoded where a crash or an endless file does no harm, and TimeoutError says that it took too long.
    """

    kinds: tuple[str, ...]
    localizes: tuple[str, ...]
    space: Space

    def embed(self, kind: str, given: str | Path) -> Vectors:
        """Unit vectors [Q, width] of words or of a file: one, or one for each of its windows."""

    def seek(self, kind: str, given: str | Path) -> Sought | None:
        """What to compare a store's regions with, of words or of a file; None where this kind finds no places."""

    def localize(self, path: Path, start: float, end: float, kind: str, given: str | Path | None) -> Heat:
        """Where words, the sound of a file, or (None) the recording's own sound is, `start` to `end` seconds of it."""

    def close(self) -> None:
        """Let go of helpers and memory."""


def as_lists(heat: Heat) -> dict[str, Any]:
    """A heat map as JSON holds it; levels are [T][h * w]."""
    count, rows, columns = heat.levels.shape
    return {
        "times": [round(float(seconds), 3) for seconds in heat.times],
        "rows": rows,
        "columns": columns,
        "levels": heat.levels.reshape(count, rows * columns).tolist(),
        "scale": heat.scale,
    }
