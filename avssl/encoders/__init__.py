"""Encoders: one modality in, :class:`Features` out. Entered by ``forward`` only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn


class Features(NamedTuple):
    """What an encoder gives.

    Attributes:
        vector: [B, D], one per input.
        maps: finest first; the last is [B, D, h, w] for an image, [B, D, T, h, w] for a video, [B, D, t] for a sound,
            [B, D, L] for a text.
    """

    vector: Tensor
    maps: tuple[Tensor, ...] = ()

    def pooled(self, how: str) -> Tensor:
        """One vector per input, [B, D]: "max" of the last map over its places and moments, if it has one; "mean" the
        encoder's own."""
        return self.maps[-1].flatten(2).amax(2) if how == "max" and self.maps else self.vector

    def course(self, how: str) -> Tensor:
        """Features over time, [B, D, t]: the last map of a video or a sound, "max" or "mean" over its places."""
        places = self.maps[-1].flatten(3) if self.maps[-1].ndim > 3 else self.maps[-1][..., None]
        return places.amax(3) if how == "max" else places.mean(3)


class Spec(Protocol):
    """The plain values an encoder is built from (a config section has them)."""

    name: str
    width: int
    norm: str
    stride: int
    time_stride: int
    layers: int
    path: str
    tune: int
    lora: int


def build(specs: Any, modalities: Iterable[str] | Mapping[str, tuple[str, Spec]], *, mels: int = 64,
          tokens: int = 24, vocabulary: int = 0, hz: int = 16000,
          kept: Path | None = None) -> nn.ModuleDict:  # fmt: skip
    """One encoder for each modality, from ``specs.<modality>``. Raises ValueError naming the known encoders.

    Args:
        specs: has one :class:`Spec` attribute per modality.
        modalities: of image, video, audio, text; or name -> (one of them, what it is built from), for others.
        mels: mel bands of the sound.
        tokens: longest text.
        vocabulary: number of token ids; 0 when the run has no text.
        hz: samples per second of the sound; pretrained towers resample from it.
        kept: a folder of what a run keeps of its pretrained towers; they are built from it, their weights are random.
    """
    from avssl.encoders import audio, image, pretrained, text, video

    shapes = {"image": {}, "video": {}, "audio": {"mels": mels}, "text": {"tokens": tokens, "vocabulary": vocabulary}}
    makers: Mapping[str, Mapping[str, Callable[..., nn.Module]]] = {
        "image": image.ENCODERS, "video": video.ENCODERS, "audio": audio.ENCODERS, "text": text.ENCODERS,
    }  # fmt: skip
    encoders = nn.ModuleDict()
    if not isinstance(modalities, Mapping):
        modalities = {modality: (modality, getattr(specs, modality)) for modality in modalities}
    for name, (kind, spec) in modalities.items():
        if spec.name == "pretrained":
            encoders[name] = pretrained.load(kind, spec, hz, kept / name if kept else None)
        elif spec.name in makers[kind]:
            encoders[name] = makers[kind][spec.name](spec, **shapes[kind])
        else:
            known = ", ".join([*makers[kind], "pretrained"])
            raise ValueError(f"encoders.{name}.name: no encoder {spec.name}; known: {known}")
        encoders[name].width = spec.width  # type: ignore[assignment]
    return encoders


def width(encoder: nn.Module) -> int:
    """D of an encoder made by :func:`build`."""
    found = encoder.width
    assert isinstance(found, int)
    return found
