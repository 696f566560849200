"""avssl index: from vectors to an index that answers, and that follows a collection as it changes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avssl.words import counted

if TYPE_CHECKING:
    from avssl.cli._vectors import Source
    from retrieval.index import Index
    from retrieval.space import Space
    from retrieval.store import Store
    from retrieval.sync import Wanted
    from retrieval.sync_rows import Block


def index(
    vectors: Annotated[
        list[Path] | None, typer.Argument(help="Folders that avssl embed wrote, all of one space.")
    ] = None,
    *,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Folder to write; of an index there, regions of the same windows stay."),
    ],
    sync: Annotated[
        bool, typer.Option("--sync", help="Change the index that is there: recordings not in VECTORS go.")
    ] = False,
    manifest: Annotated[
        Path | None, typer.Option(help="With --sync: what shall be held, where VECTORS has only what is new.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="How a new index keeps vectors: float32, or float16, half the size.")] = "",
    kind: Annotated[str, typer.Option(help="exact, ivf-pq4, ...; chosen by size unless given.")] = "",
) -> None:
    """Build an index over vectors, with the file, the seconds and the words of each.

    A collection that changes: avssl manifest FOLDER -o M.jsonl; avssl embed RUN M.jsonl -o NEW --new-for INDEX;
    avssl index NEW -o INDEX --sync --manifest M.jsonl. Renamed files keep their vectors, deleted ones go.
    """
    from avssl.cli import _vectors as files
    from avssl.cli._placing import making

    folders = vectors or []
    if manifest is not None and not sync:
        raise ValueError("--manifest tells what --sync shall keep: give both")
    for folder in folders:
        files.read_space(folder)
    _check_whole(folders, output, manifest)
    with making(output, _marks()) as back:
        if back:
            typer.echo(f"{output}: its replacing had been cut short; what was there before is back", err=True)
        there = sync and (output / "manifest.json").exists()
        if not folders and not (there and manifest is not None):
            raise ValueError(
                "name the folders of vectors; only --sync with --manifest of an index that is there needs none"
            )
        wanted = None if manifest is None else _wanted(manifest)
        blocks = (block for folder in folders for block in files.read(folder))
        if there:
            built = _changed(output, folders, blocks, wanted, dtype, kind)
        else:
            gone = _held(output)
            built = _new(output, folders, blocks, wanted, dtype, kind, sync)
            if gone:
                typer.echo(f"{output}: replaced; it held {counted(gone, 'vector')}")
    typer.echo(f'{output}: {counted(len(built), "vector")} ({built.kind}); next: avssl search {output} --text "..."')


def _new(
    output: Path, folders: "Sequence[Path]", blocks: "Iterable[Block]", wanted: "Sequence[Wanted] | None", dtype: str,
    kind: str, sync: bool,
) -> "Index":  # fmt: skip
    from avssl.cli import _vectors as files
    from avssl.cli._placing import replacing_folder
    from retrieval import index as indexes
    from retrieval.store import Store
    from retrieval.sync_rows import sync_rows

    space, source = files.read_space(folders[0]), files.Source.read(folders[0])
    _check_alike(folders, space, source, folders[0])
    with replacing_folder(output, _marks()) as partial:
        with Store.create(partial, space, dtype=dtype or "float32") as store:
            if sync:
                sync_rows(store, list(blocks), wanted)
            else:
                for block, rows in blocks:
                    store.add(block, rows)
            if not len(store):
                raise ValueError(f"{', '.join(map(str, folders))}: no vectors in it to index; {output} is as it was")
            _keep_regions(output, store)
            built = indexes.build(store, kind or None)
        replace(source, new_for="").write(partial)
    return built


def _check_whole(folders: "Sequence[Path]", output: Path, manifest: Path | None) -> None:
    """Raise ValueError where there is only what an index lacked, and what it held would go, or is not there."""
    from avssl.cli import _vectors as files

    parts = [files.Source.read(folder).new_for for folder in folders]
    if not parts or not all(parts):
        return
    told = f"{folders[0]} holds only what {parts[0]} lacked"
    if manifest is None:
        named = " ".join(map(str, folders))
        raise ValueError(
            f"{told}, the rest would go: avssl index {named} -o {parts[0]} --sync --manifest MANIFEST, where MANIFEST "
            "lists all"
        )
    if not (output / "manifest.json").exists():
        raise ValueError(f"{told}, and {output} is no index: name {parts[0]}, or embed everything, without --new-for")


def _held(output: Path) -> int:
    """How many vectors an index has that will be replaced; 0 where there is none."""
    from retrieval.store import Store

    if not (output / "manifest.json").exists():
        return 0
    try:
        with Store.open(output) as store:
            return len(store)
    except ValueError:
        return 0  # damaged: that it is made anew is what is wanted


def _marks() -> tuple[str, ...]:
    """By which a whole index is known."""
    from avssl.cli import _vectors as files
    from retrieval.manifest import NAME

    return NAME, files.SOURCE


def _keep_regions(before: Path, store: "Store") -> None:
    """What an index that is replaced knows of the same windows: making it again would take the network hours."""
    from retrieval.regions import KIND, carry_regions
    from retrieval.store import Store

    if not (before / "manifest.json").exists():
        return
    try:
        with Store.open(before) as old:
            if old.sides(KIND):
                carried = carry_regions(old, store)
                typer.echo(f"{before}: {carried} windows keep their regions; for the others: avssl regions {before}")
    except ValueError as error:
        typer.echo(f"{before}: what it knew of places in pictures cannot be kept ({error})", err=True)


def _changed(
    output: Path, folders: "Sequence[Path]", blocks: "Iterable[Block]", wanted: "Sequence[Wanted] | None", dtype: str,
    kind: str,
) -> "Index":  # fmt: skip
    from avssl.cli import _vectors as files
    from retrieval.store import Store
    from retrieval.sync_rows import sync_rows

    with Store.open(output) as store:
        _check_alike(folders, store.space, files.Source.read(output), output)
        if dtype not in ("", store.dtype):
            raise ValueError(f"{output} keeps vectors as {store.dtype}; --dtype is for a new index")
        counts = sync_rows(store, list(blocks), wanted)
        built = _indexed(store, kind)
    typer.echo(f"{output}: {counts}")
    return built


def _check_alike(folders: "Sequence[Path]", space: "Space", source: "Source", of: Path) -> None:
    """Raise ValueError unless all come from this space and windows, those ``of`` a folder."""
    from avssl.cli import _vectors as files

    for folder in folders:
        space.check(files.read_space(folder))
        other = files.Source.read(folder)
        if not source.alike(other):
            raise ValueError(f"{of} holds {source.windows}, {folder} has {other.windows}: embed alike")


def _indexed(store: "Store", kind: str) -> "Index":
    """The index of a store that changed: extended where that is enough."""
    from retrieval import index as indexes

    kinds = [entry["kind"] for entry in store.manifest["indexes"]]
    if kinds and kind in ("", kinds[-1]):
        return indexes.extend(store)
    return indexes.build(store, kind or None)


def _wanted(manifest: Path) -> "Sequence[Wanted]":
    from avssl.data.manifest import Manifest
    from retrieval.sync import Wanted

    held = Manifest.load(manifest)
    return [Wanted(one.key, str(held.path_of(one)), one.sha256) for one in held.recordings]
