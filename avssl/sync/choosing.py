"""Choosing how confident verdicts must be: validation recordings with their own sound, and with another's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avssl.inputs import Inputs
from avssl.methods.base import Method
from avssl.sync.asked import Chosen, Found, chosen
from avssl.sync.recording import TOLERANCE_SECONDS, reach_of, synchrony

MOST = 100
"""recordings, spread over all"""


def choose(
    method: Method[Any],
    inputs: Inputs,
    paths: Sequence[Path],
    digest: str,
    *,
    reach_seconds: float | None = None,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    device: str | torch.device = "cpu",
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Chosen:
    """Look at recordings, each with its own sound and with that of one far from it in the list, and choose.

    Args:
        method, inputs, reach_seconds, tolerance_seconds, device: as :func:`avssl.sync.recording.synchrony` takes them.
        paths: of validation recordings; what cannot be compared is passed over.
        digest: of the checkpoint.
        tell: called with how many of how many are done.

    Raises ValueError where too few can be compared.
    """
    reach = reach_of(method, reach_seconds)
    places = np.linspace(0, len(paths) - 1, min(len(paths), MOST)).round().astype(int).tolist()
    looked = [paths[place] for place in places]
    found: dict[bool, list[Found]] = {True: [], False: []}
    for number, path in enumerate(looked):
        for own, sounds in found.items():
            try:
                one = synchrony(
                    method, inputs, path, reach_seconds=reach, tolerance_seconds=tolerance_seconds,
                    sound_of=None if own else looked[(number + len(looked) // 2) % len(looked)], device=device,
                )  # fmt: skip
            except ValueError:
                continue
            if one.offset is not None:
                sounds.append((one.offset, one.confidence))
        tell(number + 1, len(looked))
    return chosen(found[True], found[False], reach, tolerance_seconds, digest)
