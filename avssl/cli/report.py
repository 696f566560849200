"""avssl report: a run as one page."""

from pathlib import Path
from typing import Annotated

import typer

from avssl.cli._counting import counting
from avssl.cli._named import check_output


def report(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path("report.html"),
    manifest: Annotated[Path | None, typer.Option(help="Recordings for the examples; else the run's own.")] = None,
    text: Annotated[list[str] | None, typer.Option(help="Look for these words; else for what is said.")] = None,
) -> None:
    """Write one static page: curves, figures, what is found (with players), what is alike, where it looks, filters."""
    check_output("-o", output)
    from avssl.report.page import write
    from avssl.report.run import report as make

    if manifest is not None and not manifest.exists():
        raise ValueError(f"{manifest}: no such manifest")
    with counting("parts of the page") as tell:
        made = make(run, manifest, text or (), tell)
    write(output, made)
    typer.echo(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB)")
