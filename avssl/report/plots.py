"""Curves as inline SVG: sharp at any size, and in the page's own colors in light and dark."""

import math
from collections.abc import Mapping, Sequence

from avssl.report.page import Markup, escape, tag

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 28, 26
POINTS = 400
"""more points than pixels tell nothing: longer curves are thinned by averaging neighbours"""

Series = Sequence[tuple[float, float]]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between low and high, at most ``most``."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / most
    step = 10 ** math.floor(math.log10(raw))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= raw)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def thin(series: Series, points: int = POINTS) -> list[tuple[float, float]]:
    """At most ``points`` points: means of equal runs of neighbours. Values that are not finite are left out."""
    finite = [(x, y) for x, y in series if math.isfinite(x) and math.isfinite(y)]
    run = max(1, math.ceil(len(finite) / points))
    parts = [finite[index : index + run] for index in range(0, len(finite), run)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]


def number(value: float) -> str:
    """A tick's label."""
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        return f"{value:.0e}"
    return f"{value:.4g}"


def curves(
    title: str, series: Mapping[str, Series], across: str = "step", span: tuple[float, float] | None = None
) -> Markup:
    """A plot of one to three named series of (x, y), each finite somewhere; empty where none is.

    ``span``: the least and greatest value on the axis; those of the series by default.
    """
    lines = {name: thin(points) for name, points in series.items()}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return Markup("")
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    left, right, (low, high) = min(xs), max(xs), span or (min(ys), max(ys))
    spare = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    low, high = low - spare, high + spare

    def place(x: float, y: float) -> tuple[float, float]:
        along = (x - left) / (right - left) if right > left else 0.5
        up = (y - low) / (high - low)
        return LEFT + along * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [tag("text", title, x=LEFT, y=15, klass="title")]
    for value in ticks(low, high):
        _, y = place(left, value)
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", klass="axis"))
        parts.append(tag("text", number(value), x=LEFT - 6, y=f"{y + 3:.1f}", text_anchor="end"))
    for value in ticks(left, right, 4):
        x, _ = place(value, low)
        parts.append(tag("text", number(value), x=f"{x:.1f}", y=HEIGHT - BOTTOM + 14, text_anchor="middle"))
    parts.append(tag("text", across, x=WIDTH - RIGHT, y=15, text_anchor="end"))
    for index, (name, points) in enumerate(lines.items()):
        placed = [place(x, y) for x, y in points]
        if len(placed) == 1:  # one point has no line: draw a short one
            placed = [(placed[0][0] - 3, placed[0][1]), (placed[0][0] + 3, placed[0][1])]
        path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
        parts.append(tag("path", tag("title", escape(name)), d=path, klass=f"c{index % 3}"))
    label = f"{title}: {', '.join(lines)}"
    picture = tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", klass="plot", role="img", aria_label=label)
    return tag("figure", picture)
