"""One vector of each recording in each modality: the run's window at its middle, and the phrase said nearest to it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avssl.data import streams
from avssl.data.manifest import Manifest, Recording
from avssl.data.media import Unreadable
from avssl.data.narration import FAR_SECONDS, nearest
from avssl.embedding.network import Embedder, Vectors
from avssl.embedding.recordings import BATCH, OWN
from avssl.embedding.window import Clips, Window
from avssl.inputs import Inputs
from avssl.methods.base import Method


def chosen_label(recordings: Sequence[Recording]) -> str:
    """``kind`` if there is such a label, else the first in the alphabet, else ""."""
    names = {name for recording in recordings for name in recording.labels}
    return "kind" if "kind" in names else min(names - {"case"}, default="")


def middle_of(recording: Recording, window: Window) -> float:
    """Where the window in the recording's middle begins, in seconds, on the grid of the run's pictures."""
    fps = window.inputs.cfg.fps
    return max(0.0, int((recording.seconds - window.seconds) / 2 * fps) / fps)


def read_middle(manifest: Manifest, recording: Recording, window: Window, *, video: bool, audio: bool) -> Clips | None:
    """The window in the middle, with what the recording has of the two; None when it has neither or is unreadable."""
    video, audio = video and recording.video is not None, audio and recording.audio is not None
    if not (video or audio):
        return None
    start = middle_of(recording, window)
    try:
        path = manifest.path_of(recording)
        return window.read(path, [start], video=video, audio=audio, still=recording.is_picture)
    except Unreadable:
        return None


def _read(one: streams.Track, window: Window, start: float) -> list[Tensor]:
    """A stream's window, or nothing where it is unreadable."""
    try:
        return [window.stream(one, [start])]
    except Unreadable:
        return []


def middles(
    method: Method[Any], inputs: Inputs, manifest: Manifest, recordings: Sequence[Recording]
) -> dict[str, dict[int, NDArray[np.float32]]]:
    """Modality -> index of a recording -> unit vector [D], for the modalities of the method's first space.

    Raises ValueError when the method embeds nothing.
    """
    embedder = Embedder(method, inputs)
    wanted = embedder.modalities
    held: dict[str, list[tuple[int, Tensor]]] = {modality: [] for modality in wanted}
    found: dict[str, dict[int, Vectors]] = {modality: {} for modality in wanted}

    def flush(modality: str) -> None:
        if held[modality]:
            indices, tensors = zip(*held[modality], strict=True)
            found[modality].update(zip(indices, embedder(modality, torch.cat(tensors)), strict=True))
            held[modality] = []

    for index, recording in enumerate(recordings):
        seen = [
            modality for modality in wanted if modality == "image" or (modality == "video" and not recording.is_picture)
        ]
        clips = read_middle(manifest, recording, embedder.window, video=bool(seen), audio="audio" in wanted)
        if clips is not None and clips.video is not None:
            for modality in seen:
                held[modality].append((index, clips.video))
        if clips is not None and clips.audio is not None:
            held["audio"].append((index, clips.audio))
        for name in wanted:
            one = None if name in OWN else streams.track(manifest.root, recording, name)
            if one is not None:
                begin = middle_of(recording, embedder.window)
                held[name] += [(index, clip) for clip in _read(one, embedder.window, begin)]
        middle = middle_of(recording, embedder.window) + embedder.window.seconds / 2
        said = nearest(recording.narration, middle, 1, FAR_SECONDS)[0]
        if said and "text" in wanted:
            held["text"].append((index, inputs.tokens([said])))
        for modality in wanted:
            if len(held[modality]) == BATCH:
                flush(modality)
    for modality in wanted:
        flush(modality)
    return {modality: vectors for modality, vectors in found.items() if vectors}
