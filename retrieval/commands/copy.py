"""mirror, search-milvus: a copy of a store that many machines can search. A token comes from MILVUS_TOKEN."""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.commands import given
from retrieval.engine import mirror
from retrieval.search import format_time
from retrieval.store import Store

URI = "a file that ends with .db, or the address of a server, such as http://localhost:19530"


def register(commands: Any) -> None:
    """Add these commands to the parser."""
    argument = given.command(commands, "mirror", "make a Milvus hold exactly what a store holds", _mirror)
    argument("uri", metavar="URI", help=URI)
    argument("--collection", default="moments", metavar="NAME")

    told = "print the moments nearest to query vectors, from a Milvus"
    parser = commands.add_parser("search-milvus", help=told, description=told)
    parser.set_defaults(run=_search)
    argument = parser.add_argument
    argument("uri", metavar="URI", help=URI)
    argument("--collection", default="moments", metavar="NAME")
    argument("--vector", type=Path, required=True, help="float .npy, [width] or [Q, width]")
    argument("--space", type=Path, help="JSON of the query's space, to be checked against the collection's")
    argument("--top", type=int, default=10, metavar="K", help="moments per query (10)")
    argument("--modality", help="find only this modality")
    argument("--where", metavar="SQL", help="recording or modality = or <> 'text', joined by AND")
    argument("--json", action="store_true", help="one JSON object per hit")


def _mirror(options: argparse.Namespace) -> int:
    from retrieval.milvus import MilvusStore

    token = os.environ.get("MILVUS_TOKEN", "")
    with (
        Store.open(options.directory) as store,
        MilvusStore.open_or_create(options.uri, store.space, options.collection, token) as copy,
    ):
        done = mirror(store, copy)
    told = f"{done.added} added, {done.removed} removed, {done.kept} were there"
    print(f"{options.uri}, collection {options.collection}: {told}")
    return 0


def _search(options: argparse.Namespace) -> int:
    from retrieval.milvus import MilvusStore

    queries = np.atleast_2d(given.vectors(options.vector))
    with MilvusStore.open(options.uri, options.collection, os.environ.get("MILVUS_TOKEN", "")) as copy:
        results = copy.search(
            queries, k=options.top, modality=options.modality, where=options.where, space=given.space(options.space)
        )
    for number, hits in enumerate(results):
        for hit in hits:
            line = given.printable(f"{hit.path} @ {format_time(hit.peak)}  {hit.score:.3f}  {hit.narration}")
            print(json.dumps({"query": number, **asdict(hit)}) if options.json else line)
    return 0
