"""From the plan of a clip to its pixels and samples."""

import numpy as np
from numpy.typing import NDArray

from avssl.data.world.looks import sprite
from avssl.data.world.scene import LEVELS, Scene, Thing, sprite_pixels
from avssl.data.world.sounds import HZ, voice

SOUND_LEVEL = 0.12  # RMS of a thing's loud parts at 0 dB; leaves room for the peaks of clicks


def background(scene: Scene) -> NDArray[np.uint8]:
    """Smooth random texture that slides as a whole: uint8 [T, H, W, 3]."""
    rng, ground, side = scene.rng("background"), scene.ground, scene.side
    travel = np.array(ground["travel"]) * side
    wide = side + int(np.ceil(np.abs(travel).max())) + 1
    texture = np.zeros((wide, wide, 3), np.float32)
    for octave in range(ground["octaves"]):
        cells = 4 * 2**octave
        knots = rng.uniform(-1, 1, (cells + 1, cells + 1, 3)).astype(np.float32)
        weights = np.maximum(0, 1 - abs(np.linspace(0, cells, wide)[:, None] - np.arange(cells + 1))).astype(np.float32)
        texture += np.einsum("ai,ijc,bj->abc", weights, knots, weights, optimize=True) * 0.75**octave
    texture *= ground["contrast"] / max(float(texture.std()) * 2, 1e-6)
    canvas = np.clip(texture + np.array(ground["color"], np.float32), 0, 255).astype(np.uint8)
    steps = np.rint(np.linspace(0, 1, len(scene.frame_times))[:, None] * np.abs(travel)).astype(int)
    steps = np.where(travel < 0, np.ceil(np.abs(travel)).astype(int) - steps, steps)
    return np.stack([canvas[y : y + side, x : x + side] for x, y in steps])


def draw(thing: Thing, frames: NDArray[np.uint8]) -> None:
    """Put a thing onto frames [T, H, W, 3], in place."""
    side = frames.shape[1]
    picture = sprite(thing.kind, thing.instance, sprite_pixels(thing.instance["size"], side))
    pixels = len(picture)
    picture = np.pad(picture, ((1, 1), (1, 1), (0, 0)))  # a clear rim, for what falls outside
    color = picture[..., :3].reshape(-1, 3).astype(np.uint16)
    clear = (255 - picture[..., 3]).reshape(-1, 1).astype(np.uint16)
    reach = np.abs(thing.poses.matrices).sum(2) * side
    low = np.maximum(np.floor(thing.poses.centers * side - reach).astype(int), 0)
    high = np.minimum(np.ceil(thing.poses.centers * side + reach).astype(int) + 1, side)
    inverse = np.linalg.inv(thing.poses.matrices * side) * (pixels / 2)
    for k, frame in enumerate(frames):
        (x0, y0), (x1, y1) = low[k], high[k]
        x = np.arange(x0, x1, dtype=np.float32) + np.float32(0.5 - thing.poses.centers[k, 0] * side)
        y = np.arange(y0, y1, dtype=np.float32) + np.float32(0.5 - thing.poses.centers[k, 1] * side)
        (a, b), (c, d) = inverse[k].astype(np.float32)
        middle = np.float32(pixels / 2 + 1)
        column = np.clip((a * x)[None] + (b * y)[:, None] + middle, 0, pixels + 1).astype(np.int32)
        row = np.clip((c * x)[None] + (d * y)[:, None] + middle, 0, pixels + 1).astype(np.int32)
        at = row * (pixels + 2) + column
        below = frame[y0:y1, x0:x1]
        below[...] = (below * clear[at] + 127) // 255 + color[at]


def frames_of(scene: Scene) -> NDArray[np.uint8]:
    """All pictures of a clip: uint8 [T, H, W, 3]."""
    frames = background(scene)
    for thing in scene.things:
        draw(thing, frames)
    return frames


def sound_of(scene: Scene) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """The mixture [S] at 16 kHz as it is in the clip, and each thing's own part of it (zeros for a silent one)."""
    length = round(scene.seconds * HZ)
    parts = []
    for k, thing in enumerate(scene.things):
        part = np.zeros(length, np.float32)
        if thing.sounding:
            pitch, timbre = thing.instance["pitch"], thing.instance["timbre"]
            part = voice(thing.kind, pitch, timbre, list(thing.onsets), scene.seconds, scene.rng(f"voice {k}"))
        parts.append(part)
    mixture: NDArray[np.float32] = np.stack(parts).sum(0)
    if scene.offscreen:
        kind, onsets, sound = scene.offscreen
        mixture = voice(kind, sound["pitch"], sound["timbre"], list(onsets), scene.seconds, scene.rng("voice off"))
    snr_db = LEVELS[scene.level].snr_db
    noise = np.zeros(length, np.float32)
    if snr_db is not None and scene.case != "silent":
        heard = np.sqrt(np.mean(mixture[np.abs(mixture) > 0] ** 2))
        noise = scene.rng("noise").standard_normal(length).astype(np.float32) * heard * np.float32(10 ** (-snr_db / 20))
    gain = SOUND_LEVEL * 10 ** (scene.loudness_db / 20)
    peak = float(np.abs(mixture + noise).max())
    scale = np.float32(min(gain, 0.95 / peak) if peak else gain)
    return (mixture + noise) * scale, [part * scale for part in parts]
