"""avssl embed: every moment of every recording as a vector."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table


def embed(
    run: Annotated[
        str, typer.Argument(help="A run's folder, a checkpoint, an exported folder, or a pretrained config.")
    ],
    manifest: Annotated[Path, typer.Argument(help="The recordings (.jsonl).")],
    changes: Annotated[list[str] | None, typer.Argument(help="key=value, with a config only.")] = None,
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")],
    window: Annotated[float | None, typer.Option(help="Seconds of a window; the run's own unless given.")] = None,
    hop: Annotated[float | None, typer.Option(help="Seconds between windows; half a window unless given.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="video, audio, text or image; may be repeated.")] = None,
    split: Annotated[str | None, typer.Option(help="train, val or test alone.")] = None,
    space: Annotated[str, typer.Option(help="For methods with several spaces.")] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Turn every moment of every recording into a vector: the first step of search."""
    from avssl.cli import _network
    from avssl.cli import _vectors as files
    from avssl.data.manifest import Manifest
    from avssl.embedding import Embedder, embed_recordings
    from retrieval.space import Space

    recordings = Manifest.load(manifest)
    loaded = _network.load(run, changes or [], device)
    embedder = Embedder(loaded.method, loaded.inputs, window, space)
    with Progress(
        TextColumn("recordings"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)
    ) as bar:
        task = bar.add_task("", total=None)
        done = embed_recordings(
            embedder, recordings, hop_seconds=hop, modalities=only or None, split=split,
            progress=lambda count, total: bar.update(task, completed=count, total=total),
        )  # fmt: skip
    widths = {vectors.shape[1] for vectors in done.vectors.values()}
    if len(widths) > 1:
        raise ValueError(f"at a window of {embedder.window.seconds:g} s the modalities do not share a width: {widths}")
    seconds = embedder.window.seconds
    files.write(
        output,
        done,
        Space(embedder.space_name, loaded.digest, embedder.modalities, widths.pop()),
        files.Source(
            run if _network.is_towers(run) else str(Path(run).resolve()),
            seconds,
            seconds / 2 if hop is None else hop,
            tuple(changes or ()),
        ),
    )

    console = Console()
    table = Table("modality", "vectors", "width", "recordings", box=None, pad_edge=False)
    for modality, vectors in done.vectors.items():
        count = len({row["recording"] for row in done.rows[modality]})
        table.add_row(modality, str(len(vectors)), str(vectors.shape[1]), str(count))
    console.print(table)
    for reason, count in sorted(done.skipped.items()):
        console.print(f"{count} {reason}, skipped there", highlight=False)
    console.print(escape(f"\n{output} is written; next: avssl index {output} -o index"), highlight=False)
