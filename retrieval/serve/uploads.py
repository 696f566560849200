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
FILES = {"file": "kind", "minus": "minus_kind"}
"""the fields that are files, and those that say what is meant: what to look for, what to keep away from"""
FIELDS = (*FILES, *FILES.values(), "question")


@dataclass(frozen=True)
class Upload:
    """A file on this machine, under a name that nothing of the request has a say in, and what is asked with it.

    minus: the same of what to keep away from. Of a request with that alone, path is None.
    """

    path: Path | None
    kind: str
    question: Any
    minus: Path | None = None
    minus_kind: str = ""

    def unnamed(self, text: str) -> str:
        """What is said of a file, without the name under which it was kept, which means nothing to whom it belongs."""
        for path in filter(None, (self.path, self.minus)):
            text = text.replace(str(path), "the upload")
        return text


@asynccontextmanager
async def upload(request: Request, folder: Path) -> AsyncIterator[Upload]:
    """The upload of a multipart request; its file is in `folder` until the block ends. Raises ValueError."""
    paths = {name: folder / secrets.token_hex(16) for name in FILES}
    try:
        async with request.form(max_files=len(FILES), max_fields=len(FIELDS), max_part_size=FIELD_BYTES) as form:
            given = {name: value for name, value in form.multi_items() if name in FIELDS}
            unknown = [name for name, _ in form.multi_items() if name not in FIELDS]
            if unknown or len(given) != len(form.multi_items()):
                raise ValueError(f"an upload has {', '.join(FIELDS)}, each at most once")
            kept: dict[str, Path] = {}
            texts = {name: given.get(name, "") for name in FIELDS if name not in FILES}
            told = {name: value for name, value in texts.items() if isinstance(value, str)}
            if len(told) < len(texts):
                raise ValueError(f"{', '.join(texts)} are text")
            for name, kind in FILES.items():
                sent = given.get(name)
                if isinstance(sent, UploadFile):
                    await anyio.to_thread.run_sync(_keep, sent.file, paths[name])
                    kept[name] = paths[name]
                elif sent is not None or told[kind]:
                    raise ValueError(f"{kind} tells what a file is: send that as {name}")
            if not kept:
                raise ValueError("there is no file in the upload")
            question = as_json(told["question"] or "{}")
        yield Upload(kept.get("file"), told["kind"], question, kept.get("minus"), told["minus_kind"])
    finally:
        for path in paths.values():
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
