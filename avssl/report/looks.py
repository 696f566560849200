"""Recordings to be scrubbed through, with what each query lights: one block of a page, with a script of its own."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avssl.data.media import probe
from avssl.localize.film import Found
from avssl.localize.overlay import FAINTEST, HUES, STRONGEST, colorize
from avssl.report.clips import Budget
from avssl.report.page import Markup, join, page, tag, write

LEVELS = 4096
"""steps from the threshold to the ceiling of a scale"""
FARTHEST = 7.9
"""scales above the ceiling or below the threshold: what lies beyond differs no more"""
HEIGHT, MOST_FPS = 240, 25.0

FOLDER = Path(__file__).parent
STYLE = (FOLDER / "looks.css").read_text(encoding="utf-8")
SCRIPT = (FOLDER / "looks.js").read_text(encoding="utf-8")


def look_of(
    path: Path, found: Sequence[Found], title: str = "", note: str = "", *, budget: Budget
) -> dict[str, Any] | None:
    """A recording for `looks`: its part that the maps are of, and for each query the maps on their own scale.

    `title` is the file's name by default. None where the budget is spent. Raises Unreadable where the recording cannot
    be decoded.
    """
    times = found[0].heat.times
    step = float(times[1] - times[0]) if len(times) > 1 else 1.0
    start, end = float(times[0]), float(times[-1]) + step
    fps = min(probe(path).pictures[0].fps, MOST_FPS)
    clip = budget.clip(path, start, end, height=HEIGHT, fps=fps)
    if clip is None:
        return None
    told = {
        "title": title or path.name,
        "note": note,
        "video": clip.address,
        "poster": clip.poster,
        "start": start,
        "step": step,
        "loudness": [round(float(level), 1) for level in found[0].heat.loudness],
        "queries": [_query(one) for one in found],
    }
    spent = budget.again(json.dumps(told["queries"]))
    return None if spent is None else told


def _query(found: Found) -> dict[str, Any]:
    """Its maps as little-endian 16-bit numbers [T, h, w]: 0 at the threshold, LEVELS at the ceiling."""
    scale, maps = found.scale, found.heat.maps
    levels = (maps - scale.threshold) / (scale.ceiling - scale.threshold)
    stored = np.floor(np.clip(levels, -FARTHEST, FARTHEST) * LEVELS).astype("<i2")  # never lit by rounding
    return {
        "name": found.query,
        "threshold": scale.threshold,
        "ceiling": scale.ceiling,
        "chosen": scale.chosen,
        "shape": list(maps.shape),
        "maps": base64.b64encode(stored.tobytes()).decode(),
    }


def looks(shown: Sequence[Mapping[str, Any]]) -> Markup:
    """The block: what the script makes of the recordings, and a line for those whose browser runs none."""
    steps = np.linspace(0.0, 1.0, 256)
    drawing = {
        "levels": LEVELS,
        "faintest": FAINTEST,
        "strongest": STRONGEST,
        "colors": [_hex(colorize(steps, hue)) for hue in (None, *range(len(HUES)))],
        "lines": ["#ffffff", *(f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in HUES)],
        "shown": list(shown),
    }
    # "<" would let a narration end the block
    data = json.dumps(drawing, ensure_ascii=False).replace("<", "\\u003c")
    without = tag("p", "To scrub through these recordings, let this page run its script.", klass="soft")
    return join(
        [tag("div", without, id="looks"), tag("script", Markup(data), type="application/json", id="looks-data")]
    )


def write_looks(out: Path, shown: Sequence[Mapping[str, Any]], title: str) -> None:
    """A page of such recordings alone."""
    told = "Lit is where the score passes the threshold of its kind of query; all else is left as it was."
    write(out, page(title, tag("p", told, klass="soft"), looks(shown), style=STYLE, script=SCRIPT))


def _hex(colours: NDArray[np.uint8]) -> str:
    return colours.tobytes().hex()
