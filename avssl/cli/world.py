"""avssl world: make a world of sounding, moving things whose truth is known."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from avssl.cli._counting import counting


def world(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write; an unfinished world goes on.")],
    clips: Annotated[int, typer.Option(help="Clips in all: 80 % train, 8 % val, 12 % test.")] = 1200,
    level: Annotated[str, typer.Option(help="easy, medium, hard, or crowded (up to three sounds at once).")] = "easy",
    seed: Annotated[int, typer.Option(help="Another seed is another world.")] = 0,
    side: Annotated[int, typer.Option(help="Width and height of the picture in pixels.")] = 112,
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 12.5,
    seconds: Annotated[float, typer.Option(help="Length of each clip.")] = 4.0,
    stereo: Annotated[
        bool, typer.Option("--stereo", help="Two channels of sound, from where things are seen.")
    ] = False,
    depth: Annotated[
        bool, typer.Option("--depth", help="ID.depth.mkv beside each clip: 16 bits of millimeters.")
    ] = False,
    infrared: Annotated[
        bool, typer.Option("--infrared", help="ID.infrared.mp4 beside each clip: a second camera, which sees heat.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core unless given.")] = None,
) -> None:
    """Make a world of sounding, moving things whose truth is known: videos, narration, boxes, sounding times."""
    from avssl.data.world import cases_per_split, lacking_cases, make_world

    asked = {"stereo": stereo, "depth": depth, "infrared": infrared}
    with counting("clips") as tell:
        records = make_world(
            output, clips=clips, level=level, seed=seed, side=side, fps=fps, seconds=seconds, workers=workers,
            progress=tell, sensors=[name for name, wanted in asked.items() if wanted],
        )  # fmt: skip

    table = Table("split", "clips", "seconds", "cases", title=f"{output} ({level})")
    for split, cases in cases_per_split(records).items():
        told = ", ".join(f"{case} {count}" for case, count in sorted(cases.items()))
        table.add_row(split, str(cases.total()), f"{cases.total() * seconds:.0f}", told)
    console = Console()
    console.print(table)
    lacking = [f"{split} no {case}" for split, case in lacking_cases(records)]
    if lacking:
        console.print(f"too few clips for every case, so nothing to judge it on: {'; '.join(lacking)}; raise --clips")
    beside = ["--stream depth,range=0:8000"] * depth + ["--stream infrared"] * infrared
    words = ["avssl manifest", f"{output}/videos", f"--labels {output}/labels.tsv", *beside, "-o FILE.jsonl"]
    console.print(f"next: {' '.join(words)}", highlight=False, markup=False, soft_wrap=True)
