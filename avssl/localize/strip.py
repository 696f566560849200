"""What stands below an overlay's picture: loudness and "lit or dark" over time, and the queries' names."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avssl.localize.overlay import SILENCE_DB, Layer, Picture, loudness

LOUDNESS_PIXELS = 17
LIT_PIXELS = 6  # of each query; with one query the strip is 24 high
LEGEND_PIXELS = 18
BACKGROUND = (24, 24, 28)
BAR = (150, 160, 175)
UNLIT = (62, 62, 70)


def strip(width: int, seconds: float, sound: NDArray[np.float32] | None, hz: int, layers: Sequence[Layer]) -> Picture:
    """uint8 [H, W, 3] with H even; column x stands for the moment x / W of `seconds`.

    Above, the loudness of `sound` ([S] or [C, S] at `hz`, or None) from -60 to 0 dB of full scale; below it for each
    query the colour of its highest score, grey where it lights nothing. With several queries their names at the end.
    """
    bars = np.empty((LOUDNESS_PIXELS, width, 3), dtype=np.uint8)
    bars[:] = BACKGROUND
    heard = np.full(width, SILENCE_DB)
    if sound is not None and np.size(sound):
        spoken = max(1, min(width, round(np.shape(sound)[-1] / hz / seconds * width)))
        heard[:spoken] = loudness(sound, spoken)
    heights = np.round((1.0 - heard / SILENCE_DB) * LOUDNESS_PIXELS).astype(np.int64)
    bars[LOUDNESS_PIXELS - 1 - np.arange(LOUDNESS_PIXELS)[:, None] < heights] = BAR
    parts, gap = [bars], np.full((1, width, 3), BACKGROUND, dtype=np.uint8)
    for layer in layers:
        row = np.empty((LIT_PIXELS, width, 3), dtype=np.uint8)
        for x in range(width):
            highest = float(layer.at((x + 0.5) / width * seconds).max())
            row[:, x] = layer.lit(highest) if highest >= layer.threshold else UNLIT
        parts += [gap, row]
    if len(layers) > 1:
        parts.append(legend(width, layers))
    whole = np.concatenate(parts)
    return np.concatenate([whole, gap]) if len(whole) % 2 else whole


def legend(width: int, layers: Sequence[Layer]) -> Picture:
    """The names of the queries, each in its colour, side by side: uint8 [18, W, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 100, LEGEND_PIXELS / 100), dpi=100, facecolor=np.array(BACKGROUND) / 255)
    canvas = FigureCanvasAgg(figure)
    for place, layer in enumerate(layers):
        colour = tuple(part / 255 for part in layer.line)
        left = place / len(layers) + 4 / width
        figure.text(left, 0.5, _short(legible(layer.name), width, len(layers)), color=colour, fontsize=8, va="center")
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., :3]
    out = np.empty((LEGEND_PIXELS, width, 3), dtype=np.uint8)
    out[:] = BACKGROUND
    out[: drawn.shape[0], : drawn.shape[1]] = drawn[:LEGEND_PIXELS, :width]
    return out


def _short(name: str, width: int, names: int) -> str:
    """As much of a name as its part of the legend has room for, at about 6.5 pixels a letter."""
    most = max(2, int((width / names - 8) / 6.5))
    return name if len(name) <= most else name[: most - 1] + "…"


def legible(text: str) -> str:
    """The text with a dot for every letter that the figures' font lacks, as it would draw a box for it and warn."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    return "".join(letter if font.get_char_index(ord(letter)) else "·" for letter in text)
