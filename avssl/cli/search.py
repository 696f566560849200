"""avssl search: which moment of which recording answers a text, a sound, a picture or a clip."""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track

if TYPE_CHECKING:
    from retrieval.search import Hit

COLUMNS = ("rank", "path", "time", "start", "end", "peak", "score", "modality", "narration", "recording")
FIRST = ("video", "image", "audio", "text")
"""what is looked for when --in does not say: the first of these that the index holds"""


def search(
    index: Annotated[Path, typer.Argument(help="A folder that avssl index wrote.")],
    text: Annotated[str | None, typer.Option(help="Find by words.")] = None,
    audio: Annotated[Path | None, typer.Option(help="Find by the sound of this file.")] = None,
    image: Annotated[Path | None, typer.Option(help="Find by this picture.")] = None,
    video: Annotated[Path | None, typer.Option(help="Find by the pictures of this clip.")] = None,
    top: Annotated[int, typer.Option(help="How many moments.")] = 10,
    among: Annotated[str, typer.Option("--in", help="Find video, audio, image, text, or any.")] = "",
    windows: Annotated[bool, typer.Option("--windows", help="Do not join windows that touch into moments.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per moment.")] = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the moments as a table too.")] = None,
    clips: Annotated[Path | None, typer.Option(help="Cut the moments out into this folder.")] = None,
    run: Annotated[Path | None, typer.Option(help="The run, if it is no longer where it was.")] = None,
) -> None:
    """Find the moment: print `file @ time`, the score and what is said there."""
    given = {"text": text, "audio": audio, "image": image, "video": video}
    asked = {kind: value for kind, value in given.items() if value is not None}
    if len(asked) != 1:
        raise ValueError("search with exactly one of --text, --audio, --image and --video")
    for value in asked.values():
        if isinstance(value, Path) and not value.is_file():
            raise ValueError(f"{value}: no such file")
    if top < 1:
        raise ValueError(f"--top is {top}; it must be at least 1")

    from retrieval import index as indexes
    from retrieval.search import format_time
    from retrieval.store import Store

    with Store.open(index) as store:
        loaded_index = indexes.load(store)
        held = [name for name in FIRST if len(store.ids("modality = ?", [name]))]
        among = among or held[0]
        if among != "any" and among not in held:
            raise ValueError(f"--in {among}: {index} holds {', '.join(held)}")
        ((kind, value),) = asked.items()
        hits = _find(store, loaded_index, index, run, kind, str(value), top, among, windows)
    for rank, hit in enumerate(hits, 1):
        if as_json:
            typer.echo(json.dumps({"rank": rank, "time": format_time(hit.peak), **asdict(hit)}, ensure_ascii=False))
        else:
            from retrieval.__main__ import printable

            typer.echo(printable(f"{hit.path} @ {format_time(hit.peak)}  {hit.score:.3f}  {hit.narration}"))
    if not hits:
        typer.echo("nothing found", err=True)
    if csv_file is not None:
        _write_csv(csv_file, hits)
    if clips is not None:
        from avssl.report.clips import cut_hit

        clips.mkdir(parents=True, exist_ok=True)
        told = track(list(enumerate(hits, 1)), "cutting", console=Console(stderr=True), disable=not sys.stderr.isatty())
        for rank, hit in told:
            written = cut_hit(hit, clips, rank)
            typer.echo(f"wrote {written}", err=True)


def _find(
    store: object, loaded_index: object, folder: Path, run: Path | None, kind: str, value: str, top: int, among: str,
    windows: bool,
) -> "list[Hit]":  # fmt: skip
    from avssl.cli import _network
    from avssl.cli import _vectors as files
    from avssl.embedding import Embedder, query
    from retrieval.index import Index
    from retrieval.search import search as find
    from retrieval.space import Space
    from retrieval.store import Store

    assert isinstance(store, Store)
    assert isinstance(loaded_index, Index)
    source = files.Source.read(folder)
    if run is None and not _network.is_towers(source.run) and not Path(source.run).exists():
        raise ValueError(f"{source.run}, the run that made {folder}, is not there any more; say where it is: --run DIR")
    loaded = _network.load(run or source.run, () if run else source.changes)
    embedder = Embedder(loaded.method, loaded.inputs, source.window_seconds, store.space.name)
    # Before anything is embedded: vectors of another network are not to be compared.
    store.space.check(Space(embedder.space_name, loaded.digest, embedder.modalities, store.space.width))
    found = find(
        store, loaded_index, query(embedder, kind, value), k=top, modality=None if among == "any" else among,
        merge_seconds=0.0 if windows else 1e-3,
    )  # fmt: skip
    return _best(found, top, not windows)


def _best(found: "Sequence[Sequence[Hit]]", top: int, join: bool) -> "list[Hit]":
    """What several query windows found as one list, best first; with ``join`` overlapping moments become one."""
    moments: list[Hit] = []
    for hit in sorted((hit for hits in found for hit in hits), key=lambda hit: (-hit.score, hit.id)):
        for place, other in enumerate(moments):
            if (hit.recording, hit.modality) != (other.recording, other.modality):
                continue
            if hit.id == other.id or (join and hit.start <= other.end and other.start <= hit.end):
                moments[place] = replace(other, start=min(hit.start, other.start), end=max(hit.end, other.end))
                break
        else:
            moments.append(hit)
    return moments[:top]


def _write_csv(path: Path, hits: "Sequence[Hit]") -> None:
    from retrieval.files import replacing
    from retrieval.search import format_time

    with replacing(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for rank, hit in enumerate(hits, 1):
            told = {**asdict(hit), "rank": rank, "time": format_time(hit.peak)}
            writer.writerow([told[name] for name in COLUMNS])
