"""avssl evaluate: how good a run is on recordings it has not seen."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from avssl.cli._counting import counting
from avssl.cli._named import check_output

HANDFUL = 30
"""recordings below which a reader is told how rough the figures are"""


def evaluate(
    run: Annotated[Path | None, typer.Argument(help="A run's folder.")] = None,
    manifest: Annotated[Path | None, typer.Argument(help="The recordings (.jsonl).")] = None,
    truth: Annotated[
        Path | None, typer.Option(help="truth.jsonl of a made-up world or of mosaics: judge localization too.")
    ] = None,
    trivial: Annotated[
        Path | None, typer.Option(help="Instead of a run: what trivial predictors score on a released list of boxes.")
    ] = None,
    listed: Annotated[
        Path | None, typer.Option("--list", help="Instead of a run: a released list whose --maps are judged.")
    ] = None,
    maps: Annotated[
        Path | None, typer.Option(help="Folder of the list's maps: KEY.npy, KEY.SOUND.npy where a key repeats.")
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of the masks that the list names.")] = None,
    silence: Annotated[Path | None, typer.Option(help="Folder of maps of the pictures with silence.")] = None,
    noise: Annotated[Path | None, typer.Option(help="Folder of maps of the pictures with noise.")] = None,
    offscreen: Annotated[
        Path | None, typer.Option(help="Folder of maps of the pictures with sounds of things that are not in them.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="From which score on the maps are lit.")] = None,
    validation: Annotated[
        Path | None, typer.Option(help="Choose it: folder of maps of silence and the like, of other pictures.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    label: Annotated[
        str, typer.Option(help="What makes two recordings alike; kind, or the first label there is.")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--json", help="Write the figures; RUN/results.json by default.")
    ] = None,
    choose: Annotated[
        bool, typer.Option("--choose", help="Choose the threshold of localization anew, in place of the run's.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Judge a run on held-out recordings, beside its untrained self, chance and trivial predictors.

    avssl evaluate RUN MANIFEST, or without a run: avssl evaluate --trivial vggss.json, or maps that any system made:
    avssl evaluate --list vggss.json --maps FOLDER
    """
    from avssl.cli import _lists
    from avssl.train.checkpoint import replace_text

    of_runs = {
        "RUN": run, "MANIFEST": manifest, "--truth": truth, "--split": split != "test", "--label": label,
        "--choose": choose, "--threads": threads, "--device": device != "auto",
    }  # fmt: skip
    negatives = {"silence": silence, "noise": noise, "offscreen": offscreen}
    of_maps = {"maps": maps, "masks": masks, **negatives, "threshold": threshold, "validation": validation}
    _lists.check_words(trivial, listed, of_runs, {f"--{name}": value for name, value in of_maps.items()})
    if output is not None:
        check_output("--json", output)
    if trivial is not None:
        judged = _lists.of_list(trivial)
        _lists.show_trivial(Console(), judged)
    elif listed is not None:
        assert maps is not None
        judged = _lists.of_maps(
            listed, maps, masks=masks, threshold=threshold, validation=validation,
            negatives={kind: folder for kind, folder in negatives.items() if folder is not None},
        )  # fmt: skip
        _lists.show_maps(Console(), judged)
    if trivial is not None or listed is not None:
        if output:
            replace_text(output, json.dumps(judged, indent=1) + "\n")
        return
    if run is None or manifest is None:
        missing = "RUN and MANIFEST are" if run is None else "MANIFEST is"
        raise ValueError(
            f"{missing} missing: avssl evaluate RUN MANIFEST, or --trivial LIST, or --list LIST --maps FOLDER"
        )
    from avssl.data.manifest import Manifest
    from avssl.evaluation import evaluate as judge
    from avssl.train.distributed import device_of

    where = device_of(device)
    with counting("parts of the work") as tell:
        result = judge(
            run, Manifest.load(manifest), split=split, truth=truth, label=label, threads=threads, device=where,
            choose=choose, tell=tell,
        )  # fmt: skip
    replace_text(output or run / "results.json", json.dumps(result, indent=1) + "\n")
    show(Console(), result)


def show(console: Console, result: dict[str, Any]) -> None:
    """Print the figures as tables."""
    judged = f"{result['recordings']} recordings of the {result['split']} split"
    left = f", {result['left_out']} left out" if result["left_out"] else ""
    console.print(f"{result['run']} at step {result['step']}: {judged}{left}", highlight=False, markup=False)
    if 0 < result["recordings"] < HANDFUL:
        share = f"{1 / result['recordings']:.2f}"
        console.print(f"so few that one of them moves a share by {share}: take what follows as rough", highlight=False)
    alike = f"for ndcg10 and among one modality, the same {result['label']}"
    if not result["label"]:
        alike = "there are no labels (avssl manifest --labels), so nothing is judged among one modality"
    if result["retrieval"]:
        console.print(f"right is: the recording itself; {alike}\n")
        _finding(console, result["retrieval"])
    if "task" in result:
        _own_task(console, result)
    elif not result["retrieval"]:
        console.print("no two modalities to judge, and no label within one")
    if "localization" in result:
        _locating(console, result["localization"])


def _finding(console: Console, found: dict[str, Any]) -> None:
    rows = ("r1", "r5", "r10", "medr", "ndcg10")
    table = Table("finding", "", *rows, box=None, pad_edge=False)
    for direction, figures in found.items():
        for who in ("trained", "untrained", "chance"):
            values = (f"{figures[name][who]:.1f}" if name == "medr" else f"{figures[name][who]:.3f}" for name in rows)
            style = None if who == "trained" else "dim"
            table.add_row(direction.replace("_", " ") if who == "trained" else "", who, *values, style=style)
    console.print(table)


def _own_task(console: Console, result: dict[str, Any]) -> None:
    """How well the method's own task is solved, and what tells more."""
    if result["task"]:
        table = Table("own task", "trained", "untrained", "chance", box=None, pad_edge=False)
        for name, figures in result["task"].items():
            cells = (f"{figures[who]:.3f}" if who in figures else "" for who in ("trained", "untrained", "chance"))
            table.add_row(name.replace("_", " "), *cells)
        console.print(table)
    else:
        console.print("its own task is not judged: no recording of the split has what it needs, such as its label")
    console.print(
        f"what its encoder has learnt, told by labels: avssl probe {result['run']} LABELED "
        "(a folder of class folders, or a manifest with labels)",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip


def _locating(console: Console, found: dict[str, Any]) -> None:
    columns = ("trained", "untrained", "center", "average", "whole", "random", "oracle")
    # all of it on a terminal of 80 columns
    table = Table("locating", "trained", "95 %", *columns[1:], box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name, figures in found.items():
        first, *cells = (f"{figures[who]:.3f}" if who in figures else "" for who in columns)
        interval = f"{figures['low']:.2f}..{figures['high']:.2f}" if "low" in figures else ""
        table.add_row(name, first, interval, *cells)
    console.print("")
    console.print(table)
