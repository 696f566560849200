"""The contract between data and methods: what a method asks for and what it is given.

Letters for shapes, used everywhere in avssl:

    B batch        N clips of one recording   T frames         H, W picture height and width
    h, w map       D embedding width          S audio samples  M spectrogram frames   F mel bands
    K candidates   L text tokens              P parts (tiles, patches)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor


class Missing(ValueError):
    """A part of a sample was read that its ``Needs`` did not ask for; the message names the field to set."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a method must be given of every item. Nothing else is decoded.

    ``height`` and ``width`` are pixels, ``hz`` samples per second; the inputs section of a config sets all three.
    """

    clips: int = 1
    """windows drawn from one item"""
    frames: int = 0
    """pictures per window; 0 leaves the picture undecoded, 1 makes the window an image"""
    fps: float = 10.0
    """pictures per second inside a window; windows start on this grid"""
    audio_seconds: float = 0.0
    """sound per window, centred on the window; 0 leaves the sound undecoded"""
    narrations: int = 0
    """phrases nearest in time to the window's middle; fewer are padded with empty text"""
    narrations_each: bool = False
    """give so many phrases for every window, not for the first alone"""
    narration_times: bool = False
    """give the times of the phrases too"""
    may_lack: tuple[str, ...] = ()
    """video, audio: take recordings too that have the other one alone (and narration, if that is asked for: one
    modality by itself matches nothing); what is lacking is black, or silence"""
    streams: tuple[str, ...] = ()
    """what is decoded where it is not simply the recording's picture and sound, by name: video, audio, left, right, or
    a stream that the manifest names; ``frames`` of each that is a picture, ``audio_seconds`` of each that is a sound"""
    words_inside: bool = False
    """cut phrases whose words are timed to the words said inside the window"""
    label: str = ""
    """name of a label in the manifest; its values are numbered in alphabetical order over all splits"""
    window: Literal["random", "narration", "inside", "all"] = "random"
    """random: anywhere; narration: around a random phrase; inside: its middle anywhere inside a random phrase;
    all: from the item's beginning (deterministic)"""
    clip_gap_seconds: float = 0.0
    """least distance between the beginnings of the clips of one item"""
    height: int = 96
    width: int = 96
    hz: int = 16000

    @property
    def window_seconds(self) -> float:
        """Length of a window in seconds: of its pictures, or of its sound where there are no pictures."""
        return self.frames / self.fps if self.frames else self.audio_seconds


@dataclass(frozen=True)
class Sample:
    """One item as its method asked for it. Reading a part that was not asked for raises :class:`Missing`."""

    key: str
    index: int
    starts: tuple[float, ...]
    """beginning of each window, seconds of presentation time in the recording"""
    parts: dict[str, object] = field(repr=False)
    lacks: tuple[str, ...] = ()
    """of ``Needs.may_lack``, what the recording does not have"""

    @property
    def start(self) -> float:
        """Beginning of the first window, in seconds of presentation time."""
        return self.starts[0]

    @property
    def video(self) -> Tensor:
        """uint8 [N, T, 3, H, W]."""
        return self._part("video", "frames")  # type: ignore[return-value]

    @property
    def audio(self) -> Tensor:
        """float32 [N, S] in -1..1."""
        return self._part("audio", "audio_seconds")  # type: ignore[return-value]

    def stream(self, name: str) -> Tensor:
        """Of ``Needs.streams``: pictures uint8 [N, T, 3, H, W], deep ones (depth) float32 0..1 [N, T, 1, H, W], a sound
        float32 [N, S] in -1..1."""
        return self._part(name, "streams")  # type: ignore[return-value]

    @property
    def text(self) -> tuple[str, ...]:
        """Narration phrases of the first window (or of each, one window's after the other's), nearest in time first;
        padded with empty strings."""
        return self._part("text", "narrations")  # type: ignore[return-value]

    @property
    def times(self) -> Tensor:
        """float32 [K, 2]: beginning and end of each phrase of ``text``, in seconds from the beginning of its window;
        nan for a phrase that is padding."""
        return self._part("times", "narration_times")  # type: ignore[return-value]

    @property
    def label(self) -> int:
        """Number of the item's label among the manifest's values of it, in alphabetical order."""
        return self._part("label", "label")  # type: ignore[return-value]

    def has(self, name: str) -> bool:
        """Whether this part was asked for."""
        return name in self.parts

    def _part(self, name: str, need: str) -> object:
        if name not in self.parts:
            raise Missing(f"this sample holds no {name}: set Needs.{need}")
        return self.parts[name]
