"""avssl regions: let an index tell where in the picture, too."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from avssl.cli._named import check_index


def regions(
    index: Annotated[Path, typer.Argument(help="A folder that avssl index wrote.")],
    components: Annotated[int, typer.Option(help="Bytes kept for each cell of the map.")] = 32,
    run: Annotated[Path | None, typer.Option(help="The run, if it is no longer where it was.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Keep a small vector for each place of each picture of an index, so that search tells the box.

    Rows that have theirs are left as they are: run it again after recordings were added.
    """
    check_index(index)
    from avssl.cli._queries import embedder_of
    from avssl.embedding.regions import Span, embed_regions, places_of
    from retrieval.regions import Regions, add_regions
    from retrieval.store import Store

    with Store.open(index) as store:
        rows = store.rows(store.ids("modality IN ('video', 'image')"))
        have = Regions(store).ids()
        lacking = [row for row in rows if row.id not in have]
        if not lacking:
            told = "holds no pictures" if not rows else f"all {len(rows)} windows have regions already"
            typer.echo(f"{index}: {told}")
            return
        embedder, _ = embedder_of(index, store, run, device)
        places_of(embedder)
        spans = [Span(row.id, Path(row.path), row.start, row.modality == "image") for row in lacking]
        columns = TextColumn("windows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=len(spans))
            blocks = embed_regions(embedder, spans, lambda done, _: bar.update(task, completed=done))
            add_regions(store, blocks, components)
        size = sum(store.manifest["files"][entry["file"]]["bytes"] for entry in store.sides("regions"))
        held = len(Regions(store).ids())
    typer.echo(f"{index}: {held} of {len(rows)} windows have regions, {size / held:.0f} bytes each")
