"""Embedding shard by shard: a shard is done by one rank, once, and is kept when the work is killed.

What is cut into which shards depends on the recordings alone, and windows of two shards never share a batch. So any
number of ranks, started any number of times, makes the same bits. Ranks meet in the folder, not over the network: they
may be on several machines that share it, and none waits for another while it works.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from avssl.cli import _vectors as files
from avssl.cli._placing import check_ours, making
from avssl.data.manifest import Manifest, Recording
from avssl.embedding import Embedder, embed_recordings
from avssl.embedding.recordings import wanted_of
from avssl.words import counted
from retrieval.files import replacing
from retrieval.space import Space

SHARD_SECONDS = 600.0
"""a shard ends when its recordings are that long together, so that an hour's film is not done twice for its end"""
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Job:
    """What shall be embedded, and how.

    ``recordings``: all that are wanted. ``digest``: of the network. ``source``: what will be told of it, the hop too.
    ``modalities``: None for all of the space's. ``shard_recordings``: most in one shard. ``empty_width``: the width to
    tell when there is nothing to embed; 0 makes that an error.
    """

    embedder: Embedder
    recordings: Manifest
    digest: str
    source: files.Source
    modalities: Sequence[str] | None = None
    shard_recordings: int = 64
    empty_width: int = 0

    def shards(self) -> list[tuple[Recording, ...]]:
        """The recordings in order, cut where a shard is full."""
        found: list[list[Recording]] = []
        seconds = 0.0
        for recording in self.recordings.recordings:
            if not found or len(found[-1]) == self.shard_recordings or seconds >= SHARD_SECONDS:
                found.append([])
                seconds = 0.0
            found[-1].append(recording)
            seconds += recording.seconds
        return [tuple(shard) for shard in found]

    def plan(self) -> str:
        """Everything the vectors and their rows follow from, as JSON: equal plans make equal folders."""
        told = hashlib.sha256()
        for recording in self.recordings.recordings:
            whole = replace(recording, path=str(self.recordings.path_of(recording)))
            told.update(json.dumps(asdict(whole), sort_keys=True, default=str).encode())
        plan = {
            "network": self.digest,
            "space": self.embedder.space_name,
            "modalities": list(self.modalities or self.embedder.modalities),
            "source": self.source.told(),
            "recordings": told.hexdigest(),
            "shards": [len(shard) for shard in self.shards()],
        }
        return json.dumps(plan, sort_keys=True) + "\n"


@dataclass(frozen=True)
class Summary:
    """Of all shards. ``vectors`` and ``recordings``: modality -> how many. ``kept``: shards that were done before."""

    vectors: Counter[str]
    recordings: Counter[str]
    skipped: Counter[str]
    width: int
    kept: int


def embed_shards(
    job: Job, folder: Path, rank: int = 0, world: int = 1, progress: Callable[[int, int], None] | None = None
) -> Summary | None:
    """Do this rank's part of what is not done yet; the first rank waits for the others and puts the folder in place.

    progress: called with (recordings done by this rank, of how many). Returns None on all ranks but the first.

    Raises ValueError when the folder holds other things or is damaged, another process embeds into it, the space lacks
    a modality, the modalities do not share a width, or nothing at all could be embedded.
    """
    wanted_of(job.embedder, job.modalities)
    if job.shard_recordings < 1:
        raise ValueError(f"a shard of {job.shard_recordings} recordings; it must be at least 1")
    check_ours(folder, files.MARKS)
    if (folder / files.SPACE).exists() and (held := files.read_space(folder)).digest != job.digest:
        raise ValueError(
            f"{folder} holds vectors of another network ({held.digest[:12]}, this is {job.digest[:12]}): name another "
            "folder, or delete it"
        )
    if (folder / files.SOURCE).exists():
        there, asked = files.Source.read(folder), job.source
        if not there.alike(asked):
            raise ValueError(f"{folder} holds {there.windows}, not {asked.windows}: name another folder, or delete it")
    shards, work = job.shards(), Work(folder, job.plan())
    with work.opened(first=rank == 0):
        if work.finished:
            files.check_intact(folder)
            return None if rank else work.summary(folder, kept=len(shards))
        mine = range(rank, len(shards), world)
        todo = [number for number in mine if not work.has(number)]
        done, total = 0, sum(len(shards[number]) for number in todo)
        for number in todo:
            made = embed_recordings(
                job.embedder,
                Manifest(shards[number], root=job.recordings.root),
                hop_seconds=job.source.hop_seconds,
                modalities=job.modalities,
                progress=None if progress is None else _later(progress, done, total),
                may_be_empty=True,
            )
            files.write_shard(work.shard(number), made)
            done += len(shards[number])
        if rank:
            return None
        while not all(work.has(number) for number in range(len(shards))):
            time.sleep(POLL_SECONDS)
        summary = work.summary(work.partial, kept=len(mine) - len(todo))
        width = summary.width or job.empty_width
        if not width:
            shutil.rmtree(work.partial)
            told = ", ".join(f"{count} {reason}" for reason, count in summary.skipped.items()) or "there are none"
            raise ValueError(f"nothing to embed in {counted(len(job.recordings.recordings), 'recording')}: {told}")
        work.finish(Space(job.embedder.space_name, job.digest, job.embedder.modalities, width), job.source)
        return summary


class Work:
    """A folder in the making, under a name of its own until it is whole."""

    def __init__(self, folder: Path, plan: str) -> None:
        self.folder, self.partial, self._plan = folder, folder.with_name(f".{folder.name}.partial"), plan

    @property
    def finished(self) -> bool:
        """Whether the folder is in its place, made by the same plan."""
        return _read(self.folder / files.PLAN) == self._plan

    def shard(self, number: int) -> Path:
        """Where a shard is kept."""
        return self.partial / files.SHARD.format(number)

    def has(self, number: int) -> bool:
        """Whether a shard is done. A whole folder that was put in its place meanwhile has all of them."""
        return (self.shard(number) / files.DONE).exists() or self.finished

    @contextmanager
    def opened(self, first: bool) -> Iterator[None]:
        """The first rank prepares the folder and keeps other processes out; the others wait until it has."""
        if not first:
            while not (self.finished or _read(self.partial / files.PLAN) == self._plan):
                time.sleep(POLL_SECONDS)
            yield
            return
        with making(self.folder, files.MARKS):
            if not self.finished:
                self._prepare()
            yield

    def _prepare(self) -> None:
        self.partial.mkdir(exist_ok=True)
        if _read(self.partial / files.PLAN) != self._plan:
            (self.partial / files.PLAN).unlink(missing_ok=True)  # what is left belongs to no plan from here on
            for path in self.partial.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
            with replacing(self.partial / files.PLAN) as temporary:
                temporary.write_text(self._plan, encoding="utf-8")

    def summary(self, folder: Path, kept: int) -> Summary:
        """Of the shards in a folder."""
        vectors, recordings, skipped = Counter[str](), Counter[str](), Counter[str]()
        widths = set()
        for _, done in files.shards(folder):
            for modality, held in done["held"].items():
                vectors[modality] += held["vectors"]
                recordings[modality] += held["recordings"]
                widths.add(int(held["width"]))
            skipped.update(done["skipped"])
        if len(widths) > 1:
            raise ValueError(f"at this window the modalities do not share a width: {sorted(widths)}")
        return Summary(vectors, recordings, skipped, max(widths, default=0), kept)

    def finish(self, space: Space, source: files.Source) -> None:
        """Put the whole folder in its place."""
        for path in self.partial.iterdir():
            if path.name.startswith(".") and path.is_dir():
                shutil.rmtree(path)  # of a rank that was killed
            elif path.name.startswith(".") or path.name == "lock":
                path.unlink()
        files.seal(self.partial, self.folder, space, source)


def _later(progress: Callable[[int, int], None], before: int, total: int) -> Callable[[int, int], None]:
    return lambda done, _: progress(before + done, total)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


def place() -> tuple[int, int, int]:
    """(rank, of how many, rank on this machine), as torchrun tells."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    rank, world, local = (int(os.environ.get(name, default)) for name, default in zip(names, "010", strict=True))
    return rank, world, local
