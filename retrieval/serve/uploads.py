"""What is sent to be searched with: one file of limited size, under a name of our own, gone when it was read."""

import json
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import anyio
from starlette.datastructures import UploadFile
from starlette.requests import Request

FIELD_BYTES = 64 << 10
"""most bytes of everything in a request that is not the file"""
FIELDS = ("file", "kind", "question")


@dataclass(frozen=True)
class Upload:
    """A file on this machine, under a name that nothing of the request has a say in, and what is asked with it."""

    path: Path
    kind: str
    question: Any


@asynccontextmanager
async def upload(request: Request, folder: Path) -> AsyncIterator[Upload]:
    """The upload of a multipart request; its file is in `folder` until the block ends. Raises ValueError."""
    path = folder / secrets.token_hex(16)
    try:
        async with request.form(max_files=1, max_fields=len(FIELDS), max_part_size=FIELD_BYTES) as form:
            given = {name: value for name, value in form.multi_items() if name in FIELDS}
            unknown = [name for name, _ in form.multi_items() if name not in FIELDS]
            if unknown or len(given) != len(form.multi_items()):
                raise ValueError(f"an upload has {', '.join(FIELDS)}, each at most once")
            sent, kind, question = given.get("file"), given.get("kind", ""), given.get("question", "{}")
            if not isinstance(sent, UploadFile):
                raise ValueError("there is no file in the upload")
            if not isinstance(kind, str) or not isinstance(question, str):
                raise ValueError("kind and question are text")
            await anyio.to_thread.run_sync(_keep, sent.file, path)
        yield Upload(path, kind, as_json(question))
    finally:
        path.unlink(missing_ok=True)


def as_json(text: str | bytes) -> Any:
    """JSON of a stranger; ValueError, one line, for what is none, NaN, or is nested without end."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("the question is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"the question is no JSON: {error}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _keep(sent: BinaryIO, path: Path) -> None:
    with open(path, "xb") as file:
        shutil.copyfileobj(sent, file, 1 << 20)
