"""What a user gives at the terminal: files of vectors, rows, recordings and a space. Mistakes are one line."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from retrieval.space import Space
from retrieval.sync import Wanted


def command(
    commands: Any, name: str, told: str, run: Callable[[argparse.Namespace], int]
) -> Callable[..., argparse.Action]:
    """A command with the folder of a store as its first argument; returns how to add further ones."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=told, description=told)
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.set_defaults(run=run)
    return parser.add_argument


def printable(text: str) -> str:
    """Text of others (file names, narration) on one line and without control characters for the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def space(path: Path | None) -> Space | None:
    """The space a JSON file tells of. Raises ValueError that names the file."""
    if path is None:
        return None
    try:
        return Space.from_json(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def vectors(path: Path) -> Any:
    """The numbers of a .npy file, mapped into memory."""
    with open(path, "rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError(f"{path} is no .npy file of numbers: write one with numpy.save")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError, TokenError) as error:
        raise ValueError(f"{path} is no .npy file of numbers: {error}") from None


def rows(path: Path) -> list[Any]:
    """One object for each line that is not empty."""
    with open(path, "rb") as file:
        lines = file.read().splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found += [json.loads(line)] if line.strip() else []
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} line {number}: {error}") from None
    return found


def wanted(path: Path | None) -> list[Wanted] | None:
    """Recordings, one JSON object with recording, path and content for each line."""
    if path is None:
        return None
    found = []
    for number, row in enumerate(rows(path), 1):
        if not isinstance(row, dict) or set(row) != {"recording", "path", "content"}:
            raise ValueError(f"{path}, recording {number}: must be an object with recording, path and content")
        if not all(isinstance(value, str) for value in row.values()):
            raise ValueError(f"{path}, recording {number}: recording, path and content must be text")
        found.append(Wanted(row["recording"], row["path"], row["content"]))
    return found
