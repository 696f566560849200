"""A network that turns windows and words into vectors, and what is searched for into query vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avssl import ops
from avssl.data.media import probe
from avssl.data.streams import Track
from avssl.embedding.window import AT_ONCE, Window, windows
from avssl.inputs import Inputs
from avssl.methods.base import Method

Vectors = NDArray[np.float32]

QUERY_WINDOWS = 64
"""most windows of a file that is searched with"""
SPEEDS = (0.85, 1.0, 1.15)
"""at which augmented sounds are heard; see spoken digits in RESULTS.md"""


class Embedder:
    """A network, ready to turn media into vectors of one of its spaces.

    Args:
        method: the network; put into eval mode.
        inputs: its inputs.
        window_seconds: None is the run's own window. ``width`` is that of vectors at this window.
        space: name of one of the method's spaces; "" takes the first.
        augment: hear a sound at `SPEEDS` and take the mean of the vectors (test-time augmentation), for voices
            unlike those that were learnt from.

    Raises:
        ValueError: the method embeds nothing, has no such space, or no sound in it to augment.
    """

    def __init__(
        self, method: Method[Any], inputs: Inputs, window_seconds: float | None = None, space: str = "",
        augment: bool = False,
    ):  # fmt: skip
        if not method.spaces:
            raise ValueError(f"{method.cfg.name} has no space to search in: it embeds nothing")
        name = space or next(iter(method.spaces))
        if name not in method.spaces:
            raise ValueError(f"{method.cfg.name} has no space {name}; it has {', '.join(method.spaces)}")
        if augment and "audio" not in map(method.kind_of, method.spaces[name].modalities):
            raise ValueError(f"only sounds are augmented, and {method.cfg.name} embeds none")
        self.method = method.eval()
        self.inputs = inputs
        self.window = Window(inputs, window_seconds)
        self.space_name, self.space = name, method.spaces[name]
        self.speeds = SPEEDS if augment else (1.0,)
        first = next(method.parameters(), None)
        self.device = torch.device("cpu") if first is None else first.device
        self.width = self.space.width if self.window.seconds == inputs.cfg.seconds else self._width()

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it embeds."""
        return self.space.modalities

    @torch.inference_mode()
    def __call__(self, modality: str, x: Tensor) -> Vectors:
        """Unit vectors [N, D] of windows: video or image uint8 [N, T, 3, H, W], audio [N, S], text tokens [N, L]; a
        stream of another name as its kind."""
        kind = self.method.kind_of(modality)
        if kind == "image":
            x = x[:, x.shape[1] // 2]
        vectors = (self._heard if kind == "audio" else self._made)(modality, x).numpy()
        if modality in self.space.timeless:
            more = max(0, self.width - vectors.shape[1])
            vectors = np.pad(vectors, ((0, 0), (0, more)))[:, : self.width]
        return np.ascontiguousarray(vectors)

    def _heard(self, modality: str, waves: Tensor) -> Tensor:
        """Of sounds [N, S]: the direction of the mean of those at all speeds, but those that became silent."""
        if self.speeds == (1.0,):
            return self._made(modality, self.inputs.audio(waves))
        told = torch.zeros(())
        for speed in self.speeds:
            wave = waves if speed == 1.0 else ops.at_speed(waves, speed)
            heard = (wave.abs().amax(-1) >= ops.INAUDIBLE) | (speed == 1.0)
            told = told + heard[:, None].cpu() * self._made(modality, self.inputs.audio(wave))
        return ops.unit(told)

    def _made(self, modality: str, x: Tensor) -> Tensor:
        return self.method.embed(modality, x.to(self.device), self.space_name).float().cpu()

    def _width(self) -> int:
        """Of vectors at this window, by trying one."""
        cfg, timed = self.inputs.cfg, [name for name in self.modalities if name not in self.space.timeless]
        if not self.space.timeless or not timed:
            return self.space.width
        if timed[0] == "audio":
            return int(self("audio", torch.zeros(1, round(self.window.audio_seconds * cfg.hz))).shape[1])
        blank = torch.zeros(1, self.window.frames, 3, cfg.height, cfg.width, dtype=torch.uint8)
        return int(self(timed[0], blank).shape[1])

    def text(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors [N, D] of texts."""
        return self("text", self.inputs.tokens(texts))


def query(embedder: Embedder, kind: str, given: str | Path) -> Vectors:
    """Unit vectors [N, D] of what is searched for: one for a text or a picture, one for each window of a file.

    Args:
        embedder: of the same space as the index.
        kind: text, audio, image or video.
        given: the words, or the file. A picture stands for a video of itself where the space has no images.

    Raises ValueError for a kind that the space does not have, an empty text, and a file without what is asked of it.
    """
    if kind == "text":
        _refuse(embedder, kind, "text" in embedder.modalities)
        if not str(given).strip():
            raise ValueError("the text to search for is empty")
        embedder.inputs.check_read(str(given))
        return embedder.text([str(given)])
    modality = modality_of(embedder, kind)
    return np.concatenate([embedder(modality, held) for held in read_query(embedder.window, kind, Path(given))])


def query_stream(embedder: Embedder, one: Track) -> Vectors:
    """Unit vectors [N, D] of the windows of a further stream, at most `QUERY_WINDOWS`.

    Raises ValueError for a stream that the space does not have, a sound in place of a picture or the other way round,
    and silence; Unreadable.
    """
    _refuse(embedder, one.name, one.name in embedder.modalities)
    learnt = "sound" if embedder.method.kind_of(one.name) == "audio" else "picture"
    if one.kind != learnt:
        raise ValueError(f"{one.path}: a {one.kind}, and this run learnt {one.name} as a {learnt}")
    found, loudest = [], 0.0
    for starts in _starts(embedder.window, 0.0 if one.still else one.seconds):
        held = embedder.window.stream(one, starts)
        loudest = max(loudest, float(held.abs().max()) if one.kind == "sound" else 1.0)
        found.append(embedder(one.name, held))
    if loudest < ops.INAUDIBLE:
        raise _silent(one.path)
    return np.concatenate(found)


def modality_of(embedder: Embedder, kind: str) -> str:
    """As what a file of this kind is embedded: a picture is a video of itself in a space without images.

    Raises ValueError for a kind that the space does not have.
    """
    modality = "video" if kind == "image" and "image" not in embedder.modalities else kind
    _refuse(embedder, kind, modality in embedder.modalities)
    return modality


def read_query(window: Window, kind: str, path: Path, most_seconds: float | None = None) -> Iterator[Tensor]:
    """The windows of a file that is searched with, at most `AT_ONCE` at a time: as `Embedder` takes them.

    Raises ValueError for a file without what is asked of it, or that says it is longer than ``most_seconds``.
    """
    header = probe(path)
    if kind == "audio" and not header.sounds:
        raise ValueError(f"{path}: has no sound to search with")
    if kind != "audio" and not header.pictures:
        raise ValueError(f"{path}: has no picture to search with")
    still = kind == "image" or header.duration is None
    seconds = 0.0 if still else (header.duration or 0.0)
    if most_seconds is not None and seconds > most_seconds:
        raise ValueError(f"{path}: is {seconds:.0f} s long; at most {most_seconds:g} s are searched with")
    loudest = 0.0
    for starts in _starts(window, seconds):
        clips = window.read(path, starts, video=kind != "audio", audio=kind == "audio", still=still)
        held = clips.audio if kind == "audio" else clips.video
        assert held is not None
        loudest = max(loudest, float(held.abs().max()) if kind == "audio" else 1.0)
        yield held
    if loudest < ops.INAUDIBLE:
        raise _silent(path)


def _starts(window: Window, seconds: float) -> Iterator[list[float]]:
    """Where the windows of a file begin that is searched with, `AT_ONCE` at a time."""
    spans = windows(seconds, window.seconds, window.seconds / 2)
    if len(spans) > QUERY_WINDOWS:
        spans = [spans[k] for k in np.linspace(0, len(spans) - 1, QUERY_WINDOWS).round().astype(int)]
    for index in range(0, len(spans), AT_ONCE):
        yield [start for start, _ in spans[index : index + AT_ONCE]]


def _silent(path: Path) -> ValueError:
    return ValueError(f"{path}: its sound is silence, so there is nothing to search with")


def _refuse(embedder: Embedder, kind: str, known: bool) -> None:
    if not known:
        raise ValueError(
            f"{embedder.method.cfg.name} cannot search with {kind}; its space holds {', '.join(embedder.modalities)}"
        )
