"""avssl evaluate: how good a run is on recordings it has not seen."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    manifest: Annotated[Path, typer.Argument(help="The recordings (.jsonl).")],
    truth: Annotated[Path | None, typer.Option(help="truth.jsonl of a made-up world: judge localization too.")] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    label: Annotated[
        str, typer.Option(help="What makes two recordings alike; kind, or the first label there is.")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--json", help="Write the figures; RUN/results.json by default.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Judge a run on held-out recordings, beside its untrained self, chance and trivial predictors."""
    from avssl.data.manifest import Manifest
    from avssl.evaluation import evaluate as judge
    from avssl.train.checkpoint import replace_text
    from avssl.train.distributed import device_of

    where = device_of(device)
    result = judge(run, Manifest.load(manifest), split=split, truth=truth, label=label, threads=threads, device=where)
    replace_text(output or run / "results.json", json.dumps(result, indent=1) + "\n")
    show(Console(), result)


def show(console: Console, result: dict[str, Any]) -> None:
    """Print the figures as tables."""
    judged = f"{result['recordings']} recordings of the {result['split']} split"
    left = f", {result['left_out']} left out" if result["left_out"] else ""
    console.print(f"{result['run']} at step {result['step']}: {judged}{left}", highlight=False, markup=False)
    alike = f"for ndcg10 and among one modality, the same {result['label']}"
    if not result["label"]:
        alike = "there are no labels (avssl manifest --labels), so nothing is judged among one modality"
    console.print(f"right is: the recording itself; {alike}\n")
    rows = ("r1", "r5", "r10", "medr", "ndcg10")
    table = Table("finding", "", *rows, box=None, pad_edge=False)
    for direction, figures in result["retrieval"].items():
        for who in ("trained", "untrained", "chance"):
            values = (f"{figures[name][who]:.1f}" if name == "medr" else f"{figures[name][who]:.3f}" for name in rows)
            style = None if who == "trained" else "dim"
            table.add_row(direction.replace("_", " ") if who == "trained" else "", who, *values, style=style)
    console.print(table)
    if not result["retrieval"]:
        console.print("no two modalities to judge, and no label within one")
    if "localization" in result:
        columns = ("trained", "untrained", "center", "whole", "oracle")
        table = Table("locating", *columns, box=None, pad_edge=False)
        for name, figures in result["localization"].items():
            table.add_row(name, *(f"{figures[who]:.3f}" if who in figures else "" for who in columns))
        console.print("")
        console.print(table)
