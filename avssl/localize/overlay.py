"""Heat maps drawn over a picture, honestly.

One colour scale for the whole video: 0 at the threshold, 1 at a stated ceiling, never stretched per frame. Where the
score is below the threshold the picture is left as it is, so a dark overlay means "nothing here makes this sound".
One query is drawn in a scale of many colours; several have a hue each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avssl.localize.boxes import boxes_of
from avssl.localize.masks import Floats, as_scores, reach, upsample

Picture = NDArray[np.uint8]

SILENCE_DB = -60.0
FAINTEST, STRONGEST = 0.35, 0.8  # opacity at the threshold and at the ceiling: the edge of what is lit must be visible
DIMMEST = 0.35  # the table's first third is nearly black and would read as "dark"
BOX = (255, 255, 255)
HUES = ((255, 128, 0), (0, 150, 255), (60, 200, 60), (235, 70, 220))  # orange and blue first: most eyes tell them


@dataclass(frozen=True)
class Layer:
    """What is drawn for one query.

    Attributes:
        maps: scores [T, h, w], finite.
        times: of the maps [T], seconds, increasing.
        threshold: places with a score >= this are lit.
        ceiling: the score at which the colours end, above the threshold.
        name: what was looked for, for people.
        hue: which of HUES it has; None for the scale of many colours.
        outlined: whether what is lit gets outlines, at each moment those of the map of that very moment.
    """

    maps: Floats
    times: Floats
    threshold: float
    ceiling: float
    name: str = ""
    hue: int | None = None
    outlined: bool = False

    def __post_init__(self) -> None:
        stack, times = _timed(self.maps, self.times)
        object.__setattr__(self, "maps", stack)
        object.__setattr__(self, "times", times)
        calibrate(0.0, self.threshold, self.ceiling)

    def at(self, seconds: float) -> Floats:
        """The map [h, w] at a moment."""
        return _between(self.maps, self.times, seconds)

    def since(self, start: float) -> "Layer":
        """The same with times counted from a moment on."""
        return replace(self, times=self.times - start)

    def lit(self, scores: ArrayLike | Any) -> Picture:
        """The colours uint8 [..., 3] of scores at or above the threshold."""
        return colorize(calibrate(scores, self.threshold, self.ceiling), self.hue)

    @property
    def line(self) -> tuple[int, int, int]:
        """The colour of its outlines and of its name."""
        return BOX if self.hue is None else HUES[self.hue]


@cache
def _table(hue: int | None = None) -> Picture:
    """256 colours [256, 3] of even brightness steps: dark violet to pale yellow, or from dim to pale of one hue."""
    from matplotlib import colormaps

    if hue is not None:
        steps, full = np.linspace(0.0, 1.0, 256)[:, None], np.asarray(HUES[hue], dtype=np.float64)
        return np.round((0.8 + 0.2 * steps) * full + 0.4 * steps * (255.0 - full)).astype(np.uint8)
    colours: Picture = np.round(colormaps["inferno"](np.linspace(DIMMEST, 1.0, 256))[:, :3] * 255).astype(np.uint8)
    return colours


@cache
def _blend() -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """What remains of the picture [257, 1] and what is added to it [257, 3], in 1/256, for each of 256 levels.

    The last row is for the dark: all of the picture, nothing added, so it comes out bit-equal. Sums fit 16 bits.
    """
    opacity = np.append(np.linspace(FAINTEST, STRONGEST, 256), 0.0)[:, None]
    kept = np.round(256 * (1.0 - opacity))
    added = np.append((256 - kept[:-1]) * _table(), np.zeros((1, 3)), axis=0)
    return kept.astype(np.uint16), added.astype(np.uint16)


def colorize(score: ArrayLike | Any, hue: int | None = None) -> Picture:
    """Calibrated scores [h, w] in 0..1 -> uint8 [h, w, 3]; values outside are clipped to the ends of the scale."""
    levels = np.clip(np.asarray(score, dtype=np.float64), 0.0, 1.0)
    colours: Picture = _table(hue)[np.round(levels * 255).astype(np.int64)]
    return colours


def calibrate(scores: ArrayLike | Any, threshold: float, ceiling: float) -> Floats:
    """Scores -> 0 at `threshold`, 1 at `ceiling`; below 0 is dark. The ceiling must lie above the threshold."""
    if not ceiling > threshold:
        raise ValueError(f"the colour scale ends at {ceiling:g}, which is not above the threshold {threshold:g}")
    levels: Floats = (np.asarray(scores, dtype=np.float64) - threshold) / (ceiling - threshold)
    return levels


def overlay_frame(frame: Picture, scores: ArrayLike | Any, threshold: float, ceiling: float = 1.0) -> Picture:
    """A map [h, w] over a frame uint8 [H, W, 3]: coloured where the enlarged score is >= `threshold`, else bit-equal.

    Colour and opacity grow with the calibrated score. Returns a new array.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"a frame is uint8 [H, W, 3], got {frame.dtype} {list(frame.shape)}")
    cells = as_scores(scores)
    calibrate(0.0, threshold, ceiling)  # a wrong scale is wrong on dark frames too
    out, lit = frame.copy(), cells >= threshold
    if not lit.any():  # enlarging never raises a score
        return out
    size = (frame.shape[0], frame.shape[1])
    part = reach(lit, size)
    enlarged = upsample(cells, size, part)
    levels = np.round(np.clip(calibrate(enlarged, threshold, ceiling), 0.0, 1.0) * 255).astype(np.int64)
    levels[enlarged < threshold] = 256
    kept, added = _blend()
    mixed = frame[part] * kept.take(levels, axis=0) + added.take(levels, axis=0)  # uint16 [H', W', 3]
    out[part] = (mixed >> 8).astype(np.uint8)
    return out


def overlay_layers(frame: Picture, layers: Sequence[Layer], seconds: float) -> Picture:
    """What several queries light at a moment over a frame uint8 [H, W, 3]; bit-equal where none does. A new array.

    Where more than one lights a place its colours are mixed by their opacities, in no order. Outlines are drawn last.
    """
    if len(layers) == 1 and layers[0].hue is None:
        out = overlay_frame(frame, layers[0].at(seconds), layers[0].threshold, layers[0].ceiling)
    else:
        out = _mixed(frame, layers, seconds)
    for layer in layers:
        if layer.outlined:
            outline(out, [one.box for one in boxes_of(layer.at(seconds), layer.threshold)], layer.line)
    return out


def _mixed(frame: Picture, layers: Sequence[Layer], seconds: float) -> Picture:
    size, out = (frame.shape[0], frame.shape[1]), frame.copy()
    maps = [(layer, layer.at(seconds)) for layer in layers]
    shown = [(layer, cells) for layer, cells in maps if cells.max() >= layer.threshold]
    if not shown:
        return out
    parts = [reach(cells >= layer.threshold, size) for layer, cells in shown]
    rows, columns = (slice(min(p[k].start for p in parts), max(p[k].stop for p in parts)) for k in (0, 1))
    under = frame[rows, columns]
    seen = np.ones(under.shape[:2])  # the share of the picture that is still seen
    weight, colour = np.zeros(seen.shape), np.zeros(under.shape)
    for layer, cells in shown:
        enlarged = upsample(cells, size, (rows, columns))
        lit = enlarged >= layer.threshold
        levels = np.clip(calibrate(enlarged[lit], layer.threshold, layer.ceiling), 0.0, 1.0)  # [N]
        opacity = FAINTEST + (STRONGEST - FAINTEST) * levels
        seen[lit] *= 1.0 - opacity
        weight[lit] += opacity
        colour[lit] += opacity[:, None] * colorize(levels, layer.hue)
    lit = weight > 0.0
    kept = seen[lit][:, None]
    over = kept * under[lit] + (1.0 - kept) * colour[lit] / weight[lit][:, None]
    out[rows, columns][lit] = np.round(over).astype(np.uint8)
    return out


def at_time(maps: ArrayLike | Any, map_times: ArrayLike | Any, seconds: float) -> Floats:
    """The map [h, w] at a moment: linear between its neighbours in time, the first or last one outside them."""
    stack, times = _timed(maps, map_times)
    return _between(stack, times, seconds)


def _timed(maps: ArrayLike | Any, map_times: ArrayLike | Any) -> tuple[Floats, Floats]:
    stack, times = as_scores(maps, (3,)), np.asarray(map_times, dtype=np.float64)
    if times.shape != (len(stack),):
        raise ValueError(f"{len(stack)} maps but times of shape {times.shape}; give one time in seconds per map")
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError("the times of the maps must be finite and increase")
    return stack, times


def _between(stack: Floats, times: Floats, seconds: float) -> Floats:
    after = int(np.searchsorted(times, seconds))
    if after == 0 or after == len(times):
        nearest: Floats = stack[min(after, len(times) - 1)]
        return nearest
    weight = (seconds - times[after - 1]) / (times[after] - times[after - 1])
    between: Floats = stack[after - 1] + weight * (stack[after] - stack[after - 1])
    return between


def loudness(sound: ArrayLike | Any, parts: int) -> Floats:
    """Root mean square of each of `parts` equal parts of a sound ([S] or [C, S]) in dB of full scale, floor -60."""
    waves = np.atleast_2d(np.asarray(sound, dtype=np.float64))
    power = np.concatenate([[0.0], np.cumsum(np.mean(waves**2, axis=0))]) if waves.size else np.zeros(1)
    edges = np.linspace(0, len(power) - 1, parts + 1).astype(np.int64)
    mean = np.diff(power[edges]) / np.maximum(np.diff(edges), 1)
    decibels: Floats = np.maximum(10.0 * np.log10(np.maximum(mean, 1e-12)), SILENCE_DB)
    return decibels


def outline(picture: Picture, boxes: ArrayLike | Any, colour: tuple[int, int, int] = BOX) -> None:
    """Draw boxes (fractions) into the picture, one pixel wide per 200 of its height; specks hardly wider than the line
    would come out as blots, and get none."""
    height, width = picture.shape[:2]
    thick = max(1, round(height / 200))
    for x0, y0, x1, y1 in np.clip(np.asarray(boxes, dtype=np.float64).reshape(-1, 4), 0.0, 1.0):
        left, top, right, bottom = int(width * x0), int(height * y0), int(width * x1), int(height * y1)
        if min(right - left, bottom - top) < 5 * thick:
            continue
        picture[top : top + thick, left:right] = colour
        picture[max(top, bottom - thick) : bottom, left:right] = colour
        picture[top:bottom, left : left + thick] = colour
        picture[top:bottom, max(left, right - thick) : right] = colour
