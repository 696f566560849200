"""A sheet that shows what a method is given: each tensor of its examples, drawn by what it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from avssl.inputs import Inputs
from avssl.localize.strip import legible
from retrieval.files import replacing

MOST, FRAMES = 12, 8
"""of a row of more than MOST pictures, FRAMES are drawn, spread over it"""
GAP = 3
"""pixels between frames or tiles"""
LETTER = 0.112
"""inches of the title's"""
HIDDEN = frozenset({"recording", "index", "seed", "draw", "dice"})
"""bookkeeping that batches carry, and numbers that only decide further draws"""


class Panel(NamedTuple):
    """One thing to draw: a picture [H, W, 3], a spectrogram [F, M], a wave [S], or text."""

    kind: Literal["picture", "spectrogram", "wave", "text"]
    values: Any
    note: str


def panel(name: str, x: Tensor, inputs: Inputs) -> Panel:
    """How a tensor without a batch axis is drawn: by its type and shape, as ``avssl.inputs`` makes them."""
    cfg, shape = inputs.cfg, tuple(x.shape)
    told = f"{name}  {'x'.join(map(str, shape)) or 'one number'}"
    if x.ndim > 3 and x.shape[-3] == 1 and min(shape[-2:]) > 3:  # depths over time
        x = x.expand(*shape[:-3], 3, *shape[-2:])
    if x.ndim >= 3 and x.shape[-3] == 3 and min(shape[-2:]) > 3:
        pictures = x.numpy() if not x.is_floating_point() else _stretch(x.float().numpy())
        more = f", {FRAMES} shown" if x.ndim > 3 and shape[-4] > MOST else ""
        return Panel("picture", tile(pictures), told + more)
    if x.is_floating_point() and x.ndim >= 2 and x.shape[-1] == cfg.mels and cfg.audio == "mel":
        several = x.float().reshape(-1, *x.shape[-2:]).numpy()  # [N, M, F]
        more = f", {len(several)} after one another" if len(several) > 1 else ""
        return Panel("spectrogram", np.concatenate(list(several)).T, told + more)
    if not x.is_floating_point() and x.ndim >= 1 and x.shape[-1] == cfg.tokens and inputs.vocabulary is not None:
        return Panel("text", words(x.reshape(-1, cfg.tokens), inputs.vocabulary.json), told)
    if x.is_floating_point() and x.ndim == 1 and len(x) > 64:
        return Panel("wave", x.float().numpy(), told)
    if x.ndim >= 2 and min(shape[-2:]) > 3:
        gray = np.repeat(_stretch(x.float().numpy())[..., None, :, :], 3, axis=-3)
        return Panel("picture", tile(gray), told)
    return Panel("text", numbers(x), told)


def tile(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [..., 3, H, W] -> one picture: the last leading axis from left to right, the others from top to bottom."""
    channels, height, width = pictures.shape[-3:]
    across = pictures.shape[-4] if pictures.ndim > 3 else 1
    rows = pictures.reshape(-1, across, channels, height, width)
    kept = np.linspace(0, across - 1, FRAMES).round().astype(int) if across > MOST else np.arange(across)
    lines = []
    for row in rows[:, kept]:
        framed = np.pad(row, ((0, 0), (0, 0), (0, GAP), (0, GAP)), constant_values=255)
        lines.append(np.concatenate(list(framed.transpose(0, 2, 3, 1)), axis=1))
    return np.concatenate(lines)[:-GAP, :-GAP]


def words(tokens: Tensor, vocabulary: str) -> str:
    """Token ids [K, L], padded with negative ones -> one line for each text that is not empty."""
    tokenizer = Tokenizer.from_str(vocabulary)
    texts = [tokenizer.decode([int(token) for token in row if token >= 0], skip_special_tokens=False) for row in tokens]
    return "\n".join(f"“{text.replace(' ##', '')}”" for text in texts if text) or "(no words)"


def numbers(x: Tensor) -> str:
    """A few numbers as text; many are told by their count and range."""
    flat = x.reshape(-1)
    if len(flat) > 32:
        return f"{len(flat)} numbers, {flat.min().item():.4g} to {flat.max().item():.4g}"
    return ", ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in flat.tolist())


def _stretch(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = float(values.min()), float(values.max())
    stretched: NDArray[np.uint8] = np.round((values - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
    return stretched


def draw(
    path: Path,
    title: str,
    examples: Sequence[Mapping[str, Tensor]],
    names: Sequence[str],
    inputs: Inputs,
    said: Sequence[Mapping[str, str]] = (),
) -> None:
    """Write the sheet as PNG: one row for each example, one column for each of its tensors.

    Args:
        path: the file; it appears whole or not at all.
        title: over the sheet.
        examples: what the method's transform gave, at least one.
        names: of the examples.
        inputs: of the run, for axes and words.
        said: for each example, what numbers among its tensors mean.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [{key: panel(key, x, inputs) for key, x in example.items() if key not in HIDDEN} for example in examples]
    for row, meanings in zip(rows, said, strict=False):
        for key, meaning in meanings.items():
            drawn = row[key]
            row[key] = drawn._replace(values=f"{drawn.values}: {meaning}")
    columns = list(rows[0])
    shares = [max(_width(row[key]) for row in rows) for key in columns]
    tallest = max(max(_height(row[key]) for key in columns) for row in rows)
    wide = max(6.0, LETTER * len(title), min(26.0, 1.1 + sum(shares)))
    figure = Figure(figsize=(wide, 0.9 + len(rows) * (tallest + 0.75)), dpi=100)
    FigureCanvasAgg(figure)
    figure.suptitle(legible(title), x=0.01, ha="left", fontsize=12, fontweight="bold")
    grid = figure.add_gridspec(len(rows), len(columns), width_ratios=shares)
    for line, (row, name) in enumerate(zip(rows, names, strict=True)):
        for column, key in enumerate(columns):
            axes = figure.add_subplot(grid[line, column])
            _draw(axes, row[key], inputs)
            if column == 0:
                named = axes.annotate(
                    legible(name),
                    (0, 1),
                    (0, 16),
                    xycoords="axes fraction",
                    textcoords="offset points",
                    fontsize=8,
                    color="0.4",
                )
                named.set_in_layout(False)  # a long name would push the second column away; the pad leaves it room
    figure.set_layout_engine("constrained", h_pad=0.17)
    with replacing(path) as partial:
        figure.savefig(partial, format="png")


def _width(drawn: Panel) -> float:
    """Inches."""
    if drawn.kind == "picture":
        height, width = drawn.values.shape[:2]
        return float(np.clip(_height(drawn) * width / height, 1.2, 11.0))
    return 3.2 if drawn.kind != "text" else float(np.clip(max(map(len, drawn.values.splitlines())) * 0.085, 1.2, 5.0))


def _height(drawn: Panel) -> float:
    """Inches."""
    if drawn.kind == "picture":
        return float(np.clip(drawn.values.shape[0] / 75, 1.2, 5.0))
    return 1.6 if drawn.kind != "text" else max(0.6, 0.2 * len(drawn.values.splitlines()))


def _draw(axes: Any, drawn: Panel, inputs: Inputs) -> None:
    cfg = inputs.cfg
    axes.set_title(drawn.note, fontsize=8, loc="left", pad=3)
    axes.tick_params(labelsize=6, length=2)
    if drawn.kind == "picture":
        axes.imshow(drawn.values, aspect="equal", interpolation="nearest", vmin=0, vmax=255)
        axes.set_anchor("NW")
        # a thin line around it: a white picture, or a mask that is white at its edges, would have no end
        axes.set_xticks([])
        axes.set_yticks([])
        for edge in axes.spines.values():
            edge.set(color="0.6", linewidth=0.5)
    elif drawn.kind == "spectrogram":
        seconds = drawn.values.shape[1] * cfg.hop_seconds
        axes.imshow(drawn.values, origin="lower", aspect="auto", extent=(0, seconds, 0, cfg.mels), cmap="magma")
        axes.set_xlabel("s", fontsize=6, labelpad=1)
        axes.set_ylabel("mel band", fontsize=6, labelpad=1)
    elif drawn.kind == "wave":
        axes.plot(np.arange(len(drawn.values)) / cfg.hz, drawn.values, linewidth=0.4)
        axes.set_xlabel("s", fontsize=6, labelpad=1)
        axes.set_ylim(-1.02, 1.02)
    else:
        # "$" would begin mathematics, and narration may hold anything.
        axes.text(0, 1, drawn.values.replace("$", r"\$"), fontsize=8, va="top", ha="left", wrap=True)
        axes.axis("off")
