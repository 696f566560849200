"""avssl export: take a run's encoders elsewhere."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write.")],
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write each encoder as ONNX too, checked against torch.")
    ] = False,
) -> None:
    """Write a run's weights and settings, to be loaded with avssl.from_pretrained(DIR); --onnx adds its encoders."""
    from avssl.localize import calibration
    from avssl.sync import asked
    from avssl.train.checkpoint import load_run
    from avssl.train.export import export as write

    write(run, output, onnx)
    digest = load_run(output).digest
    for kind in calibration.KINDS:
        scale = calibration.stored(run, digest, kind)
        if scale is not None:
            scale.save(output, kind)
    if confidence := asked.stored(run, digest):
        confidence.save(output)
    typer.echo(f"wrote {output}: avssl.from_pretrained({str(output)!r})")
