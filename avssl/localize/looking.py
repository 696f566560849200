"""A run that looks at recordings: for each query a map over time, and the scale to read it on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avssl.inputs import Inputs
from avssl.localize import calibration
from avssl.localize.calibration import Calibration
from avssl.localize.film import Found
from avssl.localize.heatmap import Query, heatmaps
from avssl.methods.base import Method

Tell = Callable[[float], None]
"""called with the seconds done so far"""


@dataclass(frozen=True)
class Looking:
    """How a run looks.

    Attributes:
        run: its folder or one of its checkpoints, where its scales are.
        digest: of its weights.
        method: its method, on `device`.
        inputs: its inputs.
        device: where the method is.
        window: seconds; None for the run's own.
        hop: seconds from one window to the next; None for half a window.
    """

    run: Path
    digest: str
    method: Method[Any]
    inputs: Inputs
    device: str | torch.device = "cpu"
    window: float | None = None
    hop: float | None = None

    def __call__(
        self,
        path: Path,
        queries: Mapping[str, Query],
        *,
        threshold: float | None = None,
        ceiling: float | None = None,
        span: tuple[float, float] | None = None,
        progress: Tell | None = None,
    ) -> list[Found]:
        """What is found for each query (its name for people -> what is looked for) in one reading of the recording.

        Each kind of query is read on the run's scale for it, as far as `threshold` and `ceiling` do not say otherwise;
        where the run has none, on one that queries which mean nothing set on this recording. `span` is the part
        looked at, (start, end) in seconds. Raises ValueError as `heatmaps` does.
        """
        of_kind: dict[str, list[str]] = {}
        for told, query in queries.items():
            of_kind.setdefault(calibration.kind_of(query), []).append(told)
        scales = {kind: calibration.stored(self.run, self.digest, kind) for kind in of_kind}
        nothing = {
            kind: calibration.deaf(kind, self.inputs)
            for kind, found in scales.items() if found is None and threshold is None
        }  # fmt: skip
        asked: list[Query] = [*queries.values(), *(query for held in nothing.values() for query in held)]
        heats = heatmaps(
            self.method, self.inputs, path, asked, window_seconds=self.window, hop_seconds=self.hop, span=span,
            device=self.device, progress=progress,
        )  # fmt: skip
        own, rest = dict(zip(queries, heats, strict=False)), heats[len(queries) :]
        for kind, names in of_kind.items():
            maps, found = np.concatenate([own[told].maps for told in names]), scales[kind]
            if kind in nothing:
                deaf, rest = rest[: len(nothing[kind])], rest[len(nothing[kind]) :]
                found = calibration.stand_in(kind, maps, [heat.maps for heat in deaf], self.digest)
            scales[kind] = calibration.settle(found, maps, threshold, ceiling, self.digest)
        return [Found(told, heat, _known(scales[calibration.kind_of(queries[told])])) for told, heat in own.items()]


def _known(scale: Calibration | None) -> Calibration:
    assert scale is not None
    return scale


def sharpened(path: Path, found: list[Found], progress: Tell | None = None) -> list[Found]:
    """The same with what is lit fitted to the edges of the picture."""
    from avssl.localize.refine import sharpen

    return [replace(one, heat=sharpen(path, one.heat, one.scale, progress=progress), refined=True) for one in found]
