"""Where in the picture what was searched for is, for each moment found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from avssl.cli import _network
from avssl.cli._queries import Asked
from avssl.cli._vectors import Source
from avssl.localize.heatmap import Query
from avssl.localize.looking import Looking
from avssl.localize.overlay import HUES
from avssl.methods.base import localizes
from avssl.report.overlays import overlays
from retrieval.search import Hit


def localized(
    index: Path, run: Path | None, hits: Sequence[Hit], asked: Sequence[Asked], folder: Path, device: str = "auto"
) -> Iterator[tuple[int, Path | None, str]]:
    """Overlays of the moments, as `avssl.report.overlays.overlays` gives them.

    Looked for are the texts and sounds that were asked for, a colour each, or without any each moment's own sound.
    Raises ValueError where the network that made the index localizes none of that.
    """
    source = Source.read(index)
    loaded = _network.load(run or source.run, () if run else source.changes, device)
    queries: dict[str, Query] = {}
    for one in asked:
        if one.weight > 0 and one.kind in ("text", "audio") and localizes(loaded.method, one.kind):
            told = f'"{one.value}"' if one.kind == "text" else f"the sound of {Path(one.value).name}"
            queries[told] = one.value if one.kind == "text" else Path(one.value)
    if not queries and not localizes(loaded.method):
        raise ValueError(f"{loaded.cfg.method.name} does not say where something is; search without --localize")
    where = next(loaded.method.parameters()).device
    look = Looking(Path(run or source.run), loaded.digest, loaded.method, loaded.inputs, where)
    yield from overlays(look, hits, dict(list(queries.items())[: len(HUES)]), folder)
