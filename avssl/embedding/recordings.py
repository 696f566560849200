"""Every window of every recording of a manifest, and every phrase said in it, as vectors with their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from avssl.data import streams
from avssl.data.manifest import Manifest, Recording
from avssl.data.media import Unreadable
from avssl.data.narration import Phrase, nearest
from avssl.embedding.network import Embedder, Vectors
from avssl.embedding.window import AT_ONCE, windows
from avssl.methods.base import Space

BATCH = 32
"""windows that go through an encoder together; fixed, so that the same recordings give the same bits"""
OWN = ("video", "image", "audio", "text")
"""modalities that are read from the recording itself; others are streams of that name"""
SAID_SECONDS = 2.0
"""words further than this from a window are not said there"""


class Piece(NamedTuple):
    """Windows, or phrases, of one recording and modality that wait for the encoder."""

    modality: str
    x: Tensor
    rows: list[dict[str, Any]]


@dataclass
class Embedded:
    """Vectors [N, D] and rows of each modality, in the order of the manifest.

    A row holds ``recording``, ``path``, ``content``, ``start``, ``end`` (seconds), ``modality``, ``narration`` and
    ``extra`` (labels and split). ``skipped`` counts, by reason, recordings that gave nothing in a modality.
    """

    space: Space
    vectors: dict[str, Vectors]
    rows: dict[str, list[dict[str, Any]]]
    skipped: Counter[str] = field(default_factory=Counter)


def embed_recordings(
    embedder: Embedder,
    manifest: Manifest,
    *,
    hop_seconds: float | None = None,
    modalities: Sequence[str] | None = None,
    split: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    may_be_empty: bool = False,
) -> Embedded:
    """Every window of every recording, in one pass over each file; each narration phrase is a row of its own.

    Args:
        embedder: the network and its window.
        manifest: the recordings.
        hop_seconds: from one window to the next; half a window by default.
        modalities: some of the space's; None takes all that the space has.
        split: of the manifest; None takes all recordings.
        progress: called with (recordings done, of how many).
        may_be_empty: it is no error when nothing at all could be embedded.

    Raises ValueError for a modality that the space does not have, and when nothing at all could be embedded.
    """
    wanted = wanted_of(embedder, modalities)
    recordings = manifest.recordings if split is None else manifest.split(split)
    hop = embedder.window.seconds / 2 if hop_seconds is None else hop_seconds
    skipped: Counter[str] = Counter()
    rows: dict[str, list[dict[str, Any]]] = {modality: [] for modality in wanted}
    blocks: dict[str, list[Vectors]] = {modality: [] for modality in wanted}
    waiting: dict[str, list[Tensor]] = {modality: [] for modality in wanted}

    def flush(modality: str, least: int) -> None:
        held = torch.cat(waiting[modality]) if waiting[modality] else torch.empty(0)
        while len(held) >= least and len(held):
            blocks[modality].append(embedder(modality, held[:BATCH]))
            held = held[BATCH:]
        waiting[modality] = [held] if len(held) else []

    for done, recording in enumerate(recordings, 1):
        for piece in _pieces(embedder, manifest.root, recording, wanted, hop, skipped):
            rows[piece.modality] += piece.rows
            waiting[piece.modality].append(piece.x)
            flush(piece.modality, BATCH)
        if progress:
            progress(done, len(recordings))
    for modality in wanted:
        flush(modality, 1)
    kept = {modality: np.concatenate(parts) for modality, parts in blocks.items() if parts}
    if not kept and not may_be_empty:
        told = ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "there are none"
        raise ValueError(f"nothing to embed in {len(recordings)} recordings: {told}")
    return Embedded(embedder.space, kept, {modality: rows[modality] for modality in kept}, skipped)


def wanted_of(embedder: Embedder, modalities: Sequence[str] | None) -> tuple[str, ...]:
    """These modalities, or all that the space has. Raises ValueError for one that it does not have."""
    wanted = embedder.modalities if modalities is None else tuple(modalities)
    for modality in wanted:
        if modality not in embedder.modalities:
            raise ValueError(
                f"{embedder.method.cfg.name} cannot embed {modality}; it embeds {', '.join(embedder.modalities)}"
            )
    return wanted


def expected_rows(
    embedder: Embedder, path: Path, recording: Recording, wanted: Sequence[str], hop: float
) -> list[dict[str, Any]]:
    """The rows that `embed_recordings` gives a recording if all of it is readable, told from the manifest alone."""
    rows = _phrases(path, recording) if "text" in wanted else []
    for part in _parts(embedder, path, recording, wanted, hop):
        rows += [row for _, told in part.rows.values() for row in told]
    return rows


class Part(NamedTuple):
    """Windows that are read together; for each modality which of them hold something of it, and their rows."""

    spans: Sequence[tuple[float, float]]
    rows: dict[str, tuple[list[int], list[dict[str, Any]]]]


def _pieces(
    embedder: Embedder, root: Path, recording: Recording, wanted: Sequence[str], hop: float, skipped: Counter[str]
) -> Iterator[Piece]:
    path = root / recording.path
    if "text" in wanted:
        rows = _phrases(path, recording)
        if rows:
            yield Piece("text", embedder.inputs.tokens([row["narration"] for row in rows]), rows)
        else:
            skipped["without narration"] += 1
    if "audio" in wanted and _seconds(recording.audio, recording) is None:
        skipped["without sound"] += 1
    if _seen(recording, wanted) and _seconds(recording.video, recording) is None:
        skipped["without picture"] += 1
    further = {name: streams.track(root, recording, name) for name in wanted if name not in OWN}
    for name, one in further.items():
        if one is None:
            skipped[f"without {name}"] += 1
    for part in _parts(embedder, path, recording, wanted, hop):
        audio, video = "audio" in part.rows, bool({"video", "image"} & part.rows.keys())
        starts = [start for start, _ in part.spans]
        held: dict[str, Tensor | None] = {}
        try:
            if audio or video:
                clips = embedder.window.read(path, starts, video=video, audio=audio, still=recording.is_picture)
                held = {"audio": clips.audio, "video": clips.video, "image": clips.video}
            held |= {name: embedder.window.stream(one, starts) for name, one in further.items() if one}
        except Unreadable:
            skipped["unreadable"] += 1
            return
        for modality, (inside, rows) in part.rows.items():
            windows_held = held[modality]
            if windows_held is not None:
                yield Piece(modality, windows_held[inside], rows)


def _parts(embedder: Embedder, path: Path, recording: Recording, wanted: Sequence[str], hop: float) -> Iterator[Part]:
    limits: dict[str, float | None] = dict.fromkeys(_seen(recording, wanted), _seconds(recording.video, recording))
    if "audio" in wanted:
        limits["audio"] = _seconds(recording.audio, recording)
    for name in wanted:
        if name not in OWN and streams.kind_of(recording, name) is not None:
            limits[name] = streams.seconds_of(recording, name)
    spans = windows(recording.seconds, embedder.window.seconds, min(hop, embedder.window.seconds))
    for index in range(0, len(spans), AT_ONCE):
        part = Part(spans[index : index + AT_ONCE], {})
        said = [_said(recording, start, end) for start, end in part.spans]
        for modality in wanted:
            limit = limits.get(modality)
            if limit is None:
                continue
            # A stream may end before the recording does: a window that begins behind its end holds nothing of it.
            inside = [k for k, (start, _) in enumerate(part.spans) if start == 0 or start < limit]
            if inside:
                rows = [_row(recording, path, *part.spans[k], modality, said[k]) for k in inside]
                part.rows[modality] = inside, rows
        if part.rows:
            yield part


def _said(recording: Recording, start: float, end: float) -> str:
    """What is said in the middle of a window, or nearest to it."""
    return nearest(recording.narration, (start + end) / 2, 1, (end - start) / 2 + SAID_SECONDS)[0]


def _phrases(path: Path, recording: Recording) -> list[dict[str, Any]]:
    phrases = _merged(recording.narration)
    return [_row(recording, path, phrase.start, phrase.end, "text", phrase.text) for phrase in phrases]


def _seen(recording: Recording, wanted: Sequence[str]) -> list[str]:
    seen = [modality for modality in wanted if modality in ("video", "image")]
    # A picture stands for a video of itself where the space has no pictures, as in a query.
    return ([modality for modality in seen if modality == "image"] or seen) if recording.is_picture else seen


def _seconds(stream: Any, recording: Recording) -> float | None:
    return None if stream is None else float(stream.get("seconds", recording.seconds))


def _merged(phrases: Iterable[Phrase]) -> list[Phrase]:
    """Phrases said at the very same time (two-line subtitles) become one, for no two rows may share their span.

    What is said in another language is no second line: it stays by itself, and ends a millisecond later.
    """
    found: dict[tuple[float, float], Phrase] = {}
    for phrase in phrases:
        span = (phrase.start, phrase.end)
        while span in found and found[span].language != phrase.language:
            span = (phrase.start, round(span[1] + 0.001, 3))
        known = found.get(span)
        text = f"{known.text} {phrase.text}" if known else phrase.text
        found[span] = Phrase(*span, text, language=phrase.language)
    return list(found.values())


def _row(recording: Recording, path: Path, start: float, end: float, modality: str, said: str) -> dict[str, Any]:
    file = recording.streams.get(modality, {}).get(
        "sha256"
    )  # a stream's own file may change where the recording's stays
    beside = {} if file is None else {"stream": file[:12]}
    return {
        "recording": recording.key,
        "path": str(path),
        "content": recording.sha256,
        "start": start,
        "end": end,
        "modality": modality,
        "narration": said,
        "extra": {**recording.labels, "split": recording.split, **beside},
    }
