"""A sheet of stills for one recording: a row of pictures, and below it a row for each query with what it lights."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from avssl.localize.calibration import write_whole
from avssl.localize.overlay import Layer, colorize, overlay_layers
from avssl.localize.strip import legible

LETTERS = 40  # of a query's name beside its row


def sheet(
    path: str | Path,
    frames: ArrayLike | Any,
    times: Sequence[float],
    layers: Sequence[Layer],
    title: str = "",
    notes: Sequence[str] | None = None,
) -> None:
    """Write the sheet (PNG): frames uint8 [K, H, W, 3], shown at `times` [K] seconds.

    Each picture states its time and its note, if any (`notes` [K]: why it was chosen); each still below its lit area
    (share of the cells of the map). A colour bar per query gives its scale in scores, threshold to ceiling.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize
    from matplotlib.figure import Figure

    pictures, said = np.asarray(frames), [""] * len(times) if notes is None else list(notes)
    if not len(pictures) == len(times) == len(said):
        raise ValueError(f"{len(pictures)} frames, {len(times)} times and {len(said)} notes; give as many of each")
    if not layers:
        raise ValueError("a sheet shows what at least one query lights; there is none")
    count, height, width = pictures.shape[:3]
    shape = min(max(width / height, 0.5), 2.5)
    rows = 1 + len(layers)
    figure = Figure(figsize=(1.9 * shape * count + 1.4, 2.3 * rows + 0.2), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, count, squeeze=False)
    for column, seconds in enumerate(times):
        axes[0, column].imshow(pictures[column])
        axes[0, column].set_title("\n".join(part for part in (f"{seconds:.2f} s", said[column]) if part), fontsize=9)
        for row, layer in enumerate(layers, 1):
            axes[row, column].imshow(overlay_layers(pictures[column], [layer], seconds))
            area = float(np.mean(layer.at(seconds) >= layer.threshold))
            axes[row, column].set_title(f"lit {_percent(area)}" if area else "dark", fontsize=9)
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
    steps = np.linspace(0.0, 1.0, 256)
    for row, layer in enumerate(layers, 1):
        if len(layers) > 1:
            axes[row, 0].set_ylabel(legible(layer.name)[:LETTERS], fontsize=9)
        colours = ListedColormap(colorize(steps, layer.hue) / 255.0)
        scale = ScalarMappable(Normalize(layer.threshold, layer.ceiling), colours)
        bar = figure.colorbar(scale, ax=axes[row, :], fraction=0.03, pad=0.01)
        bar.set_label("score (lower: dark)", fontsize=8)
        bar.ax.tick_params(labelsize=8)
    if title:
        figure.suptitle(legible(title), fontsize=10)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", pil_kwargs={"compress_level": 2})  # 6 takes three times as long
    write_whole(Path(path), drawn.getvalue())


def _percent(share: float) -> str:
    """A share above 0 never reads as 0 %."""
    return f"{100 * share:.0f} %" if share >= 0.005 else "< 1 %"
