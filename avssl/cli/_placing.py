"""Folders that commands write whole: made beside their place, renamed into it, and found again after a kill.

What is being made or replaced lies beside the folder, under its name with a dot before and the process's number behind.
Whoever makes a folder holds a lock beside it, which the kernel frees when its holder dies: what is found under such a
name by the next one who holds it belongs to nobody.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

from retrieval.files import file_lock, sync_directory, writer_lock
from retrieval.manifest import DATA_FILE
from retrieval.manifest import NAME as MANIFEST

WRITTEN = re.compile(r"(manifest|source|space|plan)\.json|lock|\.?shard-\d+|\.tmp-.*")
"""what our folders hold, beside the data files of a store"""


def check_ours(folder: Path, marks: tuple[str, ...]) -> None:
    """Raise ValueError unless ``folder`` is new, empty, or holds all of ``marks``, by which ours are known."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not _whole(folder, marks):
        raise ValueError(f"{folder} holds other files: name another folder")


@contextmanager
def making(folder: Path, marks: tuple[str, ...]) -> Iterator[bool]:
    """Keep others from making or replacing ``folder`` meanwhile, and put right what one left that was killed.

    Yields whether the folder was gone, for its replacing was cut short between two renames, and is now what it was
    before. ``marks``: files that a whole one holds. Raises ValueError that names who makes it now.
    """
    if folder.is_dir() and not os.access(folder.parent, os.W_OK):
        yield False  # nobody can have replaced it, nor can
        return
    with ExitStack() as held:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(file_lock(folder.with_name(f".{folder.name}.lock"), folder))
        except OSError as error:  # which names the lock, of which nobody has heard
            raise ValueError(f"{folder} cannot be written: {error.strerror}") from None
        back = _put_back(folder, marks)
        _sweep(folder, marks)
        yield back
        _sweep(folder, marks)


@contextmanager
def replacing_folder(folder: Path, marks: tuple[str, ...]) -> Iterator[Path]:
    """Yield a new folder that takes the place of ``folder`` when the block is done, and of nothing if it raises.

    The caller is `making` it. A folder that is there is only replaced when it is empty or holds all of ``marks``. A
    store that is there is locked meanwhile: what another wrote to it would be lost. Raises ValueError when one writes.
    """
    check_ours(folder, marks)
    partial = _beside(folder, "partial")
    with _locked(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            for file in partial.iterdir():
                with open(file, "rb") as written:
                    os.fsync(written.fileno())
            swap(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def swap(partial: Path, folder: Path) -> None:
    """Put a folder whose content is durable in the place of another, of which nothing stays."""
    old, gone = _beside(folder, "old"), _beside(folder, "gone")
    if folder.exists():
        os.replace(folder, old)
    os.replace(partial, folder)
    sync_directory(folder.parent)
    if old.exists():
        os.replace(old, gone)  # a name ending in .old promises a whole folder
        shutil.rmtree(gone, ignore_errors=True)


def _beside(folder: Path, word: str) -> Path:
    return folder.with_name(f".{folder.name}.{os.getpid()}.{word}")


def _left(folder: Path, words: str) -> list[Path]:
    """What lies beside a folder under one of these words, of any process."""
    name = re.compile(rf"\.{re.escape(folder.name)}\.\d+\.({words})")
    return [path for path in folder.parent.iterdir() if name.fullmatch(path.name)]


def _whole(folder: Path, marks: tuple[str, ...]) -> bool:
    return all((folder / mark).exists() for mark in marks)


def _put_back(folder: Path, marks: tuple[str, ...]) -> bool:
    if os.path.lexists(folder):
        return False
    whole = [path for path in _left(folder, "old") if _whole(path, marks)]
    if not whole:
        return False
    newest = max(whole, key=lambda path: path.stat().st_ctime_ns)  # that of its renaming
    with _locked(newest):
        os.replace(newest, folder)
        sync_directory(folder.parent)
    return True


def _sweep(folder: Path, marks: tuple[str, ...]) -> None:
    """Delete what killed processes left beside a folder; an old one only once there is a whole one in its place."""
    for path in _left(folder, "partial|gone|old" if _whole(folder, marks) else "partial|gone"):
        if path.is_symlink() or not path.is_dir():
            continue
        if all(WRITTEN.fullmatch(one.name) or DATA_FILE.match(one.name) or one.name in marks for one in path.iterdir()):
            shutil.rmtree(path, ignore_errors=True)


def _locked(folder: Path) -> AbstractContextManager[None]:
    return writer_lock(folder) if (folder / MANIFEST).exists() else nullcontext()
