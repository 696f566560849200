"""The connection to a Milvus: what goes wrong there is one line here, and the embedded file is let go of."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OPENED: Counter[str] = Counter()  # embedded files: all clients of one process share the one server of a file


class Client:
    """A connection. Every call raises ConnectionError when nobody answers, ValueError for what Milvus refuses."""

    def __init__(self, uri: str | Path, token: str = "", timeout_seconds: float = 30.0) -> None:
        """uri: a file that ends with .db, or an address. Raises ImportError without pymilvus or milvus-lite."""
        self.uri = str(uri)
        self.embedded = "://" not in self.uri
        self._timeout = timeout_seconds
        if self.embedded and not self.uri.endswith(".db"):
            raise ValueError(f"{uri} is neither an address, such as http://localhost:19530, nor a file ending with .db")
        if self.embedded:
            self.uri = str(Path(self.uri).resolve())
            if not Path(self.uri).parent.is_dir():
                raise ValueError(f"{uri}: there is no folder {Path(self.uri).parent}")
        pymilvus = _import(self.embedded)
        with self._told():
            self._client: Any = pymilvus.MilvusClient(uri=self.uri, token=token, timeout=timeout_seconds)
        self._closed = False
        if self.embedded:
            OPENED[self.uri] += 1

    def close(self) -> None:
        """Hang up; the last one that has an embedded file open lets go of it."""
        if self._closed:
            return
        self._closed = True
        with self._told():
            self._client.close()
        if self.embedded:
            OPENED[self.uri] -= 1
            if not OPENED[self.uri]:
                from milvus_lite.server_manager import server_manager_instance

                server_manager_instance.release_server(self.uri)

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """A method of pymilvus.MilvusClient."""
        with self._told():
            return getattr(self._client, name)(*arguments, timeout=self._timeout, **options)

    def pages(self, collection: str, fields: list[str], rows: int) -> Iterator[list[Mapping[str, Any]]]:
        """These fields of all rows, some rows at a time."""
        with self._told():
            iterator = self._client.query_iterator(
                collection, batch_size=rows, output_fields=fields, timeout=self._timeout
            )
            while page := iterator.next():
                yield page
            iterator.close()

    def create(self, collection: str, width: int, row_bytes: int, properties: Mapping[str, str]) -> None:
        """Make an empty collection with a FLAT index by inner product, ready to search."""
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=width)
        schema.add_field("modality", DataType.INT64)
        for name in ("recording", "key", "digest"):
            schema.add_field(name, DataType.VARCHAR, max_length=64)
        schema.add_field("row", DataType.VARCHAR, max_length=row_bytes)
        indexes = self._client.prepare_index_params()
        indexes.add_index("vector", index_type="FLAT", metric_type="IP")
        self.call(
            "create_collection",
            collection,
            schema=schema,
            index_params=indexes,
            properties=dict(properties),
            consistency_level="Strong",  # a search sees what was added before it
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        import grpc
        from pymilvus.exceptions import MilvusException

        try:
            yield
        except (MilvusException, grpc.RpcError, grpc.FutureTimeoutError) as error:
            told = " ".join(str(getattr(error, "message", error)).split())
            gone = not isinstance(error, MilvusException) or error.code == 2 or "UNAVAILABLE" in told
            gone = gone or "DEADLINE_EXCEEDED" in told or "retry" in told
            if gone:
                raise ConnectionError(f"the Milvus at {self.uri} does not answer: {told}") from None
            raise ValueError(f"the Milvus at {self.uri} refuses: {told}") from None


def _import(embedded: bool) -> Any:
    try:
        import pymilvus

        if embedded:
            import milvus_lite.server_manager  # noqa: F401
    except ImportError as error:
        raise ImportError(f"Milvus cannot be used ({error}): pip install avssl[milvus]") from None
    # It writes tracebacks of what it also raises.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)
    logging.getLogger("milvus_lite").setLevel(logging.CRITICAL + 1)
    # The embedded server lacks some calls that the client tries and can do without.
    logging.getLogger("grpc._server").addFilter(_needed)
    return pymilvus


def _needed(record: logging.LogRecord) -> bool:
    return "Method not implemented!" not in record.getMessage()
