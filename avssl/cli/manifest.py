"""avssl manifest: list the recordings of a folder, what they hold, and what is wrong with them."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from avssl.cli._counting import counting
from avssl.cli._named import SHOWN, check_manifest_output
from avssl.words import counted

if TYPE_CHECKING:
    from avssl.data.manifest import Manifest


def manifest(
    folder: Annotated[
        Path, typer.Argument(help="Folder of videos, sounds, pictures, in any sub-folders without a .nomedia.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The manifest to write (.jsonl).")],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="TSV with a path or clip column, whose others become labels; or the word folders: what a file's "
            "folder is called is its label kind."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core unless given.")] = None,
    images: Annotated[bool, typer.Option(help="Whether still pictures are recordings.")] = True,
    language: Annotated[
        str, typer.Option(help="Of narration, side by side: en,de takes clip.en.vtt and clip.de.vtt.")
    ] = "",
    sentences: Annotated[bool, typer.Option(help="Join cues and split them into sentences.")] = False,
    stream: Annotated[
        list[str] | None,
        typer.Option(
            help="Further streams beside the recordings: depth finds clip.depth.mkv, or pictures in clip.depth/; with "
            "range=LOW:HIGH of deep pictures, fps=N of folders; or face,crop=X0:Y0:X1:Y1 (shares). May be repeated."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Name every file that is left out.")] = False,
) -> None:
    """List the recordings of a folder: content, sound, narration, labels, split; and tell what is odd or left out."""
    check_manifest_output(output, makes=True)
    from avssl.data.manifest import make

    with counting("files") as tell:
        made = make(
            folder, labels=labels, out=output, workers=workers, progress=tell, include_images=images,
            languages=[one.strip() for one in language.split(",") if one.strip()], sentences=sentences,
            streams=stream or [],
        )  # fmt: skip
    console = Console()
    _tell(console, made, everything)
    console.print(f"[bold]{escape(str(output))}[/bold]: {counted(len(made.recordings), 'recording')}")


def _tell(console: Console, made: "Manifest", everything: bool) -> None:
    splits = Table("split", "recordings", "hours", "with picture", "with sound", "with narration", "labeled")
    for split in ("train", "val", "test"):
        held = made.split(split)
        counts = [
            sum(r.video is not None for r in held), sum(r.audio is not None for r in held),
            sum(bool(r.narration) for r in held), sum(bool(r.labels) for r in held),
        ]  # fmt: skip
        splits.add_row(split, str(len(held)), f"{sum(r.seconds for r in held) / 3600:.2f}", *map(str, counts))
    console.print(splits)
    names = sorted({name for recording in made.recordings for name in recording.streams})
    if names:
        told = (f"{name} {sum(name in recording.streams for recording in made.recordings)}" for name in names)
        console.print(f"further streams, and how many recordings have them: {', '.join(told)}", highlight=False)
    spoken = ({phrase.language or "not told" for phrase in recording.narration} for recording in made.recordings)
    tags = Counter(tag for one in spoken for tag in one)
    if set(tags) - {"not told"}:
        told = (f"{tag} {count}" for tag, count in sorted(tags.items(), key=lambda pair: (-pair[1], pair[0])))
        console.print(f"languages of narration, and how many recordings have them: {', '.join(told)}", highlight=False)

    problems: dict[str, list[str]] = {}
    for recording in made.recordings:
        for problem in recording.problems:
            problems.setdefault(problem.split(" (")[0], []).append(recording.key)
    if problems:
        table = Table("kept, but", "recordings", "for example", title="audit")
        for problem, keys in sorted(problems.items(), key=lambda pair: -len(pair[1])):
            table.add_row(escape(problem), str(len(keys)), escape(keys[0]))
        console.print(table)
    if made.left_out:
        reasons = Counter(_kind(reason) for _, reason in made.left_out)
        table = Table("left out", "files", title="left out")
        for reason, count in reasons.most_common():
            table.add_row(escape(reason), str(count))
        console.print(table)
        shown = made.left_out if everything else made.left_out[:SHOWN]
        for path, reason in shown:
            console.print(f"  {escape(path)}: {escape(reason)}", highlight=False, soft_wrap=True)
        if len(shown) < len(made.left_out):
            console.print(f"  and {len(made.left_out) - len(shown)} more; --all names them")
    for warning in made.warnings:
        console.print(f"[yellow]warning: {escape(warning)}[/yellow]", soft_wrap=True)


def _kind(reason: str) -> str:
    """A reason without what is particular to one file."""
    return "duplicate" if reason.startswith("the same content as") else reason.split(" (")[0].split(";")[0]
