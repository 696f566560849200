"""search, verify, info, export: the commands that only read a store."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from retrieval import index as indexes
from retrieval.commands import given
from retrieval.own_columns import lacking, named_in
from retrieval.search import Hit, format_time, search
from retrieval.state import damage
from retrieval.store import Store


def register(commands: Any) -> None:
    """Add these commands to the parser."""
    argument = given.command(commands, "search", "print the moments nearest to query vectors", _search)
    argument("--vector", type=Path, required=True, help="float .npy, [width] or [Q, width]")
    argument("--space", type=Path, help="JSON of the query's space, to be checked against the store's")
    argument("--top", type=int, default=10, metavar="K", help="moments per query (10)")
    argument("--modality", help="find only this modality")
    argument("--where", metavar="SQL", help="condition on the rows, such as \"extra ->> 'kind' = 'bell'\"")
    argument("--merge-seconds", type=float, default=0.0, metavar="S", help="join windows this near (0: do not)")
    argument("--json", action="store_true", help="one JSON object per hit")

    given.command(commands, "verify", "hash every file and tell which is damaged", _verify)
    given.command(commands, "info", "what a store holds", _info)

    argument = given.command(commands, "export", "write all rows and vectors to a Parquet file", _export)
    argument("file", type=Path, metavar="FILE")


def _search(options: argparse.Namespace) -> int:
    if not 0 <= options.merge_seconds < np.inf:
        raise ValueError(f"--merge-seconds is {options.merge_seconds:g}; it must be a number of at least 0")
    if options.top < 1:
        raise ValueError(f"--top is {options.top}; it must be at least 1")
    queries = np.atleast_2d(given.vectors(options.vector))
    with Store.open(options.directory) as store:
        results = search(
            store,
            indexes.load(store),
            queries,
            k=options.top,
            modality=options.modality,
            where=options.where,
            merge_seconds=options.merge_seconds,
            space=given.space(options.space),
        )
        if (
            options.where
            and not any(len(hits) for hits in results)
            and (told := lacking(store, named_in(options.where)))
        ):
            print("retrieval:", given.printable(told), file=sys.stderr)
    for number, hits in enumerate(results):
        if len(results) > 1 and not options.json:
            print(f"query {number}:")
        for hit in hits:
            print(json.dumps({"query": number, **asdict(hit)}) if options.json else _line(hit))
    return 0


def _line(hit: Hit) -> str:
    return given.printable(f"{hit.path} @ {format_time(hit.peak)}  {hit.score:.3f}  {hit.narration}")


def _verify(options: argparse.Namespace) -> int:
    problems = damage(options.directory)
    for problem in problems:
        print("retrieval:", given.printable(problem), file=sys.stderr)
    if not problems:
        print(f"{options.directory}: every file is as it was written")
    return 2 if problems else 0


def _info(options: argparse.Namespace) -> int:
    with Store.open(options.directory) as store:
        manifest = store.manifest
        print(f"space      {given.printable(store.space.to_json())}")
        segments = f"{len(manifest['segments'])} segments, {len(store.removed)} removed, kept as {store.dtype}"
        print(f"vectors    {len(store)} in {segments}")
        for modality in store.space.modalities:
            print(f"           {len(store.ids('modality = ?', [modality]))} {given.printable(modality)}")
        for entry in manifest["indexes"]:
            for number, line in enumerate(indexes.describe(entry)):
                print(f"{'' if number else 'index':<10} {given.printable(line)}")
        print(f"size       {_size(sum(entry['bytes'] for entry in manifest['files'].values()))}")
    return 0


def _size(count: int) -> str:
    """Bytes as people say them."""
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{count} bytes"


def _export(options: argparse.Namespace) -> int:
    from retrieval import parquet
    from retrieval.regions import Regions

    with Store.open(options.directory) as store:
        print(f"{options.file}: {parquet.export(store, options.file)} rows")
        left_out = len(Regions(store).ids())
    if left_out:
        print(f"the regions of {left_out} windows are left out: avssl regions makes them again", file=sys.stderr)
    return 0
