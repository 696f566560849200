"""avssl prepare: make small copies of recordings that are decoded many times faster."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from avssl.cli._counting import counting
from avssl.words import counted


def prepare(
    recordings: Annotated[Path, typer.Argument(help="A manifest (.jsonl), as avssl manifest writes it.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the copies and their manifest.")],
    short_side: Annotated[int, typer.Option(help="Pixels; smaller pictures keep their size.")] = 256,
    gop: Annotated[int, typer.Option(help="Frames from one key frame to the next.")] = 12,
    crf: Annotated[int, typer.Option(help="Quality of the picture; lower is better and larger.")] = 23,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core unless given.")] = None,
) -> None:
    """Make small copies (H.264, AAC) that decode many times faster, and a manifest of them; a second run goes on."""
    from avssl.data.manifest import Manifest
    from avssl.data.prepare import prepare as make

    whole = Manifest.load(recordings)
    with counting("recordings") as tell:
        made = make(whole, output, short_side=short_side, gop=gop, crf=crf, workers=workers, progress=tell)
    console = Console()
    for path, reason in made.left_out:
        console.print(f"  {escape(path)}: {escape(reason)}", highlight=False, soft_wrap=True)
    for warning in made.warnings:
        console.print(f"[yellow]warning: {escape(warning)}[/yellow]", soft_wrap=True)
    console.print(
        f"[bold]{escape(str(output / 'manifest.jsonl'))}[/bold]: {counted(len(made.recordings), 'recording')}"
    )
