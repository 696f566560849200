"""avssl report: a run as one page."""

from pathlib import Path
from typing import Annotated

import typer

from avssl.cli._counting import counting
from avssl.cli._named import check_output
from avssl.cli.probe import ROWS


def report(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path("report.html"),
    manifest: Annotated[Path | None, typer.Option(help="Recordings for the examples; else the run's own.")] = None,
    probes: Annotated[Path | None, typer.Option(help="Rows of avssl probe; else results/probe.jsonl.")] = None,
    text: Annotated[list[str] | None, typer.Option(help="Show where it sees these words; else what is said.")] = None,
) -> None:
    """Write one static page: figures, what is found (with players), what is alike, where it looks, filters, curves."""
    check_output("-o", output)
    from avssl.report.page import write
    from avssl.report.run import report as make

    if manifest is not None and not manifest.exists():
        raise ValueError(f"{manifest}: no such manifest")
    if probes is not None and not probes.is_file():
        raise ValueError(f"{probes}: no such file; avssl probe {run} LABELED --rows {probes} writes it")
    with counting("parts of the page") as tell:
        made = make(run, manifest, text or (), tell, probes or ROWS)
    write(output, made)
    typer.echo(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB)")
