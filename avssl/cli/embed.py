"""avssl embed: every moment of every recording as a vector."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from avssl.cli._counting import counting

if TYPE_CHECKING:
    from avssl.data.manifest import Manifest
    from avssl.embedding import Embedder


def embed(
    run: Annotated[
        str, typer.Argument(help="A run's folder, a checkpoint, an exported folder, or a pretrained config.")
    ],
    manifest: Annotated[Path, typer.Argument(help="The recordings (.jsonl).")],
    changes: Annotated[list[str] | None, typer.Argument(help="key=value, with a config only.")] = None,
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")],
    window: Annotated[float | None, typer.Option(help="Seconds of a window; the run's own unless given.")] = None,
    hop: Annotated[float | None, typer.Option(help="Seconds between windows; half a window unless given.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="video, audio, text or image; may be repeated.")] = None,
    split: Annotated[str | None, typer.Option(help="train, val or test alone.")] = None,
    space: Annotated[str, typer.Option(help="For methods with several spaces.")] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    shard: Annotated[int, typer.Option(help="Most recordings that are lost when this is killed.")] = 64,
    new_for: Annotated[Path | None, typer.Option(help="Only what this index lacks, by content.")] = None,
) -> None:
    """Turn every moment of every recording into a vector: the first step of search.

    What was killed goes on when it is started again. On several processors: torchrun --nproc-per-node 2 -m avssl embed
    ..., on several machines with a folder that all of them see.
    """
    from avssl.cli import _network
    from avssl.cli import _vectors as files
    from avssl.cli._shards import Job, embed_shards, place
    from avssl.data.manifest import Manifest
    from avssl.embedding import Embedder
    from avssl.train.distributed import device_of

    rank, world, local = place()
    recordings = Manifest.load(manifest)
    if split is not None:
        recordings = replace(recordings, recordings=recordings.split(split))
    loaded = _network.load(run, changes or [], "cpu")
    loaded.method.to(device_of(device, local))
    embedder = Embedder(loaded.method, loaded.inputs, window, space)
    width = 0
    if new_for is not None:
        recordings, width = _lacking(recordings, new_for, embedder, loaded.digest)
        if not recordings.recordings and not rank:
            typer.echo(f"{new_for} holds all recordings of {manifest}: nothing to embed")
    seconds = embedder.window.seconds
    source = files.Source(
        run if _network.is_towers(run) else str(Path(run).resolve()),
        seconds,
        seconds / 2 if hop is None else hop,
        tuple(changes or ()),
    )
    job = Job(embedder, recordings, loaded.digest, source, only or None, shard, width)
    with counting("recordings") as tell:
        done = embed_shards(job, output, rank, world, tell if rank == 0 else lambda count, total: None)
    if done is None:
        return
    console = Console()
    table = Table("modality", "vectors", "width", "recordings", box=None, pad_edge=False)
    for modality, count in done.vectors.items():
        table.add_row(modality, str(count), str(done.width), str(done.recordings[modality]))
    console.print(table)
    for reason, count in sorted(done.skipped.items()):
        console.print(f"{count} {reason}, skipped there", highlight=False)
    if done.kept:
        console.print(f"{done.kept} shards were done before and are kept", highlight=False)
    told = f"\n{output} is written; next: avssl index {output} -o index"
    console.print(escape(told), highlight=False, soft_wrap=True)


def _lacking(recordings: "Manifest", index: Path, embedder: "Embedder", digest: str) -> "tuple[Manifest, int]":
    """The recordings whose content an index does not hold yet, and the width of its vectors."""
    from retrieval.space import Space
    from retrieval.store import Store

    with Store.open(index) as store:
        store.space.check(Space(embedder.space_name, digest, embedder.modalities, store.space.width))
        known = {content for held in store.recordings().values() for content in held.contents}
        width = store.space.width
    new = tuple(one for one in recordings.recordings if one.sha256 not in known)
    return replace(recordings, recordings=new), width
