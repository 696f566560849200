"""Where something is in a few seconds of a recording: windows that were read already, to maps."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avssl.inputs import Inputs
from avssl.localize.heatmap import loudest
from avssl.localize.masks import Floats, as_scores
from avssl.methods.base import Method


@torch.inference_mode()
def moment_maps(
    method: Method[Any],
    inputs: Inputs,
    video: Tensor,
    sound: Tensor | None,
    query: str | NDArray[np.float32] | None,
    device: torch.device,
) -> Floats:
    """Scores [N, T, h, w] of windows uint8 [N, T, 3, H, W] of one recording.

    Args:
        method: one that localizes, in eval mode and on ``device``.
        inputs: its inputs.
        video: pictures at the run's size and rate.
        sound: the windows' own [N, S], needed where there is no ``query``; its length is that of a query's sound.
        query: words, a sound [samples] at the run's rate (its loudest part counts), or None for the own sound.
        device: where the method is.
    """
    kind = "text" if isinstance(query, str) else "audio"
    if query is None:
        assert sound is not None
        given = inputs.audio(sound)
    else:
        samples = round(inputs.cfg.audio_seconds * inputs.cfg.hz)
        asked = (
            inputs.tokens([query])
            if isinstance(query, str)
            else inputs.audio(torch.from_numpy(loudest(query, samples))[None])
        )
        given = asked.expand(len(video), *asked.shape[1:])
    parts = []
    for window in range(len(video)):  # one at a time: a moment is short, and memory stays that of one window
        one = slice(window, window + 1)
        localize: Any = method.localize
        parts.append(localize(video[one].to(device), given[one].to(device), kind).double().cpu().numpy())
    maps: Floats = np.concatenate(parts)
    return as_scores(maps.reshape(-1, *maps.shape[2:]), (3,)).reshape(maps.shape)
