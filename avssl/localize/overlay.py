"""Heat maps drawn over the picture, honestly.

One colour scale for the whole video: 0 at the threshold, 1 at a stated ceiling, never stretched per frame. Where the
score is below the threshold the picture is left as it is, so a dark overlay means "nothing here makes this sound".
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avssl.data.encode import write_clip
from avssl.localize.masks import Floats, as_scores, upsample

Picture = NDArray[np.uint8]

STRIP_PIXELS = 24  # even, so that it does not change whether the height can be encoded
LIT_PIXELS = 6  # the lower part of the strip: lit or dark over time
SILENCE_DB = -60.0
FAINTEST, STRONGEST = 0.35, 0.8  # opacity at the threshold and at the ceiling: the edge of what is lit must be visible
DIMMEST = 0.35  # the table's first third is nearly black and would read as "dark"
BACKGROUND = (24, 24, 28)
BAR = (150, 160, 175)
UNLIT = (62, 62, 70)
BOX = (255, 255, 255)


@cache
def _table() -> Picture:
    """256 colours [256, 3] of even perceived brightness steps, dark violet to pale yellow."""
    from matplotlib import colormaps

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


def colorize(score: ArrayLike | Any) -> Picture:
    """Calibrated scores [h, w] in 0..1 -> uint8 [h, w, 3]; values outside are clipped to the ends of the scale."""
    levels = np.clip(np.asarray(score, dtype=np.float64), 0.0, 1.0)
    colours: Picture = _table()[np.round(levels * 255).astype(np.int64)]
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
    if cells.max() < threshold:  # enlarging never raises a score
        return frame.copy()
    enlarged = upsample(cells, (frame.shape[0], frame.shape[1]))
    levels = np.round(np.clip(calibrate(enlarged, threshold, ceiling), 0.0, 1.0) * 255).astype(np.int64)
    levels[enlarged < threshold] = 256
    kept, added = _blend()
    mixed = frame * kept.take(levels, axis=0) + added.take(levels, axis=0)  # uint16 [H, W, 3]
    over: Picture = (mixed >> 8).astype(np.uint8)
    return over


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


def render(
    path_out: str | Path,
    frames: Iterable[Picture],
    fps: float,
    maps: ArrayLike | Any,
    map_times: ArrayLike | Any,
    threshold: float,
    ceiling: float,
    sound: NDArray[np.float32] | None,
    hz: int,
    boxes: Sequence[ArrayLike | Any] | None = None,
) -> None:
    """Write the overlay video: frames uint8 [H, W, 3] with their maps, the sound kept, a strip of 24 px below.

    Frame k is shown at k / fps seconds; `maps` [T, h, w] at `map_times` [T] (seconds on the same clock) are
    interpolated linearly in time. The strip spans the whole length: loudness above (-60 to 0 dB of full scale), the
    colour of the highest score below it, grey where nothing is lit, and the present moment as a line. `boxes`, one
    entry [K, 4] of fractions per map, are drawn as outlines at the nearest map's time.

    `sound` is float32 [S] or [C, S] at `hz`, or None. Raises ValueError for times that do not fit the maps, for a
    ceiling not above the threshold, and for frames that are no pictures.
    """
    stack, times = _timed(maps, map_times)
    calibrate(stack, threshold, ceiling)
    if boxes is not None and len(boxes) != len(stack):
        raise ValueError(f"{len(stack)} maps but boxes for {len(boxes)} times; give one entry (or []) per map")
    heard = 0.0 if sound is None else np.shape(sound)[-1] / hz
    seconds = max(heard, float(times[-1]), 1.0 / fps)

    def drawn() -> Iterator[Picture]:
        below: Picture | None = None
        for index, frame in enumerate(frames):
            now = index / fps
            out = overlay_frame(frame, _between(stack, times, now), threshold, ceiling)
            if boxes is not None:
                _outline(out, boxes[int(np.argmin(np.abs(times - now)))])
            if below is None:
                below = _strip(frame.shape[1], seconds, sound, hz, stack, times, threshold, ceiling)
            moment = below.copy()
            moment[:, min(int(now / seconds * frame.shape[1]), frame.shape[1] - 1)] = 255
            yield np.concatenate([out, moment])

    write_clip(path_out, drawn(), fps, sound, hz)


def loudness(sound: ArrayLike | Any, parts: int) -> Floats:
    """Root mean square of each of `parts` equal parts of a sound ([S] or [C, S]) in dB of full scale, floor -60."""
    waves = np.atleast_2d(np.asarray(sound, dtype=np.float64))
    power = np.concatenate([[0.0], np.cumsum(np.mean(waves**2, axis=0))]) if waves.size else np.zeros(1)
    edges = np.linspace(0, len(power) - 1, parts + 1).astype(np.int64)
    mean = np.diff(power[edges]) / np.maximum(np.diff(edges), 1)
    decibels: Floats = np.maximum(10.0 * np.log10(np.maximum(mean, 1e-12)), SILENCE_DB)
    return decibels


def _strip(
    width: int,
    seconds: float,
    sound: NDArray[np.float32] | None,
    hz: int,
    stack: Floats,
    times: Floats,
    threshold: float,
    ceiling: float,
) -> Picture:
    """The strip [24, W, 3] without the line of the present moment; column x stands for x / W of the length."""
    strip: Picture = np.empty((STRIP_PIXELS, width, 3), dtype=np.uint8)
    strip[:] = BACKGROUND
    tall = STRIP_PIXELS - LIT_PIXELS - 1
    heard = np.full(width, SILENCE_DB)
    if sound is not None and np.size(sound):
        spoken = max(1, min(width, round(np.shape(sound)[-1] / hz / seconds * width)))
        heard[:spoken] = loudness(sound, spoken)
    heights = np.round((1.0 - heard / SILENCE_DB) * tall).astype(np.int64)
    for x in range(width):
        strip[tall - heights[x] : tall, x] = BAR
        highest = float(_between(stack, times, (x + 0.5) / width * seconds).max())
        lit = highest >= threshold
        strip[-LIT_PIXELS:, x] = colorize(calibrate(highest, threshold, ceiling)) if lit else UNLIT
    return strip


def _outline(picture: Picture, boxes: ArrayLike | Any) -> None:
    """Draw boxes (fractions) into the picture, one pixel wide per 200 of its height."""
    height, width = picture.shape[:2]
    thick = max(1, round(height / 200))
    for x0, y0, x1, y1 in np.clip(np.asarray(boxes, dtype=np.float64).reshape(-1, 4), 0.0, 1.0):
        left, top, right, bottom = int(width * x0), int(height * y0), int(width * x1), int(height * y1)
        picture[top : top + thick, left:right] = BOX
        picture[max(top, bottom - thick) : bottom, left:right] = BOX
        picture[top:bottom, left : left + thick] = BOX
        picture[top:bottom, max(left, right - thick) : right] = BOX


def legible(text: str) -> str:
    """The text with a dot for every letter that the figures' font lacks, as it would draw a box for it and warn."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    return "".join(letter if font.get_char_index(ord(letter)) else "·" for letter in text)


def strip_png(
    path: str | Path,
    frames: ArrayLike | Any,
    maps: ArrayLike | Any,
    times: Sequence[float],
    threshold: float,
    ceiling: float,
    title: str = "",
) -> None:
    """Write a sheet of stills (PNG): frames uint8 [K, H, W, 3] above, the same with maps [K, h, w] below.

    Each column states its time in seconds and its lit area (share of the cells of the map); a colour bar gives the
    scale in scores, from the threshold to the ceiling.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize
    from matplotlib.figure import Figure

    pictures, stack = np.asarray(frames), as_scores(maps, (3,))
    if not len(pictures) == len(stack) == len(times):
        raise ValueError(
            f"{len(pictures)} frames, {len(stack)} maps and {len(times)} times; there must be as many of each"
        )
    count, height, width = pictures.shape[:3]
    across = 1.9 * min(max(width / height, 0.5), 2.5)
    figure = Figure(figsize=(across * count + 1.1, 4.7), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, count, squeeze=False)
    for column in range(count):
        scores = stack[column]
        axes[0, column].imshow(pictures[column])
        axes[0, column].set_title(f"{times[column]:.2f} s", fontsize=9)
        axes[1, column].imshow(overlay_frame(pictures[column], scores, threshold, ceiling))
        axes[1, column].set_title(f"lit {100 * np.mean(scores >= threshold):.0f} %", fontsize=9)
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
    scale = ScalarMappable(Normalize(threshold, ceiling), ListedColormap(_table() / 255.0))
    bar = figure.colorbar(scale, ax=axes, fraction=0.03, pad=0.01)
    bar.set_label("score (below the bar: dark)", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    if title:
        figure.suptitle(legible(title), fontsize=10)

    path = Path(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial.png")
    try:
        with open(partial, "wb") as file:
            figure.savefig(file, format="png")
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
