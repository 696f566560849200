"""How well a sound fits a picture at each offset, and where it fits best. Plain numbers: no network, no files.

An offset is in seconds and says how late the sound is: at +0.2 s, what is seen now is heard 0.2 s later.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEAST_STEPS = 4
"""of the picture that must meet a sound before an offset is scored"""
FLAT = 1e-6
"""share of a course's own size below which its change over time is rounding"""


class Course(NamedTuple):
    """Features over time, one every ``step`` seconds from 0 on; those that are not ``valid`` say nothing."""

    values: Floats
    """[T, E]"""
    step: float
    valid: Bools
    """[T]"""


class Sums(NamedTuple):
    """What the correlation at each of K offsets is made of; sums over stretches of a recording are added up."""

    products: Floats
    """[K]"""
    seen: Floats
    """[K], energy of the picture's changes"""
    heard: Floats
    """[K], energy of the sound's changes"""

    def __add__(self, other: object) -> Sums:
        assert isinstance(other, Sums)
        return Sums(*(a + b for a, b in zip(self, other, strict=True)))

    def curve(self) -> Floats:
        """The correlation at each offset, [K], -1..1; 0 where there was nothing to compare."""
        size = np.sqrt(self.seen * self.heard)
        return np.divide(self.products, size, out=np.zeros_like(size), where=size > 0)


def slide(picture: Course, sound: Course, offsets: Floats) -> Sums:
    """The sound, moved by each of ``offsets`` [K] seconds, against the picture, over the time in which both are there.

    Each step of the picture meets the mean of the sound over that step, as in training. What does not change over
    the time compared counts for nothing: the means are removed.
    """
    # integrals of the sound from its beginning, so that a mean over any span is a difference of two of them
    whole = np.concatenate([np.zeros((1, sound.values.shape[1])), np.cumsum(sound.values, 0)])
    missing = np.concatenate([[0.0], np.cumsum(~sound.valid)]).astype(np.float64)
    edges = (np.arange(len(whole)) * sound.step).astype(np.float64)
    begins = (np.arange(len(picture.values)) * picture.step).astype(np.float64)
    sums = np.zeros((3, len(offsets)))
    for place, offset in enumerate(offsets):
        low: Floats = begins + offset
        high: Floats = low + picture.step
        inside = picture.valid & (low > -1e-6) & (high < edges[-1] + 1e-6)
        inside[inside] = at(missing, edges, high[inside]) - at(missing, edges, low[inside]) < 1e-6
        if inside.sum() < LEAST_STEPS:
            continue
        heard = (at(whole, edges, high[inside]) - at(whole, edges, low[inside])) * (sound.step / picture.step)
        seen = picture.values[inside]
        sizes = np.square(seen).sum(), np.square(heard).sum()
        seen, heard = seen - seen.mean(0), heard - heard.mean(0)
        energies = np.square(seen).sum(), np.square(heard).sum()
        if all(energy > FLAT**2 * size for energy, size in zip(energies, sizes, strict=True)):
            sums[:, place] = (seen * heard).sum(), *energies
    return Sums(*sums)


def at(integral: Floats, edges: Floats, seconds: Floats) -> Floats:
    """An integral [t + 1] or [t + 1, E], known at ``edges`` [t + 1], at other times [N]: linear between edges."""
    place = np.interp(seconds, edges, np.arange(len(edges)))
    below = np.minimum(place.astype(int), len(edges) - 2)
    share = (place - below).reshape(-1, *[1] * (integral.ndim - 1))
    found: Floats = integral[below] * (1 - share) + integral[below + 1] * share
    return found


def peak(offsets: Floats, curve: Floats) -> tuple[float, float]:
    """Where a curve [K] over evenly spaced offsets is highest, between them by a parabola, and how far it stands out.

    How far: its height above the median of the curve, so a sound that fits everywhere alike stands out nowhere.
    """
    top = int(np.argmax(curve))
    moved = 0.0
    if 0 < top < len(curve) - 1:
        before, here, after = curve[top - 1 : top + 2]
        bend = before - 2 * here + after
        moved = 0.5 * (before - after) / bend if bend < 0 else 0.0
    spacing = offsets[1] - offsets[0] if len(offsets) > 1 else 0.0
    return float(offsets[top] + moved * spacing), float(curve[top] - np.median(curve))
