"""python -m retrieval build|search|verify|info: the store from the command line, for vectors made elsewhere."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from retrieval import index as indexes
from retrieval.search import Hit, format_time, search
from retrieval.space import Space
from retrieval.state import damage
from retrieval.store import Store


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0, or 2 after one line on stderr for what the user can put right."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (ValueError, ImportError, OSError) as error:
        print("retrieval:", printable(str(error)), file=sys.stderr)
        return 2


def printable(text: str) -> str:
    """Text of others (file names, narration) on one line and without control characters for the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m retrieval", description="Find moments by vectors.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    build = commands.add_parser("build", help="make or extend a store, and index it")
    build.add_argument("directory", type=Path, metavar="DIR")
    build.add_argument("--vectors", type=Path, help="float .npy, [N, width]; without it, only index what is there")
    build.add_argument("--rows", type=Path, help="JSON lines, one object per vector")
    build.add_argument("--space", type=Path, help="JSON: name, digest, modalities, width; needed for a new store")
    build.set_defaults(run=_build)

    find = commands.add_parser("search", help="print the moments nearest to query vectors")
    find.add_argument("directory", type=Path, metavar="DIR")
    find.add_argument("--vector", type=Path, required=True, help="float .npy, [width] or [Q, width]")
    find.add_argument("--space", type=Path, help="JSON of the query's space, to be checked against the store's")
    find.add_argument("--top", type=int, default=10, metavar="K", help="moments per query (10)")
    find.add_argument("--modality", help="find only this modality")
    find.add_argument("--where", metavar="SQL", help="condition on the rows, such as \"extra ->> 'kind' = 'bell'\"")
    find.add_argument(
        "--merge-seconds", type=float, default=0.0, metavar="S", help="join windows this near (0: do not)"
    )
    find.add_argument("--json", action="store_true", help="one JSON object per hit")
    find.set_defaults(run=_search)

    verify = commands.add_parser("verify", help="hash every file and tell which is damaged")
    verify.add_argument("directory", type=Path, metavar="DIR")
    verify.set_defaults(run=_verify)

    info = commands.add_parser("info", help="what a store holds")
    info.add_argument("directory", type=Path, metavar="DIR")
    info.set_defaults(run=_info)
    return parser


def _build(options: argparse.Namespace) -> int:
    if (options.vectors is None) != (options.rows is None):
        raise ValueError("--vectors and --rows go together")
    space = _space(options.space)
    # Read before the store is made, so that a mistake in them leaves nothing behind.
    vectors = None if options.vectors is None else _vectors(options.vectors)
    rows = None if options.rows is None else _rows(options.rows)
    if (options.directory / "manifest.json").exists():
        store = Store.open(options.directory)
        if space is not None:
            store.space.check(space)
    elif space is None:
        raise ValueError(f"{options.directory} holds no store yet: --space is needed to make one")
    else:
        store = Store.create(options.directory, space)
    with store:
        added = 0 if vectors is None or rows is None else len(store.add(vectors, rows))
        built = indexes.build(store)
        print(f"{options.directory}: {added} added, {len(built)} indexed ({built.kind})")
    return 0


def _search(options: argparse.Namespace) -> int:
    queries = np.atleast_2d(_vectors(options.vector))
    with Store.open(options.directory) as store:
        results = search(
            store,
            indexes.load(store),
            queries,
            k=options.top,
            modality=options.modality,
            where=options.where,
            merge_seconds=options.merge_seconds,
            space=_space(options.space),
        )
    for number, hits in enumerate(results):
        if len(results) > 1 and not options.json:
            print(f"query {number}:")
        for hit in hits:
            print(json.dumps({"query": number, **asdict(hit)}) if options.json else _line(hit))
    return 0


def _line(hit: Hit) -> str:
    return printable(f"{hit.path} @ {format_time(hit.peak)}  {hit.score:.3f}  {hit.narration}")


def _verify(options: argparse.Namespace) -> int:
    problems = damage(options.directory)
    for problem in problems:
        print("retrieval:", printable(problem), file=sys.stderr)
    if not problems:
        print(f"{options.directory}: every file is as it was written")
    return 2 if problems else 0


def _info(options: argparse.Namespace) -> int:
    with Store.open(options.directory) as store:
        manifest = store.manifest
        print(f"space      {printable(store.space.to_json())}")
        print(f"vectors    {len(store)} in {len(manifest['segments'])} segments, {len(store.removed)} removed")
        for modality in store.space.modalities:
            print(f"           {len(store.ids('modality = ?', [modality]))} {printable(modality)}")
        for entry in manifest["indexes"]:
            print(f"index      {entry['kind']}, {entry['ntotal']} vectors, {entry['file']}")
        print(f"size       {sum(entry['bytes'] for entry in manifest['files'].values()) / 1e6:.1f} MB")
    return 0


def _space(path: Path | None) -> Space | None:
    if path is None:
        return None
    try:
        return Space.from_json(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _vectors(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no .npy file of numbers: {error}") from None


def _rows(path: Path) -> list[Any]:
    with open(path, "rb") as file:
        lines = file.read().splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            raise ValueError(f"{path} line {number}: {error}") from None
    return rows


if __name__ == "__main__":
    sys.exit(main())
