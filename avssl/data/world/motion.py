"""How a thing moves with its rhythm, and where that puts it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avssl.data.world.sounds import STRUCK

Curve = NDArray[np.float64]  # [T]

# What a kind does at its onsets. The narration has a verb for each.
MANNERS = {
    "bell": "swing",
    "drum": "squash",
    "guitar": "swing",
    "siren": "pulse",
    "bird": "jump",
    "engine": "shake",
    "rain": "squash",
    "clock": "pulse",
    "whistle": "swing",
    "dog": "jump",
    "horn": "pulse",
    "bee": "shake",
}


@dataclass(frozen=True)
class Poses:
    """Where a thing is in each frame: centers [T, 2] in fractions of the side, and matrices [T, 2, 2] that take
    sprite coordinates in [-1, 1] to offsets from the center, in fractions of the side."""

    centers: NDArray[np.float64]
    matrices: NDArray[np.float64]


def drive(struck: bool, onsets: Sequence[tuple[float, float, float]], times: Curve) -> tuple[Curve, Curve, Curve]:
    """How strongly the rhythm acts at each time (0..1), seconds since its last onset, and a sign that alternates."""
    force, since, sign = np.zeros(len(times)), np.zeros(len(times)), np.ones(len(times))
    for k, (start, end, strength) in enumerate(onsets):
        passed = times - start
        begun = passed >= 0
        since[begun] = passed[begun]
        sign[begun] = 1 - 2 * (k % 2)
        if struck:
            force[begun] = strength * np.exp(-passed[begun] / 0.16)
        else:
            ramp = np.minimum(passed, end - times) / 0.06
            force[begun] = strength * np.clip(ramp[begun], 0, 1)
    return force, since, sign


def follow(
    kind: str,
    onsets: Sequence[tuple[float, float, float]],
    instance: Mapping[str, Any],
    place: NDArray[np.float64],
    times: Curve,
    rng: np.random.Generator,
) -> Poses:
    """The poses of a thing over the frames: a slow drift, and on top of it the manner of its kind at its onsets."""
    struck = kind in STRUCK
    force, since, sign = drive(struck, onsets, times)
    turns = np.cos(2 * np.pi * (3.0 if struck else rng.uniform(2.2, 3.4)) * since) * sign
    still = np.zeros(len(times))
    dx, dy, angle, sx, sy = still, still.copy(), still.copy(), still + 1, still + 1
    manner = MANNERS[kind]
    if manner == "swing":
        angle = 0.6 * force * turns
    elif manner == "shake":
        dx, angle = 0.16 * force * turns, 0.15 * force * turns
    elif manner == "jump":
        dy = -0.3 * force
    elif manner == "pulse":
        sx = sy = 1 + 0.28 * force * (1 if struck else 0.5 + 0.5 * turns)
    else:
        press = force * (1 if struck else turns)
        sx, sy = 1 + 0.22 * press, 1 - 0.25 * press

    size = instance["size"]
    slow = rng.uniform(0.08, 0.2, 2)
    wander = 0.03 * np.sin(2 * np.pi * (slow * times[:, None] + rng.random(2)))
    centers = place + wander + size * np.stack([dx, dy], 1)
    angle = angle + instance["tilt"]
    sx = np.where(instance["mirrored"], -sx, sx)
    cosine, sine = np.cos(angle), np.sin(angle)
    matrices = np.stack([np.stack([cosine * sx, -sine * sy], 1), np.stack([sine * sx, cosine * sy], 1)], 1)
    matrices = matrices * (size / 2)  # [T, 2, 2]
    reach = np.abs(matrices).sum(2)  # [T, 2], half the extent
    return Poses(np.clip(centers, np.minimum(reach, 0.5) * 0.9, 1 - np.minimum(reach, 0.5) * 0.9), matrices)


def boxes_of(outline: NDArray[np.bool_], poses: Poses, side: int) -> NDArray[np.float64]:
    """Boxes [T, 4] around the inside of a sprite [P, P], to the next half pixel, clipped to the picture."""
    pixels = len(outline)
    rows = np.flatnonzero(outline.any(1))
    first, last = outline[rows].argmax(1), pixels - 1 - outline[rows, ::-1].argmax(1)
    ends = np.concatenate([np.stack([first, rows], 1), np.stack([last, rows], 1)])
    points = (ends + 0.5) * (2 / pixels) - 1  # [n, 2]; the ends of all rows hold the convex hull
    at = poses.centers[:, None] + np.einsum("tij,nj->tni", poses.matrices, points)  # [T, n, 2]
    edge = 0.5 / side + np.abs(poses.matrices).sum(2) / pixels
    boxes: NDArray[np.float64] = np.clip(np.concatenate([at.min(1) - edge, at.max(1) + edge], 1), 0, 1)
    return boxes
