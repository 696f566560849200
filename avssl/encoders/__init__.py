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


def build(specs: Any, modalities: Iterable[str], *, mels: int = 64, tokens: int = 24, vocabulary: int = 0,
          hz: int = 16000, kept: Path | None = None) -> nn.ModuleDict:  # fmt: skip
    """One encoder for each modality, from ``specs.<modality>``. Raises ValueError naming the known encoders.

    Args:
        specs: has one :class:`Spec` attribute per modality.
        modalities: of image, video, audio, text.
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
    for modality in modalities:
        spec: Spec = getattr(specs, modality)
        if spec.name == "pretrained":
            encoders[modality] = pretrained.load(modality, spec, hz, kept / modality if kept else None)
        elif spec.name in makers[modality]:
            encoders[modality] = makers[modality][spec.name](spec, **shapes[modality])
        else:
            known = ", ".join([*makers[modality], "pretrained"])
            raise ValueError(f"encoders.{modality}.name: no encoder {spec.name}; known: {known}")
        encoders[modality].width = spec.width  # type: ignore[assignment]
    return encoders


def width(encoder: nn.Module) -> int:
    """D of an encoder made by :func:`build`."""
    found = encoder.width
    assert isinstance(found, int)
    return found
