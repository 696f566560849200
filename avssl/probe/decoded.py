"""Examples decoded once, at a run's size and rates: on disk, so that any number of encoders and epochs read them.

What cannot be read is no example: it is left out, named, and never judged as the black picture it did not become.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from avssl.data.media import Unreadable, probe
from avssl.data.media import decode as read
from avssl.data.narration import FAR_SECONDS, nearest
from avssl.embedding.window import Window
from avssl.inputs import Inputs
from avssl.probe.examples import Example, Examples
from avssl.train.checkpoint import replace_text

MOST_WINDOWS = 8
"""windows of one recording, spread evenly over it"""
BAD_BUDGET = 0.05
"""share of examples that may be unreadable, as of what is learnt from (``data.bad_budget``)"""
NAMED = 3
"""of those, if they are more, in the message"""

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Decoded:
    """Windows of examples.

    Attributes:
        modality: image, video, audio or text.
        x: image uint8 [M, 3, H, W], video uint8 [M, T, 3, H, W], audio float32 [M, S], text int64 [M, L].
        owner: example of each window, int64 [M], ascending; every example has at least one.
        inputs: of the run, which turn sound into what encoders take.
    """

    modality: str
    x: NDArray[np.uint8 | np.float32 | np.int64]
    owner: NDArray[np.int64]
    inputs: Inputs

    def windows(self, places: NDArray[np.int64] | slice) -> Tensor:
        """Windows as they were decoded."""
        return torch.from_numpy(np.array(self.x[places]))

    def batch(self, places: NDArray[np.int64] | slice) -> Tensor:
        """Windows as encoders take them."""
        x = self.windows(places)
        return self.inputs.audio(x) if self.modality == "audio" else x

    def averaged(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Means over the windows of each example: [M, D] -> [N, D]."""
        count = int(self.owner[-1]) + 1
        starts = np.searchsorted(self.owner, np.arange(count))
        sums = np.add.reduceat(values.astype(np.float64), starts, axis=0)
        return (sums / np.bincount(self.owner, minlength=count)[:, None]).astype(np.float32)


def modality_of(data: Examples, encoders: list[str], wanted: str = "") -> str:
    """Which encoder judges this label set: the one wanted, or the first that has what all examples hold.

    Raises ValueError where there is none.
    """
    fits = [name for name in encoders if name in data.kinds]
    if not fits and "video" in encoders and "image" in data.kinds:
        fits = ["video"]  # a still picture is a video of itself
    if wanted and wanted not in fits:
        raise ValueError(
            f"{data.name} holds {_listed(data.kinds)}, the run has encoders for {_listed(encoders)}: "
            f"no {wanted} to judge"
        )
    if not fits:
        raise ValueError(f"{data.name} holds {_listed(data.kinds)}, but the run encodes {_listed(encoders)}")
    return wanted or fits[0]


def _listed(names: list[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing that all examples have"


def decode(
    data: Examples,
    inputs: Inputs,
    modality: str,
    room: Path,
    tell: Tell | None = None,
    bad_budget: float = BAD_BUDGET,
) -> tuple[Examples, Decoded]:
    """Decode a label set into a file below ``room``, which lives as long as the room and is used again there.

    A recording longer than the run's window gives several windows, at most eight, spread over it.

    Returns the label set without what cannot be read, and its windows. Raises ValueError where more than the share
    ``bad_budget`` cannot be read, naming the first few.
    """
    if modality == "text":
        return data, _texts(data, inputs)
    window, cfg = Window(inputs), inputs.cfg
    asked = hashlib.sha256(repr((data.digest, modality, cfg, MOST_WINDOWS)).encode()).hexdigest()[:24]
    kept, partial = room / f"{modality}-{asked}.npy", room / f".{modality}-{asked}.{os.getpid()}.partial"
    listed = kept.with_suffix(".json")
    if not (kept.is_file() and listed.is_file()):
        spans = [_starts(example, window, modality) for example in data.examples]
        count = sum(len(starts) for starts in spans if not isinstance(starts, Unreadable))
        shape: tuple[int, ...] = (count, 3, cfg.height, cfg.width)
        if modality == "video":
            shape = (count, window.frames, *shape[1:])
        if modality == "audio":
            shape = (count, round(window.audio_seconds * cfg.hz))
        x = open_memmap(partial, "w+", np.float32 if modality == "audio" else np.uint8, shape)
        filled, bad = _fill(x, data, window, modality, spans, tell)
        if len(bad) > bad_budget * len(data):
            partial.unlink()
            told = "; ".join(bad[:NAMED]) + ("; ..." if len(bad) > NAMED else "")
            budget = f"more than the budget of {bad_budget:.0%} (--bad-budget)"
            raise ValueError(f"{data.name}: {len(bad)} of {len(data)} examples cannot be read, {budget}: {told}")
        x.flush()
        replace_text(listed, json.dumps({"owner": filled, "left_out": bad}))
        os.replace(partial, kept)
    held = json.loads(listed.read_text(encoding="utf-8"))
    places, owner = np.unique(np.array(held["owner"], np.int64), return_inverse=True)
    read_back = Decoded(modality, open_memmap(kept, "r")[: len(owner)], owner, inputs)
    return data.only(places.tolist(), held["left_out"]), read_back


def _fill(
    x: NDArray[Any],
    data: Examples,
    window: Window,
    modality: str,
    spans: list[list[float] | Unreadable],
    tell: Tell | None,
) -> tuple[list[int], list[str]]:
    """Write the windows of what can be read, one after the other; the example of each, and why others are missing."""
    owner: list[int] = []
    bad: list[str] = []
    for place, (example, starts) in enumerate(zip(data.examples, spans, strict=True)):
        try:
            if isinstance(starts, Unreadable):
                raise starts
            x[len(owner) : len(owner) + len(starts)] = _windows(example, window, modality, starts)
        except Unreadable as error:
            bad.append(str(error))
        else:
            owner += [place] * len(starts)
        if tell is not None:
            tell(place + 1, len(spans))
    return owner, bad


def _starts(example: Example, window: Window, modality: str) -> list[float] | Unreadable:
    if modality == "image" or example.kinds == {"image"}:
        return [0.0]
    try:
        seconds = probe(example.path).duration or 0.0 if example.seconds is None else example.seconds
    except Unreadable as error:
        return error
    length = max(window.seconds, window.audio_seconds)
    count = min(MOST_WINDOWS, max(1, math.ceil(seconds / length - 0.25)))
    last = max(0.0, seconds - window.seconds)
    if count == 1:
        return [last / 2]
    return [float(start) for start in np.linspace(0.0, last, count)]


def _windows(
    example: Example, window: Window, modality: str, starts: list[float]
) -> NDArray[np.uint8 | np.uint16 | np.float32]:
    if modality == "image":
        middle = 0.0 if example.kinds == {"image"} else (example.seconds or probe(example.path).duration or 0.0) / 2
        size = (window.inputs.cfg.height, window.inputs.cfg.width)
        return read(example.path, times=[middle], size=size).video
    clips = window.read(
        example.path, starts, video=modality == "video", audio=modality == "audio", still=example.kinds == {"image"}
    )
    held = clips.audio if modality == "audio" else clips.video
    assert held is not None
    return held.numpy()


def _texts(data: Examples, inputs: Inputs) -> Decoded:
    """What is said nearest to the middle of each recording."""
    said = [nearest(one.phrases, (one.seconds or 0.0) / 2, 1, FAR_SECONDS)[0] for one in data.examples]
    return Decoded("text", inputs.tokens(said).numpy(), np.arange(len(said)), inputs)
