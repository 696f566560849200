"""Where somebody may be speaking: a recognizer that is given silence or hum makes up sentences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HZ = 16000
HOP = 160
"""samples from one level to the next, 10 ms"""
FRAME = 480
BAND_HZ = (200.0, 4000.0)
QUIETEST_DB = -55.0
"""softer than this against full scale is nobody"""
ABOVE_DB = 9.0
"""so far above the recording's own floor is a voice"""
STEADY_DB = 10.0
"""with a smaller range than this there is no floor to be above: what is above STEADY_LEAST_DB is kept"""
STEADY_LEAST_DB = -40.0
PAUSE_SECONDS = 0.5
SHORTEST_SECONDS = 0.15
AROUND_SECONDS = 0.2
LONGEST_SECONDS = 28.0
"""of a stretch; recognizers hear 30 s at a time"""


def levels(wave: NDArray[np.float32]) -> NDArray[np.float64]:
    """Level in dB of full scale within the band of speech, every 10 ms: float [S] at 16 kHz -> [S / HOP]."""
    count = len(wave) // HOP
    padded = np.pad(wave.astype(np.float64), (FRAME // 2, FRAME))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP][:count] * np.hanning(FRAME)
    bins = np.fft.rfftfreq(FRAME, 1 / HZ)
    inside = (bins >= BAND_HZ[0]) & (bins <= BAND_HZ[1])
    # a full-scale sine has 0 dB: half of its power is in the positive bin, the window's mean square is 3 / 8
    power = (np.abs(np.fft.rfft(frames)[:, inside]) ** 2).sum(1) * 4 / (FRAME**2 * 3 / 8)
    loud: NDArray[np.float64] = 10 * np.log10(power + 1e-12)
    return loud


def stretches(wave: NDArray[np.float32]) -> list[tuple[float, float]]:
    """(start, end) in seconds of what may be speech, none longer than LONGEST_SECONDS; float [S] at 16 kHz.

    By loudness in the band of speech against the recording's own floor: it lets music pass, which the recognizer's
    own measure of "no speech" is for, and keeps silence and steady hum away from it.
    """
    loud = levels(wave)
    if not len(loud):
        return []
    floor, top = np.percentile(loud, (10, 95))
    least = STEADY_LEAST_DB if top - floor < STEADY_DB else max(QUIETEST_DB, floor + ABOVE_DB)
    found: list[list[int]] = []
    for begin, end in _runs(loud > least):
        if found and (begin - found[-1][1]) * HOP / HZ < PAUSE_SECONDS:
            found[-1][1] = end
        else:
            found.append([begin, end])
    seconds = len(wave) / HZ
    kept = [
        (max(0.0, begin * HOP / HZ - AROUND_SECONDS), min(seconds, end * HOP / HZ + AROUND_SECONDS))
        for begin, end in found
        if (end - begin) * HOP / HZ >= SHORTEST_SECONDS
    ]
    return [part for whole in kept for part in _cut(whole, loud)]


def together(found: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Neighbors joined as long as they fit what is heard at once: few long looks are quicker than many short ones."""
    joined: list[tuple[float, float]] = []
    for start, end in found:
        if joined and end - joined[-1][0] <= LONGEST_SECONDS:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _runs(on: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(int)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]


def _cut(whole: tuple[float, float], loud: NDArray[np.float64]) -> list[tuple[float, float]]:
    """A stretch that is too long, cut where its last third is softest."""
    start, end = whole
    parts = []
    while end - start > LONGEST_SECONDS:
        low, high = (round((start + share * LONGEST_SECONDS) * HZ / HOP) for share in (2 / 3, 1))
        middle = (low + int(loud[low:high].argmin())) * HOP / HZ
        parts.append((start, middle))
        start = middle
    return [*parts, (start, end)]
