"""What happens in one clip: things, rhythms and places, as a function of (seed, split, index) and nothing else."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avssl.data.world.looks import sprite
from avssl.data.world.motion import Poses, boxes_of, follow
from avssl.data.world.sounds import HIT_SECONDS, KINDS

Onset = tuple[float, float, float]  # start and end in seconds, strength


@dataclass(frozen=True)
class Level:
    """What one level of difficulty holds. Shares are of the training clips; val and test take turns of ``held_out``."""

    cases: dict[str, float]
    most_bystanders: int
    contrast: float  # of the background's texture, in 8-bit steps
    travel: float  # of the background, as a fraction of the side over the whole clip
    octaves: int  # of the texture: fineness
    snr_db: float | None  # of added noise
    # Held-out clips take turns, so that any ten in a row hold every case and a longer split only appends.
    held_out: tuple[str, ...] = (
        "one", "bystander", "two", "silent", "offscreen", "one", "bystander", "one", "bystander", "one",
    )  # fmt: skip


LEVELS = {
    "easy": Level({"one": 0.5, "bystander": 0.5}, 1, 9, 0.02, 1, None),
    "medium": Level({"one": 0.35, "bystander": 0.4, "two": 0.25}, 2, 26, 0.12, 2, 20.0),
    "hard": Level({"one": 0.2, "bystander": 0.3, "two": 0.26, "silent": 0.12, "offscreen": 0.12}, 2, 40, 0.25, 3, 10.0),
    "crowded": Level(
        {"one": 0.2, "two": 0.4, "three": 0.4}, 1, 26, 0.12, 2, 20.0,
        ("three", "two", "one", "three", "silent", "two", "three", "offscreen", "two", "three"),
    ),
}  # fmt: skip
SPLITS = ("train", "val", "test")
SOUNDING = {"two": 2, "three": 3, "silent": 0, "offscreen": 0}
"""case -> how many things sound, where it is not one"""


@dataclass(frozen=True)
class Thing:
    """One visible thing: what it is, when it moves, whether it is heard, and where it is in each frame."""

    kind: str
    sounding: bool
    onsets: tuple[Onset, ...]  # it moves at these, and sounds at these if it sounds
    instance: dict[str, Any]
    poses: Poses
    boxes: NDArray[np.float64]  # [T, 4]: x0, y0, x1, y1 as fractions of the side


@dataclass(frozen=True)
class Scene:
    """The plan of one clip, before any pixel or sample."""

    id: str
    split: str
    level: str
    case: str
    things: tuple[Thing, ...]
    offscreen: tuple[str, tuple[Onset, ...], dict[str, Any]] | None
    ground: dict[str, Any]  # of the background
    loudness_db: float
    seed: tuple[int, ...]
    side: int
    fps: float
    seconds: float

    def rng(self, purpose: str) -> np.random.Generator:
        """A stream of its own per purpose: drawing more in one place changes nothing in another."""
        return np.random.default_rng([*self.seed, zlib.crc32(purpose.encode())])

    @property
    def frame_times(self) -> NDArray[np.float64]:
        """Seconds at which each frame is shown: [T]."""
        return np.arange(round(self.seconds * self.fps)) / self.fps


def plan(seed: int, split: str, index: int, level: str, side: int, fps: float, seconds: float) -> Scene:
    """Draw the scene of clip `index` of a split."""
    rules = LEVELS[level]
    empty = Scene(
        f"{split}-{index:05d}",
        split,
        level,
        "",
        (),
        None,
        {},
        0.0,
        (seed, SPLITS.index(split), index),
        side,
        fps,
        seconds,
    )
    rng = empty.rng("plan")
    if split == "train":
        case = str(rng.choice(list(rules.cases), p=list(rules.cases.values())))
    else:
        case = rules.held_out[index % len(rules.held_out)]
    bystanders = {"one": 0, "two": 0, "three": 0}.get(case, 1)
    if rules.most_bystanders > 1:
        bystanders += int(case != "one" and rng.random() < 0.4)
    sounding = SOUNDING.get(case, 1)
    kinds = _kinds(empty.seed, rng)

    ground = _ground(rules, rng)
    count = sounding + bystanders
    # As large as still leaves room for all; a picture's number of things is told by its sizes, who sounds is not.
    sizes = rng.uniform(*{1: (0.32, 0.42), 2: (0.30, 0.38), 3: (0.26, 0.31)}[count], count)
    places = _places(sizes, rng)
    drawn = [_thing(kinds[i], i < sounding, sizes[i], places[i], ground["color"], empty, rng) for i in range(count)]
    order = rng.permutation(count)  # who is drawn over whom, and who is told first, says nothing about who sounds
    offscreen = None
    if case == "offscreen":
        offscreen = (kinds[count], rhythm(kinds[count], seconds, rng), _voice(rng))
    return replace(
        empty,
        case=case,
        things=tuple(drawn[i] for i in order),
        offscreen=offscreen,
        ground=ground,
        loudness_db=round(float(rng.uniform(-6, 0)), 2),
    )


def rhythm(kind: str, seconds: float, rng: np.random.Generator) -> tuple[Onset, ...]:
    """Irregular hits (1.5 to 4 a second) for a struck kind, irregular phrases for a steady one."""
    spans: list[tuple[float, float]] = []
    if kind in HIT_SECONDS:
        gap = 1 / rng.uniform(1.5, 4)
        start = rng.uniform(0.05, 0.5)
        while start < seconds - 0.05:
            spans.append((start, start + HIT_SECONDS[kind]))
            start += max(0.16, gap * rng.uniform(0.6, 1.4) + (0.4 if rng.random() < 0.12 else 0))
    else:
        start = rng.uniform(0.05, 0.6)
        while start < seconds - 0.2:
            spans.append((start, start + rng.uniform(0.4, 1.2)))
            start = spans[-1][1] + rng.uniform(0.3, 0.9)
    limits = [start for start, _ in spans[1:]] + [seconds]  # a hit that is still heard at the next one ends there
    return tuple(
        (round(start, 3), round(min(end, limit), 3), round(float(rng.uniform(0.7, 1)), 3))
        for (start, end), limit in zip(spans, limits, strict=True)
    )


def _kinds(seed: tuple[int, ...], rng: np.random.Generator) -> list[str]:
    """All kinds, in the order in which this clip uses them; each kind leads once in any aligned run of twelve clips."""
    run, turn = divmod(seed[-1], len(KINDS))
    lead = np.random.default_rng([*seed[:-1], run, 1]).permutation(len(KINDS))[turn]
    rest = [k for k in rng.permutation(len(KINDS)) if k != lead]
    return [KINDS[k] for k in (lead, *rest)]


def _voice(rng: np.random.Generator) -> dict[str, Any]:
    return {"pitch": round(float(rng.random()), 3), "timbre": round(float(rng.random()), 3)}


def _color(rng: np.random.Generator, away: Sequence[Sequence[float]]) -> list[int]:
    """A random color that is told easily from the given ones; all are red, green, blue in 0..255."""
    tries = rng.integers(0, 256, (32, 3))
    weights = np.sqrt((0.299, 0.587, 0.114))  # between two greys the distance is the step in brightness
    distance = np.linalg.norm((tries[:, None] - np.array(away)) * weights, axis=2).min(1)
    far = np.flatnonzero(distance > 70)
    return [int(v) for v in tries[far[0] if len(far) else distance.argmax()]]


def _ground(rules: Level, rng: np.random.Generator) -> dict[str, Any]:
    level = rng.uniform(60, 195)
    tint = rng.uniform(-14, 14, 3)
    return {
        "color": [float(v) for v in level + tint],
        "contrast": rules.contrast * float(rng.uniform(0.6, 1)),
        "octaves": rules.octaves,
        "travel": [float(v) for v in rng.uniform(-1, 1, 2) * rules.travel],
    }


def _places(sizes: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Centers [n, 2] that keep the things inside the picture and, as far as there is room, off each other."""
    margin = sizes[:, None] * 0.6 + 0.02
    best, widest = np.full((len(sizes), 2), 0.5), -np.inf
    for _ in range(60):
        centers = margin + (1 - 2 * margin) * rng.random((len(sizes), 2))
        room = [
            np.abs(centers[i] - centers[j]).max() - 0.62 * (sizes[i] + sizes[j])
            for i in range(len(sizes))
            for j in range(i)
        ]
        slack = min(room, default=0.0)
        if slack > widest:
            best, widest = centers, slack
        if slack >= 0:
            break
    return best


def _thing(
    kind: str,
    sounding: bool,
    size: float,
    place: NDArray[np.float64],
    ground: Sequence[float],
    scene: Scene,
    rng: np.random.Generator,
) -> Thing:
    colors: list[list[int]] = []
    for _ in range(3):
        colors.append(_color(rng, [ground, *colors]))
    instance: dict[str, Any] = {
        "size": round(float(size), 4),
        "tilt": round(float(rng.uniform(-0.25, 0.25)), 4),
        "mirrored": bool(rng.random() < 0.5),
        "build": [round(float(v), 3) for v in rng.random(2)],
        "colors": colors,
        **_voice(rng),
    }
    onsets = rhythm(kind, scene.seconds, rng)
    poses = follow(kind, onsets, instance, place, scene.frame_times, rng)
    outline = sprite(kind, instance, sprite_pixels(size, scene.side))[..., 3] > 100
    return Thing(kind, sounding, onsets, instance, poses, boxes_of(outline, poses, scene.side))


def sprite_pixels(size: float, side: int) -> int:
    """Pixels across a thing's sprite: a little finer than it is shown, so that the nearest pixel is good enough."""
    return max(8, round(size * side * 1.35))


def truth(scene: Scene, narration: list[dict[str, Any]]) -> dict[str, Any]:
    """The line of truth.jsonl: everything a judge of methods may want to know about the clip."""
    heard = [thing.kind for thing in scene.things if thing.sounding]
    return {
        "id": scene.id,
        "split": scene.split,
        "level": scene.level,
        "case": scene.case,
        "kind": heard[0] if heard else None,
        "kinds": heard,
        "things": [
            {
                "kind": thing.kind,
                "sounding": thing.sounding,
                "intervals": _spans(thing.onsets) if thing.sounding else [],
                "moves": _spans(thing.onsets),
                "boxes": [[round(float(v), 4) for v in box] for box in thing.boxes],
                "instance": thing.instance,
            }
            for thing in scene.things
        ],
        "offscreen": scene.offscreen and {"kind": scene.offscreen[0], "intervals": _spans(scene.offscreen[1])},
        "snr_db": LEVELS[scene.level].snr_db if scene.case != "silent" else None,
        "loudness_db": scene.loudness_db,
        "narration": narration,
        "fps": scene.fps,
        "seconds": scene.seconds,
        "side": scene.side,
    }


def _spans(onsets: tuple[Onset, ...]) -> list[list[float]]:
    return [[start, end] for start, end, _ in onsets]
