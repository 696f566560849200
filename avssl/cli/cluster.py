"""avssl cluster: what is in my folder?"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from avssl.cli._counting import counting
from avssl.words import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from avssl.cli._shards import Job
    from avssl.data.manifest import Manifest
    from avssl.embedding import Embedder
    from avssl.report.groups import Group

PAGE, SHEET, LINES, MOMENTS = "clusters.html", "clusters.png", "clusters.jsonl", "moments"


def cluster(
    run: Annotated[
        str, typer.Argument(help="A run's folder, a checkpoint, an exported folder, or a pretrained config.")
    ],
    recordings: Annotated[Path, typer.Argument(help="A folder of recordings, a manifest, or what avssl embed wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the page and the sheet.")] = Path(
        "clusters"
    ),
    clusters: Annotated[
        int, typer.Option("-k", "--clusters", help="How many; the run's own, or by the number of recordings.")
    ] = 0,
    by: Annotated[str, typer.Option(help="Alike in video, image, audio or text; the first that the run has.")] = "",
    most: Annotated[int, typer.Option(help="Recordings looked at, spread over all; 0 for all.")] = 500,
    split: Annotated[str | None, typer.Option(help="train, val or test alone.")] = None,
    space: Annotated[str, typer.Option(help="For methods with several spaces.")] = "",
    label: Annotated[str, typer.Option(help="Clusters are named by it; kind, or the first label there is.")] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per cluster.")] = False,
) -> None:
    """Sort moments into clusters of what is alike, and show them: a page with players, a sheet, a table.

    xdc has clusters of its own; the vectors of any other run are sorted by k-means, and so are xdc's with -k. Vectors
    are kept in OUTPUT/moments: what was killed goes on when it is started again, and another -k needs no new ones.
    """
    if clusters < 0 or most < 0:
        raise ValueError(f"{'-k' if clusters < 0 else '--most'} is {min(clusters, most)}; it must be at least 0")
    _check(output)
    if not recordings.exists():
        raise ValueError(f"{recordings}: no such folder or manifest")

    import torch

    from avssl.cli import _network
    from avssl.cli import _vectors as files
    from avssl.cli._shards import Job
    from avssl.embedding import Embedder
    from avssl.methods.base import HasClusters
    from avssl.report import contact, groups

    loaded = _network.load(run, (), device)
    embedder = Embedder(loaded.method, loaded.inputs, None, space)
    modality = by or embedder.modalities[0]
    if modality not in embedder.modalities:
        raise ValueError(f"--by {by}: {loaded.cfg.method.name} embeds {', '.join(embedder.modalities)}")
    moments = recordings
    if not (recordings / files.SPACE).is_file():
        manifest, moments = _manifest(recordings, most, split), output / MOMENTS
        seconds = embedder.window.seconds
        source = files.Source(_network.told_as(run), seconds, seconds)
        _embed(Job(embedder, manifest, loaded.digest, source, [modality]), moments)
    vectors, rows = _embedded(embedder, loaded.digest, moments, modality, split)
    names = {name for row in rows for name in row["extra"]}
    if label and label not in names:
        raise ValueError(f"--label {label}: these recordings have {', '.join(sorted(names)) or 'no labels'}")
    if isinstance(loaded.method, HasClusters) and not clusters:
        numbers = loaded.method.cluster(modality, torch.from_numpy(vectors)).numpy()
    else:
        count = clusters or min(len(vectors), groups.number_for(len({row["recording"] for row in rows})))
        numbers = groups.clusters_of(vectors, count)
    label = label or groups.label_of(rows)
    found = groups.grouped(vectors, rows, numbers, label)
    agreed = groups.agreement(rows, numbers, label)
    lead = f"{counted(len(rows), 'moment')} in {counted(len(found), 'cluster')} by {modality}, {loaded.cfg.method.name}"
    if agreed is not None:
        lead += f"; adjusted mutual information with {label} {agreed:.2f}"
    output.mkdir(parents=True, exist_ok=True)
    _write(output, f"What is in {recordings.name or recordings}", lead, found, contact)
    if as_json:
        for group in found:
            typer.echo(json.dumps(group.row(), ensure_ascii=False))
        return
    console = Console()
    console.print(lead, highlight=False, markup=False)
    console.print(table(found, label))
    console.print(f"wrote {output / PAGE}, {SHEET} and {LINES}", highlight=False, markup=False, soft_wrap=True)


def table(found: "list[Group]", label: str) -> Table:
    """The clusters, the greatest first."""
    from rich.markup import escape

    from retrieval.search import format_time

    shown = Table(
        "cluster", "moments", "recordings", label or "label", "words", "in its middle", box=None, pad_edge=False
    )
    for group in found:
        first = group.examples[0]
        name = f"{group.label} {group.share:.0%}" if group.label else ""
        where = f"{first['recording']} @ {format_time(first['start'])}"
        cells = (str(group.number), str(group.moments), str(group.recordings), name, " ".join(group.words), where)
        shown.add_row(*map(escape, cells))
    return shown


def _write(output: Path, name: str, lead: str, found: "list[Group]", contact: Any) -> None:
    from avssl.report.page import write
    from retrieval.files import replacing

    with counting("examples") as tell:
        write(output / PAGE, contact.contact_page(name, lead, found, tell))
    with counting("pictures") as tell:
        contact.contact_sheet(output / SHEET, name, found, tell)
    with replacing(output / LINES) as partial:
        lines = "".join(json.dumps(group.row(), ensure_ascii=False) + "\n" for group in found)
        partial.write_text(lines, encoding="utf-8")


def _check(output: Path) -> None:
    """Raise ValueError for a file, and for a folder that holds other things and nothing of an earlier call."""
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; name a folder")
    there = {one.name for one in output.iterdir() if not one.name.startswith(".")} if output.exists() else set()
    if there and not _made(output) and there != {MOMENTS}:
        raise ValueError(f"{output} holds other files: name another folder")


def _made(output: Path) -> bool:
    """Whether an earlier call has written its clusters there."""
    return any((output / name).exists() for name in (PAGE, SHEET, LINES))


def _embed(job: "Job", folder: Path) -> None:
    """Embed recordings into this command's own folder, and go on where it was killed."""
    from avssl.cli import _vectors as files
    from avssl.cli._shards import Work, embed_shards

    if (folder / files.SPACE).exists() and not Work(folder, job.plan()).finished:
        if not _made(folder.parent):
            raise ValueError(f"{folder} holds other vectors, and no clusters were written of them: name another folder")
        if files.read_space(folder).digest != job.digest:
            shutil.rmtree(folder)  # another network's, of an earlier call
    with counting("recordings") as tell:
        done = embed_shards(job, folder, progress=tell)
    for reason, count in sorted(done.skipped.items() if done else ()):
        typer.echo(f"{count} {reason}, left out", err=True)


def _embedded(
    embedder: "Embedder", digest: str, where: Path, modality: str, split: str | None
) -> "tuple[NDArray[np.float32], list[dict[str, Any]]]":
    """Vectors [N, D] and rows of one modality's moments, of a folder of vectors that this network made."""
    import numpy as np

    from avssl.cli import _vectors as files
    from retrieval.space import Space

    held = files.read_space(where)
    held.check(Space(embedder.space_name, digest, embedder.modalities, held.width))
    blocks, rows = [], list[dict[str, Any]]()
    for vectors, told in files.read(where):
        keep = [
            place for place, row in enumerate(told)
            if row["modality"] == modality and split in (None, row["extra"].get("split"))
        ]  # fmt: skip
        blocks.append(vectors[keep])
        rows += [told[place] for place in keep]
    if not rows:
        raise ValueError(f"{where} holds no {modality}" + (f" of the {split} split" if split else ""))
    return np.concatenate(blocks), rows


def _manifest(where: Path, most: int, split: str | None) -> "Manifest":
    from dataclasses import replace

    import numpy as np

    from avssl.data.manifest import Manifest
    from avssl.train.folder import manifest_of

    manifest = (
        manifest_of(where, "", lambda told: typer.echo(told, err=True)) if where.is_dir() else Manifest.load(where)
    )
    kept = manifest.recordings if split is None else manifest.split(split)
    if most and len(kept) > most:
        typer.echo(f"looking at {most} of {len(kept)} recordings; --most 0 looks at all", err=True)
        kept = tuple(kept[place] for place in np.linspace(0, len(kept) - 1, most).round().astype(int))
    return replace(manifest, recordings=kept)
