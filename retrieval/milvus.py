"""The engine on Milvus: a file of its own for laptops and tests, or a cluster by its address.

Vectors lie in a FLAT index by inner product, so what is found is exact; scores are computed again, in double precision,
from the vectors that come back, and ties are settled by id, so hits are those of the exact index of a directory. Of
filters, Milvus takes those on `recording` and `modality`. A recording is filtered by its hash and a modality by its
number, so nothing that a user typed becomes part of an expression.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from retrieval import milvus_filter
from retrieval.engine import digest_of, row_json
from retrieval.milvus_client import Client
from retrieval.milvus_filter import hash_of
from retrieval.milvus_ranking import ANSWER_BYTES, MOST, ranked
from retrieval.moments import Hit, hit_of
from retrieval.rows import Parameter, Row, parse_row
from retrieval.segment import Ids, Vectors, check_vectors
from retrieval.space import Space

SPACE = "retrieval_space"  # the collection's property that says where its vectors live
ROW_BYTES = 65_535  # Milvus's longest text
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}\Z")


class MilvusStore:
    """An open collection. See `retrieval.engine.Engine` for what it does, and `mirror` for how to fill it.

    An `add` that is interrupted may have added some of its rows; `mirror` goes on where it stopped.
    """

    def __init__(self, client: Client, collection: str, space: Space) -> None:
        self.collection = collection
        self._client = client
        self._space = space

    @classmethod
    def create(
        cls, uri: str | Path, space: Space, collection: str = "moments", token: str = "", timeout_seconds: float = 30.0
    ) -> "MilvusStore":
        """Make an empty collection.

        uri: a file that ends with .db, which this process then has for itself, or the address of a server, such as
        http://localhost:19530. token: "user:password" or an API key. Raises ValueError if there is such a collection,
        and for a name or width that Milvus does not take; ConnectionError when the server does not answer.
        """
        _check_name(collection)
        if not 2 <= space.width <= 32_768:
            raise ValueError(f"Milvus keeps vectors of 2 to 32768 components, and this space has {space.width}")
        client = Client(uri, token, timeout_seconds)
        try:
            if client.call("has_collection", collection):
                raise ValueError(f"{uri} already holds a collection {collection}: open it, or choose another name")
            client.create(collection, space.width, ROW_BYTES, {SPACE: space.to_json()})
        except BaseException:
            client.close()
            raise
        return cls(client, collection, space)

    @classmethod
    def open(
        cls, uri: str | Path, collection: str = "moments", token: str = "", timeout_seconds: float = 30.0
    ) -> "MilvusStore":
        """Open a collection that `create` made. Raises ValueError if there is none, ConnectionError without server."""
        _check_name(collection)
        client = Client(uri, token, timeout_seconds)
        try:
            if not client.call("has_collection", collection):
                raise ValueError(f"{uri} holds no collection {collection}: make it with MilvusStore.create")
            told = client.call("describe_collection", collection).get("properties", {}).get(SPACE)
            if told is None:
                raise ValueError(f"collection {collection} of {uri} is not ours: it does not say its space")
            space = Space.from_json(told)
            client.call("load_collection", collection)
        except BaseException:
            client.close()
            raise
        return cls(client, collection, space)

    @classmethod
    def open_or_create(
        cls, uri: str | Path, space: Space, collection: str = "moments", token: str = "", timeout_seconds: float = 30.0
    ) -> "MilvusStore":
        """Open a collection, or make it in this space; see both."""
        _check_name(collection)
        with closing(Client(uri, token, timeout_seconds)) as client:
            there = client.call("has_collection", collection)
        rest = (collection, token, timeout_seconds)
        return cls.open(uri, *rest) if there else cls.create(uri, space, *rest)

    def __enter__(self) -> "MilvusStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def space(self) -> Space:
        """Where its vectors live."""
        return self._space

    def __len__(self) -> int:
        return int(self._call("query", filter="", output_fields=["count(*)"])[0]["count(*)"])

    def add(self, vectors: Any, rows: Iterable[Mapping[str, Any]]) -> Ids:
        """Add vectors [N, width] and a row for each; return their ids.

        A row without an "id" gets one that follows from its recording, start, end and modality. Raises ValueError as
        `Store.add` does, and for a row of more than 65535 bytes.
        """
        array = check_vectors(vectors, self._space.width)
        given = list(rows)
        if len(given) != len(array):
            raise ValueError(f"there are {len(array)} vectors and {len(given)} rows; every vector needs its row")
        batch = []
        for number, data in enumerate(given):
            row = parse_row(number, data, self._space.modalities, 0)
            batch.append(row if "id" in data else replace(row, id=int(_key(row)[:15], 16)))
        self._refuse_duplicates(batch)
        self.put(array, batch)
        return np.array([row.id for row in batch], np.int64)

    def remove(self, ids: Iterable[int]) -> int:
        """Remove rows at once; return how many. Raises ValueError for an unknown id, and removes nothing then."""
        gone = np.unique(np.array([int(identity) for identity in ids], np.int64))
        self._get(gone.tolist(), "id")
        self.drop(gone)
        return len(gone)

    def rows(self, ids: Iterable[int]) -> list[Row]:
        """Rows of these ids, in this order. Raises ValueError for an unknown id."""
        return [_row(told) for told in self._get([int(identity) for identity in ids], "row")]

    def vectors(self, ids: Iterable[int]) -> Vectors:
        """Vectors of these ids, in this order, [N, width]. Raises ValueError for an unknown id."""
        found = self._get([int(identity) for identity in ids], "vector")
        return np.array(found, np.float32).reshape(-1, self._space.width)

    def search(
        self,
        vectors: Any,
        *,
        k: int = 10,
        modality: str | None = None,
        where: str | tuple[str, Sequence[Parameter]] | None = None,
        exclude_recording: str | Sequence[str | None] | None = None,
        space: Space | None = None,
    ) -> list[list[Hit]]:
        """The k best moments for each of the queries [Q, width], as `retrieval.search.search` tells them.

        where: comparisons (=, <>) of recording and modality with a text, joined by AND; anything else is refused.
        Raises ValueError also when so many rows tie at the k-th place that Milvus cannot return them all.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k < MOST:
            raise ValueError(f"k must be a whole number from 1 to {MOST - 1}, got {k!r}")
        if space is not None:
            self._space.check(space)
        queries = check_vectors(vectors, self._space.width, "query")
        condition = milvus_filter.conditions(self._space.modalities, modality, where)
        excluded = (
            [exclude_recording] * len(queries) if isinstance(exclude_recording, str | None) else exclude_recording
        )
        if len(excluded) != len(queries):
            raise ValueError(f"exclude_recording has {len(excluded)} entries for {len(queries)} queries")
        results: list[list[Hit]] = [[] for _ in queries]
        for name in dict.fromkeys(excluded):
            members = [number for number, other in enumerate(excluded) if other == name]
            without = [] if name is None else [milvus_filter.other_than(name)]
            expression = " and ".join(condition + without)
            for member, found in zip(members, self._hits(queries[members], int(k), expression), strict=True):
                results[member] = found
        return results

    def close(self) -> None:
        """Let go of the connection, and of the file."""
        self._client.close()

    def digests(self) -> dict[int, str]:
        """The `retrieval.engine.digest_of` every row with its vector, by id."""
        pages = self._client.pages(self.collection, ["id", "digest"], MOST)
        return {int(told["id"]): str(told["digest"]) for page in pages for told in page}

    def drop(self, ids: Ids) -> None:
        """Remove ids that are known to be there."""
        for first in range(0, len(ids), 1000):
            self._call("delete", ids=ids[first : first + 1000].tolist())

    def put(self, vectors: Vectors, rows: Sequence[Row]) -> None:
        """Insert rows that are known not to be there. Raises ValueError for one that is too long."""
        told = [row_json(row) for row in rows]
        for row, text in zip(rows, told, strict=True):
            if len(text.encode()) > ROW_BYTES:
                raise ValueError(f"the row of id {row.id} ({row.path}) has more than {ROW_BYTES} bytes, Milvus's most")
        step = max(1, ANSWER_BYTES // (4 * self._space.width + 4096))
        for first in range(0, len(rows), step):
            part = slice(first, first + step)
            values = [
                {
                    "id": row.id,
                    "vector": vector,
                    "recording": hash_of(row.recording),
                    "modality": self._space.modalities.index(row.modality),
                    "key": _key(row),
                    "digest": digest_of(row, vector),
                    "row": text,
                }
                for row, vector, text in zip(rows[part], vectors[part], told[part], strict=True)
            ]
            self._call("insert", values)

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        return self._client.call(name, self.collection, *arguments, **options)

    def _get(self, ids: Sequence[int], field: str) -> list[Any]:
        """One field of each id, in this order."""
        found: dict[int, Any] = {}
        for first in range(0, len(ids), 1000):
            for told in self._call("query", ids=list(ids[first : first + 1000]), output_fields=["id", field]):
                found[int(told["id"])] = told[field]
        for identity in ids:
            if identity not in found:
                raise ValueError(f"the store holds no id {identity}")
        return [found[identity] for identity in ids]

    def _refuse_duplicates(self, batch: Sequence[Row]) -> None:
        ids: dict[int, int] = {}
        keys: dict[str, int] = {}
        for number, row in enumerate(batch):
            if ids.setdefault(row.id, number) != number:
                raise ValueError(f"row {number}: id {row.id} is also row {ids[row.id]}'s")
            if keys.setdefault(_key(row), number) != number:
                raise ValueError(f"row {number}: {_span(row)} is also row {keys[_key(row)]}")
        for first in range(0, len(batch), 1000):
            part = batch[first : first + 1000]
            names = ", ".join(f'"{_key(row)}"' for row in part)
            for told in self._call("query", filter=f"key in [{names}]", output_fields=["id", "key"]):
                number = keys[told["key"]]
                raise ValueError(f"row {number}: {_span(batch[number])} is in the store already, as id {told['id']}")
            for told in self._call("query", ids=[row.id for row in part], output_fields=["id"]):
                raise ValueError(f"row {ids[told['id']]}: id {told['id']} is in the store already")

    def _hits(self, queries: Vectors, k: int, expression: str) -> Iterator[list[Hit]]:
        """The k best windows of each query."""

        def nearest(part: Vectors, fetch: int) -> Any:
            options = {"filter": expression, "output_fields": ["vector"]}
            return self._call("search", data=list(part), limit=fetch, **options)

        for answers in ranked(nearest, queries, k):
            wanted = sorted({identity for ids, _ in answers for identity in ids.tolist()})
            rows = dict(zip(wanted, self.rows(wanted), strict=True))
            for ids, scores in answers:
                yield [hit_of(rows[i], score) for i, score in zip(ids.tolist(), scores.tolist(), strict=True)]


def _row(text: str) -> Row:
    return Row(**json.loads(text))


def _key(row: Row) -> str:
    """Hash of what no two rows share."""
    return hash_of(json.dumps(row.key))


def _span(row: Row) -> str:
    return f"{row.modality} of {row.recording} from {row.start} to {row.end} s"


def _check_name(collection: str) -> None:
    if not NAME.match(collection):
        raise ValueError(f"a collection is named with letters, digits and underscores, got {collection!r}")
