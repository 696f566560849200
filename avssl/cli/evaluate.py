"""avssl evaluate: how good a run is on recordings it has not seen."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table


def evaluate(
    run: Annotated[Path | None, typer.Argument(help="A run's folder.")] = None,
    manifest: Annotated[Path | None, typer.Argument(help="The recordings (.jsonl).")] = None,
    truth: Annotated[
        Path | None, typer.Option(help="truth.jsonl of a made-up world or of mosaics: judge localization too.")
    ] = None,
    trivial: Annotated[
        Path | None, typer.Option(help="Instead of a run: what trivial predictors score on a released list of boxes.")
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

    avssl evaluate RUN MANIFEST, or without a run: avssl evaluate --trivial vggss.json
    """
    from avssl.train.checkpoint import replace_text

    if trivial is not None:
        if run is not None or truth is not None:
            raise ValueError("--trivial judges a list without a run: give it alone, with --json if you like")
        judged = of_list(trivial)
        show_trivial(Console(), judged)
        if output:
            replace_text(output, json.dumps(judged, indent=1) + "\n")
        return
    if run is None or manifest is None:
        missing = "RUN and MANIFEST are" if run is None else "MANIFEST is"
        raise ValueError(f"{missing} missing: avssl evaluate RUN MANIFEST, or avssl evaluate --trivial LIST")
    from avssl.data.manifest import Manifest
    from avssl.evaluation import evaluate as judge
    from avssl.train.distributed import device_of

    where = device_of(device)
    result = judge(
        run, Manifest.load(manifest), split=split, truth=truth, label=label, threads=threads, device=where,
        choose=choose,
    )  # fmt: skip
    replace_text(output or run / "results.json", json.dumps(result, indent=1) + "\n")
    show(Console(), result)


def of_list(path: Path) -> dict[str, Any]:
    """The trivial predictors' figures on a released list, with its name."""
    from avssl.localize import lists, trivial

    try:
        return {"list": path.name, **trivial.table(lists.read(path))}
    except ValueError as error:
        raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from None


def show_trivial(console: Console, judged: dict[str, Any]) -> None:
    """Print the trivial predictors' figures as a table, in percent."""
    told = [f"{judged['list']}: {judged['items']} items"]
    if judged["empty"]:
        told.append(f"{judged['empty']} whose boxes cover nothing, counted as missed")
    if judged["pictures"]:
        told.append(f"{judged['pictures']} pictures with several sounds")
    console.print("; ".join(told), highlight=False, markup=False)
    console.print("percent; none of these predictors hears anything; average is of the list's own boxes\n")
    beside = ("iiou", "iauc") if judged["pictures"] else ()
    sizes = list(judged["sizes"])
    titles = ["ciou", "95 %", "auc", *beside, *(f"{name} {judged['sizes'][name]}" for name in sizes)]
    table = Table("rule", "predictor", *titles, box=None, pad_edge=False)
    for rule, rows in judged["rules"].items():
        for who, figures in rows.items():
            low, high = figures["interval"]
            cells = [f"{100 * figures['ciou']:.1f}", f"{100 * low:.1f} to {100 * high:.1f}"]
            cells += [f"{100 * figures[name]:.1f}" for name in ("auc", *beside)]
            cells += [f"{100 * figures['by_size'][name]:.1f}" for name in sizes]
            table.add_row(rule.replace("_", " ") if who == "center" else "", who, *cells)
    console.print(table)
    deaf = f"F_LOC {100 * judged['f_loc']:.1f}, F_AUC {100 * judged['f_auc']:.1f}"
    console.print(f"\na disc of 30 % in the centre, which marks every picture alike whatever is heard: {deaf}")


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
        columns = ("trained", "untrained", "center", "average", "whole", "random", "oracle")
        # all of it on a terminal of 80 columns
        table = Table("locating", "trained", "95 %", *columns[1:], box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for name, figures in result["localization"].items():
            first, *cells = (f"{figures[who]:.3f}" if who in figures else "" for who in columns)
            interval = f"{figures['low']:.2f}..{figures['high']:.2f}" if "low" in figures else ""
            table.add_row(name, first, interval, *cells)
        console.print("")
        console.print(table)
