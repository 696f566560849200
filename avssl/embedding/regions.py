"""What each place of a picture shows, and what is sought there: vectors for an index that finds the box too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avssl.data.media import Unreadable
from avssl.embedding.network import Embedder, read_query
from avssl.embedding.window import AT_ONCE
from avssl.methods.base import HasPlaces, localizes

Cells = NDArray[np.float32]


class Span(NamedTuple):
    """A window of a recording that has a row in an index; ``still`` for a picture."""

    id: int
    path: Path
    start: float
    still: bool = False


def places_of(embedder: Embedder) -> HasPlaces:
    """The embedder's method, as one that has places. Raises ValueError when it has none."""
    if not isinstance(embedder.method, HasPlaces):
        raise ValueError(f"{embedder.method.cfg.name} keeps no places: an index of its vectors cannot tell the box")
    return embedder.method


@torch.inference_mode()
def embed_regions(
    embedder: Embedder, spans: Sequence[Span], progress: Callable[[int, int], None] | None = None
) -> Iterator[tuple[list[int], Cells]]:
    """Ids and places [N, h, w, D] of some windows at a time, in the order of their files.

    Args:
        embedder: of the same window as the index.
        spans: the windows. Those of files that cannot be read are passed over.
        progress: called with (windows done, of how many).

    Raises ValueError for a method without places.
    """
    method, done = places_of(embedder), 0
    for (path, still), held in groupby(sorted(spans, key=_place), key=lambda span: (span.path, span.still)):
        windows = list(held)
        for index in range(0, len(windows), AT_ONCE):
            part = windows[index : index + AT_ONCE]
            done += len(part)
            try:
                clips = embedder.window.read(path, [span.start for span in part], video=True, audio=False, still=still)
            except (Unreadable, FileNotFoundError):
                continue
            assert clips.video is not None
            cells = method.places(clips.video.to(embedder.device)).float().cpu().numpy()
            yield [span.id for span in part], np.ascontiguousarray(cells)
            if progress is not None:
                progress(done, len(spans))


@torch.inference_mode()
def sought(embedder: Embedder, kind: str, given: str | Path) -> Cells | None:
    """What to compare places with, [N, D]: each window of a sound. None for what is not localized.

    A place is to be compared with each and the best taken: their mean scores far lower than the one that fits.

    Args:
        embedder: of the same window as the index.
        kind: text, audio, image or video.
        given: the words, or the file.
    """
    if not seeks(embedder, kind):
        return None
    if kind == "text":
        return sought_in(embedder, kind, [embedder.inputs.tokens([str(given)])])
    return sought_in(embedder, kind, map(embedder.inputs.audio, read_query(embedder.window, kind, Path(given))))


def seeks(embedder: Embedder, kind: str) -> bool:
    """Whether places can be compared with this kind of query."""
    return isinstance(embedder.method, HasPlaces) and localizes(embedder.method, kind)


@torch.inference_mode()
def sought_in(embedder: Embedder, kind: str, read: Iterable[Tensor]) -> Cells:
    """The same of what was read already: tokens of words, or the sound of some windows at a time as encoders take it.

    Raises ValueError for a method without places.
    """
    method = places_of(embedder)
    parts = [method.sought(part.to(embedder.device), kind) for part in read]
    found: Cells = torch.cat(parts).float().cpu().numpy()
    return found


def _place(span: Span) -> tuple[str, bool, float]:
    return str(span.path), span.still, span.start
