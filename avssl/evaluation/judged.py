"""A clip of known truth with the maps a network made of it, and its negatives: what nothing in the picture makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avssl.localize import score

Floats = NDArray[np.float64]
SIZE = score.SCORING_SIZE
SINGLE = ("one", "bystander")
"""cases in which exactly one visible thing sounds"""


@dataclass(frozen=True)
class Boxes:
    """One visible thing of a clip over the window: boxes [K, 4] of fractions, and whether it is heard."""

    sounding: bool
    boxes: Floats

    @property
    def mask(self) -> Floats:
        """Where it ever is [H, W], 0 or 1."""
        return score.boxes_to_mask(self.boxes, SIZE)


@dataclass(frozen=True)
class Judged:
    """A clip with the maps that a network made of it.

    Attributes:
        case: one, bystander, two, silent or offscreen.
        things: what is visible.
        own: maps [T, h, w] of its own sound.
        swapped: maps of another clip's sound, of another kind, on this clip's picture.
        solo: for clips with two sounds: index of a thing -> maps of that thing's sound alone.
        noise: maps of white noise on this clip's picture.
        silence: maps of digital silence on this clip's picture, where no clip is silent by itself.
        foreign: maps of another clip's sound, of a kind that is not to be seen here, where no clip's sound is off
            screen by itself.
    """

    case: str
    things: tuple[Boxes, ...]
    own: Floats
    swapped: Floats | None = None
    solo: Mapping[int, Floats] = field(default_factory=dict)
    noise: Floats | None = None
    silence: Floats | None = None
    foreign: Floats | None = None

    @property
    def sounds(self) -> bool:
        """Whether a visible thing sounds."""
        return any(thing.sounding for thing in self.things)

    @property
    def truth(self) -> Floats:
        """Where the sounding things ever are [H, W]."""
        return self._union(True)

    @property
    def silent(self) -> Floats:
        """Where the silent things ever are [H, W]."""
        return self._union(False)

    def boxes_at(self, share: float) -> Floats:
        """The boxes [K, 4] of the sounding things at a moment, a share of the window from 0 to below 1."""
        return np.stack([one.boxes[int(share * len(one.boxes))] for one in self.things if one.sounding])

    def _union(self, sounding: bool) -> Floats:
        masks = [thing.mask for thing in self.things if thing.sounding == sounding]
        return np.maximum.reduce(masks) if masks else np.zeros(SIZE)


def place(maps: Floats) -> Floats:
    """A clip's one map [H, W]: the mean over time, enlarged."""
    return score.upsample(maps.mean(0), SIZE)


def peaks(clips: Sequence[Judged]) -> list[float]:
    """The highest score of each clip in which a visible thing sounds."""
    return [float(clip.own.max()) for clip in clips if clip.sounds]


def negatives(clips: Sequence[Judged]) -> dict[str, list[Floats]]:
    """Kind of negative (silence, noise, offscreen) -> maps [T, h, w]; kinds of which there are none are left out."""
    found = {
        "silence": [clip.own for clip in clips if clip.case == "silent"] + _given(clip.silence for clip in clips),
        "noise": _given(clip.noise for clip in clips),
        "offscreen": [clip.own for clip in clips if clip.case == "offscreen"] + _given(clip.foreign for clip in clips),
    }
    return {kind: held for kind, held in found.items() if held}


def _given(maps: Iterable[Floats | None]) -> list[Floats]:
    return [one for one in maps if one is not None]
