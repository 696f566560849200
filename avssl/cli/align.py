"""avssl align: narration moved to where pictures and sound agree with it, or dropped."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from avssl.cli._counting import counting
from avssl.cli._named import check_manifest_output, check_output
from avssl.words import counted

if TYPE_CHECKING:
    from avssl.data.manifest import Manifest
    from avssl.embedding.alignment import Aligner, Fit, Placed

EDGES = (-0.5, -0.2, -0.05, 0.05, 0.2, 0.5)
"""seconds, between the columns of the histogram of shifts"""
SHOWN = 20


def align(
    run: Annotated[Path, typer.Argument(help="A run's folder, a checkpoint, or an exported folder.")],
    manifest: Annotated[Path, typer.Argument(help="The recordings (.jsonl).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The manifest to write (.jsonl).")],
    *,
    split: Annotated[str | None, typer.Option(help="train, val or test alone; others stay as they are.")] = None,
    window: Annotated[float | None, typer.Option(help="Seconds of a window; the run's own unless given.")] = None,
    hop: Annotated[float | None, typer.Option(help="Seconds between windows; a twentieth of one unless given.")] = None,
    most: Annotated[float, typer.Option(help="Greatest move, in seconds.")] = 1.5,
    jitter: Annotated[float, typer.Option(help="How far off narration usually is, in seconds.")] = 0.5,
    weight: Annotated[float, typer.Option(help="Of agreement against distance.")] = 1.0,
    standing: Annotated[
        float | None,
        typer.Option(help="Drop what fits its own recording no better than this share of others: 0.8; 0 keeps all."),
    ] = None,
    chatter: Annotated[
        float,
        typer.Option(
            help="Drop, too, what is said in like words in many recordings and fits none, with this probability; 0 "
            "keeps it."
        ),
    ] = 0.9,
    alignable: Annotated[
        float | None,
        typer.Option(
            help="Of runs that tell what can be aligned (tan), in place of both: drop what is less "
            "probable than this; chosen on the val split unless given."
        ),
    ] = None,
    share: Annotated[
        bool,
        typer.Option(
            help="Words without times share their sentence's, by their length: for runs that learnt from the words "
            "inside a window, and narration that is what is heard."
        ),
    ] = False,
    at: Annotated[str, typer.Option(help="middle: where agreement is greatest; begin: where it sets in.")] = "middle",
    space: Annotated[str, typer.Option(help="For methods with several spaces.")] = "",
    report: Annotated[Path | None, typer.Option("--json", help="Write what became of every sentence.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Put narration right: each sentence moves to where a trained run agrees with it, or goes if it fits nowhere.

    Trains again on the result: avssl train METHOD data=OUTPUT. Needs a run with text in one space with video or audio.
    """
    check_manifest_output(output, made_from=manifest)
    if report is not None:
        check_output("--json", report)
    from avssl.cli import _network
    from avssl.data.manifest import Manifest
    from avssl.embedding import Embedder
    from avssl.embedding import alignable as seen
    from avssl.embedding.alignment import Aligner, Rule, aligned, fits
    from avssl.methods.base import TellsAlignable
    from avssl.train.checkpoint import replace_text

    _check(standing, chatter, alignable)
    rule = Rule(
        most, jitter_seconds=jitter, weight=weight, standing=0.0, at=at, share=share,  # type: ignore[arg-type]
    )  # fmt: skip
    held = Manifest.load(manifest)
    loaded = _network.load(run, device=device)
    asks = isinstance(loaded.method, TellsAlignable)
    if alignable is not None and not asks:
        raise ValueError(f"--alignable: {loaded.method.cfg.name} does not tell what can be aligned; use --standing")
    if share and loaded.inputs.cfg.narration != "window":
        raise ValueError(f"--share: {run} learnt from whole phrases, and is asked about them (inputs.narration=phrase)")
    embedder = Embedder(loaded.method, loaded.inputs, window, space)
    with counting("recordings") as tell:
        aligner = Aligner(embedder, held, rule, hop_seconds=hop, split=split, progress=tell)
    least = alignable
    if asks and alignable is standing is None:
        least = _chosen(aligner, held, split)
    with counting("sentences of recordings") as tell:
        if least is None:
            placed = {recording.key: said for recording, said in aligner.place(tell)}
        else:
            placed = seen.told(aligner, held, tell)
    placed, why = _dropped(placed, standing, chatter, least)
    aligned(held, placed).save(output)
    told = {key: histogram(said) for key, said in placed.items()}
    if report:
        rows = [{"recording": key, **told[key], "said": [row(one) for one in said]} for key, said in placed.items()]
        total = histogram([one for said in placed.values() for one in said])
        content = {"run": str(run), "digest": loaded.digest, "edges": EDGES, "total": total, "recordings": rows}
        asked = {} if least is None else {"alignable": least}
        replace_text(report, json.dumps({**content, **asked}, indent=1) + "\n")
    if wrong := doubt(fits(placed)):
        typer.echo(wrong, err=True)
    show(Console(), placed)
    typer.echo(why)
    typer.echo(f"\n{output} is written; narration that was dropped is in {manifest} still")


def _check(standing: float | None, chatter: float, alignable: float | None) -> None:
    """Raises ValueError for a share that is none, and where several say what goes."""
    for name, value in {"standing": standing, "chatter": chatter, "alignable": alignable}.items():
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"--{name} is {value:g}; it is a share or a probability, 0 to 1")
    if alignable is not None and standing is not None:
        raise ValueError("--standing and --alignable: each says what goes; give one of them")


def _dropped(
    placed: "dict[str, list[Placed]]", standing: float | None, chatter: float, alignable: float | None
) -> "tuple[dict[str, list[Placed]], str]":
    """Without what goes, and what that is, in words."""
    from avssl.embedding import chatter as idle
    from avssl.embedding.alignment import Rule, without

    if alignable is not None:
        why = f"dropped is what the run holds less than {alignable:.2g} probable to be seen"
        return without(placed, lambda one: one.alignable < alignable), why
    share = Rule.standing if standing is None else standing
    why = f"dropped is what fits less than {share:.0%} of other recordings worse than its own"
    left = without(placed, lambda one: one.standing < share)
    if not chatter:
        return left, why
    left = without(idle.told(left), lambda one: one.chatter >= chatter)
    count = sum(one.chatter >= chatter for said in left.values() for one in said)
    why += f", and chatter, which is said alike in many recordings and fits none: {counted(count, 'sentence')}"
    return left, why


def _chosen(aligner: "Aligner", held: "Manifest", split: str | None) -> float | None:
    """From which probability on sentences are kept, by those of the val split; None where it has too few."""
    from avssl.embedding import alignable as seen
    from avssl.embedding.alignment import Aligner

    spoken = [one for one in held.split("val") if one.narration and not one.is_picture]
    found = None
    if spoken:
        if split in (None, "val"):
            val = aligner.saying(spoken)
        else:
            with counting("recordings of the val split") as tell:
                val = Aligner(aligner.embedder, held, aligner.rule, hop_seconds=aligner.hop, split="val", progress=tell)
        with counting("sentences of the val split") as tell:
            found = seen.choose(val, held, tell)
    if found is None:
        typer.echo(f"the val split has too few sentences to choose on ({counted(len(spoken), 'recording')} with "
                   "narration): what is dropped is told by --standing 0.8")  # fmt: skip
        return None
    shares = f"{found.own:.0%} of what is said there and {found.foreign:.0%} of what is said in others"
    typer.echo(f"{counted(len(spoken), 'recording')} of the val split: under {found.least:.2g} probable are {shares}")
    return found.least


def doubt(fits: "dict[str, Fit]") -> str:
    """A warning where what is said fits its own recording no better than others; empty where a view tells more."""
    if not fits or not all(fit.is_chance for fit in fits.values()):
        return ""
    kinds = {"video": "picture", "audio": "sound"}
    found = ", ".join(f"{fit.mean:.2f} ± {2 * fit.error:.2f} by {kinds[name]}" for name, fit in fits.items())
    return (
        "warning: what is said fits its own recording hardly better than others (share of others that it fits worse: "
        f"{found}; by chance 0.50): moves are guesses; train longer, or on recordings like these"
    )


def histogram(said: "list[Placed]") -> dict[str, Any]:
    """Of some sentences: how many there are, how many were dropped, and how many of the rest moved how far."""
    import numpy as np

    kept = [one.shift for one in said if one.after is not None]
    # a shift on an edge, -0.05 or 0.05 say, is in the bin nearer to 0
    bins = np.digitize(np.abs(kept) - 1e-9, [edge for edge in EDGES if edge > 0]) * np.sign(kept)
    half = len(EDGES) // 2
    counts = [int((bins == k).sum()) for k in range(-half, half + 1)]
    return {"sentences": len(said), "dropped": len(said) - len(kept), "shifts": counts}


def row(one: "Placed") -> dict[str, Any]:
    """What became of a sentence, as JSON."""
    standing = None if one.standing != one.standing else round(one.standing, 3)
    shares = {"alignable": one.alignable, "chatter": one.chatter}
    asked = {name: round(share, 4) for name, share in shares.items() if share == share}
    return {
        "text": one.before.text, "start": one.before.start, "end": one.before.end,
        "shift": None if one.after is None else one.shift, "standing": standing, **asked,
    }  # fmt: skip


def show(console: Console, placed: "dict[str, list[Placed]]") -> None:
    """Print the histogram of shifts: of every recording, or of those that changed most, and of all together."""
    half = len(EDGES) // 2
    earlier, later = (f"to {edge:g}" for edge in EDGES[1:half]), (f"to {edge:g}" for edge in EDGES[half + 1 :])
    titles = [f"< {EDGES[0]:g}", *earlier, "stayed", *later, f"> {EDGES[-1]:g}", "dropped"]
    title = "sentences by how far they moved, in seconds (less than 0 is earlier)"
    table = Table(title=title, box=None, pad_edge=False, collapse_padding=True)
    table.add_column("recording", overflow="fold")
    for name in titles:
        table.add_column(name, justify="right", no_wrap=True)
    told = {key: histogram(said) for key, said in placed.items()}

    def changed(key: str) -> int:
        return told[key]["sentences"] - told[key]["shifts"][half]  # type: ignore[no-any-return]

    names = list(told) if len(told) <= SHOWN else sorted(told, key=lambda key: -changed(key))[:SHOWN]
    for key in names:
        table.add_row(escape(key), *(str(n) if n else "" for n in (*told[key]["shifts"], told[key]["dropped"])))
    total = histogram([one for said in placed.values() for one in said])
    table.add_row(f"all {len(placed)}", *map(str, (*total["shifts"], total["dropped"])), style="bold")
    console.print(table)
    if len(names) < len(told):
        console.print(f"the {len(names)} that changed most; --json FILE has all {len(told)}")
    every = [one for said in placed.values() for one in said]
    unsure = sum(one.standing != one.standing and one.alignable != one.alignable for one in every)
    if unsure:
        console.print(f"{unsure} sentences could not be tried in other recordings (too few), so none of these went")
