"""Overlays of moments that a search found: where in the picture what was asked for is."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from avssl.data.media import Unreadable
from avssl.localize import film
from avssl.localize.heatmap import Query
from avssl.localize.looking import Looking
from avssl.report.clips import LEAST_SECONDS
from retrieval.search import Hit

OWN = "its own sound"


def overlays(
    look: Looking, hits: Iterable[Hit], queries: Mapping[str, Query], folder: Path, height: int = 480
) -> Iterator[tuple[int, Path | None, str]]:
    """Write the overlay of each moment found, with its sheet and figures: (rank from 1, what was written, why not).

    Args:
        look: the run that looks; it must localize the queries.
        hits: moments of recordings, best first.
        queries: their names for people -> what is looked for; with none of them each moment's own sound.
        folder: for the files, RANK-NAME_at_SECONDS.mp4 (.png alone for a picture) and beside them .png and .json.
        height: of the picture in pixels, at most.

    A moment without a picture, or a file that is gone or unreadable, is passed over with the reason in one line.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for rank, hit in enumerate(hits, 1):
        path = Path(hit.path)
        stem = re.sub(r"[^\w.-]+", "_", path.stem)[:80]
        video = folder / f"{rank:02d}-{stem}_at_{hit.peak:.1f}s.mp4"
        span = (hit.start, max(hit.end, hit.start + LEAST_SECONDS))
        try:
            found = look(path, queries or {OWN: None}, span=span)
            written = film.make(path, video, found, height)
        except (Unreadable, FileNotFoundError, ValueError) as error:
            yield rank, None, str(error)
        else:
            yield rank, written[0], ""
