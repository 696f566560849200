"""What a method is given, and what it makes of that: examples for a sheet, and the sheet on a run's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from torch import Tensor

from avssl.config import RunConfig
from avssl.data.dataset import Items, Source
from avssl.data.maker import generator
from avssl.data.manifest import Manifest
from avssl.inputs import Inputs
from avssl.methods import base
from avssl.report.clips import Budget
from avssl.report.page import Markup, section, tag
from avssl.report.sheet import draw
from avssl.train.build import Loaded

EXAMPLES = 4
"""on a page"""


class Given(NamedTuple):
    """Examples as a method's transform gives them, their names, and what words it has for their parts."""

    examples: list[dict[str, Tensor]]
    names: list[str]
    said: list[dict[str, str]]


def given(cfg: RunConfig, inputs: Inputs, held: Manifest, split: str | None, count: int, progress: float) -> Given:
    """Examples spread over the recordings of a split (None: all), so that neighbours in a folder do not look alike.

    Raises ValueError if no recording has what the method needs.
    """
    kind = base.find(cfg.method.name)
    needs = kind.needs(cfg.method, inputs)
    items = Items(held, split, cfg.data.item_seconds, needs)
    source = Source(items, needs)
    transform = kind.preview(cfg.method, inputs)
    stills = {recording.key for recording in held.recordings if recording.is_picture}
    found = Given([], [], [])
    count = min(count, len(source))
    for place in range(count):
        random = generator(cfg.seed, place)
        sample = source.get(place * len(source) // count, random)
        found.examples.append(transform(sample, random, progress))
        found.names.append(sample.key if sample.key in stills else f"{sample.key} from {sample.start:.2f} s")
        found.said.append(transform.words(found.examples[-1]) if isinstance(transform, base.Captions) else {})
        if needs.label and "label" in found.examples[-1]:
            found.said[-1]["label"] = items.classes[sample.label]
    return found


def made(method: base.Shows, examples: Sequence[Mapping[str, Tensor]]) -> list[dict[str, Tensor]]:
    """The examples, each with the pictures that the method makes of it, uint8 [3, H, W]."""
    batch = {key: torch.stack([example[key] for example in examples]) for key in examples[0]}
    rows = torch.arange(len(examples))
    with torch.inference_mode():
        shown = method.show({**batch, "index": rows, "recording": rows})
    return [
        {**example, **{name: (x[row].clamp(0, 1) * 255).round().to(torch.uint8) for name, x in shown.items()}}
        for row, example in enumerate(examples)
    ]


def on_page(loaded: Loaded, held: Manifest, split: str, budget: Budget) -> list[Markup]:
    """A section with the sheet; none where the method shows nothing or the page is full."""
    if not isinstance(loaded.method, base.Shows):
        return []
    found = given(loaded.cfg, loaded.inputs, held, split, EXAMPLES, 1.0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made.png"
        examples = made(loaded.method, found.examples)
        draw(path, f"{split} split, step {loaded.step}", examples, found.names, loaded.inputs, found.said)
        address = budget.file("image/png", path)
    if address is None:
        return []
    told = "What it is given on the left, and on the right what it makes of that, or pushes it apart from."
    picture = tag("figure", tag("img", src=address, alt="pictures that the method was given and made"))
    return [section("What it makes", tag("p", told, klass="soft"), picture)]
