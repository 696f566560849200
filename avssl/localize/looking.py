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
from avssl.localize.overlay import HUES
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
        heads: show what each of the method's heads lights instead of what any of them does, at most four: those with
            the highest scores. For a single query.
        sizes: in which each picture is looked at, in multiples of the run's.
        keep_shape: look at pictures of another shape than the run's without squeezing them.
    """

    run: Path
    digest: str
    method: Method[Any]
    inputs: Inputs
    device: str | torch.device = "cpu"
    window: float | None = None
    hop: float | None = None
    heads: bool = False
    sizes: tuple[float, ...] = (1.0,)
    keep_shape: bool = False

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
        where the run has none, on one that queries which mean nothing set on this recording, looked at in the same
        sizes. `span` is the part looked at, (start, end) in seconds. Raises ValueError as `heatmaps` does.
        """
        if self.heads and len(queries) > 1:
            raise ValueError(f"{len(queries)} queries; what each head lights is shown of one")
        of_kind: dict[str, list[str]] = {}
        for told, query in queries.items():
            of_kind.setdefault(calibration.kind_of(query), []).append(told)
        kept = {kind: calibration.stored(self.run, self.digest, kind) for kind in of_kind}
        scales = {kind: scale and calibration.in_sizes(scale, self.sizes) for kind, scale in kept.items()}
        for held in scales.values():  # what was asked for is wrong before anything is looked at
            calibration.check_ends(held.threshold if held and threshold is None else threshold, ceiling)
        nothing = {
            kind: calibration.deaf(kind, self.inputs)
            for kind, scale in scales.items() if scale is None and threshold is None
        }  # fmt: skip
        asked: list[Query] = [*queries.values(), *(query for held in nothing.values() for query in held)]
        heats = heatmaps(
            self.method, self.inputs, path, asked, window_seconds=self.window, hop_seconds=self.hop, span=span,
            heads=self.heads, sizes=self.sizes, keep_shape=self.keep_shape, device=self.device, progress=progress,
        )  # fmt: skip
        each = len(heats) // len(asked)
        if self.heads:
            ((told, query),) = queries.items()
            queries = {f"head {head} of {told}": query for head in range(1, each + 1)}
            of_kind = {kind: list(queries) for kind in of_kind}
        own, rest = dict(zip(queries, heats, strict=False)), heats[len(queries) :]
        for kind, names in of_kind.items():
            maps, scale = np.concatenate([own[told].maps for told in names]), scales[kind]
            if kind in nothing:
                count = each * len(nothing[kind])
                deaf, rest = rest[:count], rest[count:]
                scale = calibration.stand_in(kind, maps, [heat.maps for heat in deaf], self.digest)
            scales[kind] = calibration.settle(scale, maps, threshold, ceiling, self.digest)
        found = [
            Found(told, heat, _known(scales[calibration.kind_of(queries[told])]), sizes=tuple(self.sizes))
            for told, heat in own.items()
        ]
        if self.heads and each > len(HUES):
            least = sorted((float(one.heat.maps.max()) for one in found), reverse=True)[len(HUES) - 1]
            found = [one for one in found if float(one.heat.maps.max()) >= least][: len(HUES)]
        return found


def _known(scale: Calibration | None) -> Calibration:
    assert scale is not None
    return scale


def sharpened(path: Path, found: list[Found], progress: Tell | None = None) -> list[Found]:
    """The same with what is lit fitted to the edges of the picture."""
    from avssl.localize.refine import sharpen

    return [replace(one, heat=sharpen(path, one.heat, one.scale, progress=progress), refined=True) for one in found]
