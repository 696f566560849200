"""What further sensors would have recorded of a clip: two ears, a depth camera, and a camera that sees heat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from avssl.data.world.motion import Poses
from avssl.data.world.render import draw
from avssl.data.world.scene import Scene, Thing

SENSORS = ("stereo", "depth", "infrared")
FAR_MM = 8000
"""nothing is further away; the wall behind is nearly so far"""
EAR_NOISE = 1e-3  # RMS of each microphone's own noise
LENS_SHIFT, LENS_ZOOM = (0.05, -0.03), 0.92  # of the second camera against the first, in sides of the picture
WARMTH = {
    "bell": 0.35, "drum": 0.42, "guitar": 0.48, "siren": 0.72, "bird": 0.88, "engine": 1.0, "rain": 0.22, "clock": 0.54,
    "whistle": 0.6, "dog": 0.94, "horn": 0.66, "bee": 0.8,
}  # fmt: skip
"""how bright a kind is to a camera that sees heat, 0..1"""


def panned(scene: Scene, mixture: NDArray[np.float32], parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """What the left and the right ear hear, [2, S]: each thing from where it is seen, all else from the middle.

    Args:
        scene: the clip.
        mixture: all of its sound, [S].
        parts: each thing's own part of it, [S] each.
    """
    moments = np.arange(len(mixture)) / len(mixture) * scene.seconds
    half = np.float32(np.sqrt(0.5))
    ears = np.stack([mixture - np.sum(parts, axis=0)] * 2) * half if parts else np.stack([mixture, mixture]) * half
    for thing, part in zip(scene.things, parts, strict=True):
        across = np.interp(moments, scene.frame_times, thing.poses.centers[:, 0])  # 0 is the left edge
        angle = np.clip(across, 0, 1) * (np.pi / 2)
        ears += np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32) * part
    ears += scene.rng("ears").standard_normal(ears.shape).astype(np.float32) * np.float32(EAR_NOISE)
    return np.asarray(np.clip(ears, -1, 1), np.float32)


def distances(scene: Scene) -> list[int]:
    """How far each thing is, in millimeters; what is drawn over another is nearer."""
    drawn = scene.rng("distances").uniform(800, 5500, len(scene.things))
    return [round(float(far)) for far in np.sort(drawn)[::-1]]


def depths(scene: Scene) -> NDArray[np.uint16]:
    """Distance of every pixel in millimeters, uint16 [T, H, W]: flat things before a wall that leans a little."""
    count, side = len(scene.frame_times), scene.side
    lean = scene.rng("wall").uniform(-400, 400, 2)
    rise = np.linspace(-0.5, 0.5, side)
    wall = FAR_MM - 800 + lean[0] * rise[:, None] + lean[1] * rise
    frames = np.repeat(np.rint(wall).astype(np.uint16)[None], count, 0)
    for thing, far in zip(scene.things, distances(scene), strict=True):
        outline = np.zeros((count, side, side, 3), np.uint8)
        draw(_colored(thing, [[255] * 3] * 3), outline)
        frames[outline[..., 0] > 127] = far
    return frames


def heat(scene: Scene) -> NDArray[np.uint8]:
    """Pictures of a second camera, uint8 [T, H, W, 3], gray: warm things are bright, its lens sits beside the first."""
    rng = scene.rng("heat")
    count, side = len(scene.frame_times), scene.side
    knots = rng.uniform(18, 46, (4, 4))
    weights = np.maximum(0, 1 - abs(np.linspace(0, 3, side)[:, None] - np.arange(4)))
    ground = (weights @ knots @ weights.T).astype(np.uint8)
    frames = np.repeat(np.repeat(ground[None, ..., None], 3, 3), count, 0)
    for thing in scene.things:
        warmth = 70 + 175 * WARMTH[thing.kind] * rng.uniform(0.92, 1.0)
        poses = thing.poses
        centers = (poses.centers - 0.5) * LENS_ZOOM + 0.5 + np.array(LENS_SHIFT)
        shown = _colored(thing, [[round(warmth * share)] * 3 for share in (1.0, 0.82, 0.66)])
        draw(replace(shown, poses=Poses(centers, poses.matrices * LENS_ZOOM)), frames)
    return frames


def _colored(thing: Thing, colors: list[list[int]]) -> Thing:
    return replace(thing, instance={**thing.instance, "colors": colors})
