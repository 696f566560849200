"""Files that survive a crash: written whole or not at all, hashed, and with one writer at a time."""

import fcntl
import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

TEMPORARY = ".tmp-"
ASIDE = ".aside-"


def sha256_of(descriptor: int) -> str:
    """Hash of an open file, read by position, so that threads that share the descriptor do not disturb each other."""
    digest, position = hashlib.sha256(), 0
    while block := os.pread(descriptor, 1 << 20, position):
        digest.update(block)
        position += len(block)
    return digest.hexdigest()


def check_intact(path: Path, sha256: str) -> None:
    """Raise ValueError, one line, unless a file is there and has this hash."""
    try:
        with open(path, "rb") as file:
            intact = sha256_of(file.fileno()) == sha256
    except FileNotFoundError:
        raise ValueError(f"{path} is missing") from None
    if not intact:
        raise ValueError(f"{path} is damaged: its content is not what was written")


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable: a rename is kept only once its directory is."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path, durable_name: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what the block writes there becomes `path`, durably and at once.

    If the block raises, `path` is as it was and the temporary file is gone. Callers hold the writer's lock, so the
    temporary name belongs to them alone. Without `durable_name` the caller makes the name durable, by `sync_directory`
    once for several files.
    """
    temporary = path.with_name(TEMPORARY + path.name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        if durable_name:
            sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writer_lock(directory: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the directory's one writer's lock; see `file_lock`."""
    with file_lock(directory / "lock", directory, wait_seconds, keep=True):
        yield


@contextmanager
def file_lock(path: Path, written: Path, wait_seconds: float = 0.0, keep: bool = False) -> Iterator[None]:
    """Hold the lock that a file is, which the kernel frees even when its holder is killed.

    written: what the lock is for. keep: whether the file stays when nobody holds it. Raises ValueError that names the
    holder if the lock is not free within `wait_seconds`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(path, descriptor):
                    break
                # The file that was waited for is gone, or another directory has taken the place of the one it was in.
                left, descriptor = descriptor, os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
                os.close(left)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "another process"
                    raise ValueError(f"{written} is being written by {holder}: try again when it is done") from None
                time.sleep(0.02)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        try:
            yield
            os.ftruncate(descriptor, 0)
        finally:
            if not keep:
                path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


@contextmanager
def aside(directory: Path) -> Iterator[Path]:
    """Yield a folder in `directory` in which something is made that takes long; it is gone afterwards.

    A killed process leaves its folder behind, for `sweep_aside` to remove.
    """
    sweep_aside(directory)
    with ExitStack() as held:
        folder = _locked_folder(directory, held)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(directory: Path, held: ExitStack) -> Path:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=ASIDE, dir=directory))
        # Until it is locked, another process may take it for one that was left behind.
        with suppress(FileNotFoundError):
            if _is_at(folder, held.enter_context(_held(folder))):
                return folder


def sweep_aside(directory: Path) -> None:
    """Remove the folders of `aside` that killed processes left.

    Those in use are told by their lock, which the kernel frees even when its holder is killed.
    """
    for left in directory.glob(f"{ASIDE}*"):
        with suppress(OSError), _held(left, fcntl.LOCK_NB):
            shutil.rmtree(left)


@contextmanager
def _held(folder: Path, how: int = 0) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
        yield descriptor
    finally:
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
