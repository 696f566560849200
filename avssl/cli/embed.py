"""avssl embed: every moment of every recording as a vector."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from avssl.cli._counting import counting
from avssl.cli._named import check_index
from avssl.words import counted

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
    augment: Annotated[
        bool,
        typer.Option(
            "--augment",
            help="Hear each sound a little slower and faster too (0.85, 1 and 1.15 times) and take the mean, here and "
            "in searches of it: for voices unlike those that were learnt from.",
        ),
    ] = False,
    shard: Annotated[int, typer.Option(help="Most recordings that are lost when this is killed.")] = 64,
    new_for: Annotated[
        Path | None, typer.Option(help="Only what this index lacks, or holds with other words, labels or spans.")
    ] = None,
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

    if new_for is not None:
        check_index(new_for)
    rank, world, local = place()
    recordings = Manifest.load(manifest)
    if split is not None:
        recordings = replace(recordings, recordings=recordings.split(split))
    loaded = _network.load(run, changes or [], "cpu")
    loaded.method.to(device_of(device, local))
    if new_for is not None:
        window, hop, augment = _as_in(new_for, window, hop, augment)
    embedder = Embedder(loaded.method, loaded.inputs, window, space, augment)
    seconds = embedder.window.seconds
    source = files.Source(
        _network.told_as(run),
        seconds,
        seconds / 2 if hop is None else hop,
        tuple(changes or ()),
        "" if new_for is None else str(new_for),
        augment,
    )
    width = 0
    if new_for is not None:
        recordings, width = _lacking(recordings, new_for, embedder, loaded.digest, source.hop_seconds, only)
        if not recordings.recordings and not rank:
            typer.echo(f"{new_for} holds all recordings of {manifest}: nothing to embed")
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
        console.print(f"done before and kept: {counted(done.kept, 'shard')}", highlight=False)
    told = f"\n{output} is written; next: avssl index {output} -o {_free('index', output)}"
    if new_for is not None:
        told = f"\n{output} is written; next: avssl index {output} -o {new_for} --sync --manifest {manifest}"
    console.print(escape(told), highlight=False, soft_wrap=True)


def _free(name: str, vectors: Path) -> str:
    """A folder to suggest that is not there: another index would be replaced."""
    return f"{name}-{vectors.name}" if Path(name).exists() else name


def _as_in(index: Path, window: float | None, hop: float | None, augment: bool) -> tuple[float, float, bool]:
    """Window and hop of an index, in seconds, and whether its sounds are augmented, which what is given must be.

    Raises ValueError.
    """
    from avssl.cli import _vectors as files

    source = files.Source.read(index)
    other = window not in (None, source.window_seconds) or hop not in (None, source.hop_seconds)
    if other or (augment and not source.augment):
        raise ValueError(
            f"{index} holds {source.windows}: leave --window, --hop and --augment out, or embed everything anew, "
            "without --new-for"
        )
    return source.window_seconds, source.hop_seconds, source.augment


def _lacking(
    recordings: "Manifest", index: Path, embedder: "Embedder", digest: str, hop: float, only: list[str] | None
) -> "tuple[Manifest, int]":
    """The recordings of which an index does not hold exactly what they would give now, and the width of its vectors.

    What one is called and where it lies does not matter: a sync renames. Raises ValueError where the index is of
    another network, and where it holds a modality that would not be embedded.
    """
    from avssl.embedding.recordings import expected_rows, wanted_of
    from retrieval.space import Space
    from retrieval.store import Store
    from retrieval.sync import held_digests, rows_digest

    wanted = wanted_of(embedder, only)
    with Store.open(index) as store:
        store.space.check(Space(embedder.space_name, digest, embedder.modalities, store.space.width))
        there = [name for name in store.space.modalities if len(store.ids("modality = ?", [name]))]
        if not set(there) <= set(wanted):
            raise ValueError(
                f"{index} holds {', '.join(there)}, and --only leaves some of it out, which recordings that changed "
                "would lose: name all"
            )
        held, width = held_digests(store), store.space.width
    expected = {}
    for one in recordings.recordings:
        rows = expected_rows(embedder, recordings.path_of(one), one, wanted, hop)
        if rows:
            expected[one.key] = rows_digest(rows)
    same = {key for key, digest in expected.items() if held.get(key) == digest}
    # What is there under a name that is not wanted with it is renamed, once.
    left = Counter(digest for key, digest in held.items() if key not in same)
    new = set()
    for key, digest in expected.items():
        if key not in same:
            left[digest] -= 1
            if left[digest] < 0:
                new.add(key)
    return replace(recordings, recordings=tuple(one for one in recordings.recordings if one.key in new)), width
