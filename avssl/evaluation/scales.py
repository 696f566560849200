"""Thresholds from recordings without boxes: own sounds and phrases against another recording's.

Sounds and texts are scored on different scales, so each kind of query has a threshold of its own. A phrase may speak
of what is not to be seen: what counts is the highest score that any of the phrases said near a moment reaches.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avssl.data.manifest import Manifest, Recording
from avssl.data.narration import FAR_SECONDS, nearest
from avssl.embedding.window import Window
from avssl.evaluation.middles import chosen_label, middle_of, read_middle
from avssl.inputs import Inputs
from avssl.localize import calibration, score
from avssl.localize.heatmap import seen_once
from avssl.methods.base import Method, localizes

MOST, LEAST = 64, 8
"""recordings that a threshold is chosen on, spread over those given"""
PHRASES = 3
"""said nearest to a moment"""


def keep(
    run: Path,
    digest: str,
    method: Method[Any],
    inputs: Inputs,
    manifest: Manifest,
    recordings: Sequence[Recording],
    kinds: Sequence[str],
) -> None:
    """Choose the threshold of each kind of query (audio, text) that the method localizes, and store it in the run.

    Args:
        run: its folder.
        digest: of its weights.
        method: its method, on any device.
        inputs: its inputs.
        manifest: of the recordings.
        recordings: those of validation in which what is heard can be seen. With fewer than eight that have a picture
            and a query, nothing is chosen.
        kinds: those to choose for.
    """
    for kind in kinds:
        if not localizes(method, kind) or kind not in method.encoders:
            continue
        own, other = peaks(method, inputs, manifest, recordings, kind)
        if len(own) >= LEAST:
            threshold = score.listening_threshold(own, other, calibration.SHARE).value
            told = calibration.BEST.format("phrases" if kind == "text" else "sounds")
            calibration.from_peaks(np.array(own), threshold, digest, told).save(run, kind)


@torch.inference_mode()
def peaks(
    method: Method[Any], inputs: Inputs, manifest: Manifest, recordings: Sequence[Recording], kind: str
) -> tuple[list[float], list[float]]:
    """The highest score of each recording with its own query and with another's, of its middle window.

    The other is the nearest earlier recording with another label (kind, or the first there is) and other phrases.
    """
    window, label = Window(inputs), chosen_label(recordings)
    places = np.unique(np.linspace(0, len(recordings) - 1, min(MOST, len(recordings))).round().astype(int))
    earlier: list[tuple[str, set[str], Tensor]] = []
    own, other = [], []
    device = next(method.parameters()).device
    for place in places if len(recordings) else ():
        recording = recordings[place]
        said = _phrases(recording, window) if kind == "text" else ()
        if kind == "text" and not said:
            continue
        clips = read_middle(manifest, recording, window, video=True, audio=kind == "audio")
        if clips is None or clips.video is None or (kind == "audio" and clips.audio is None):
            continue
        queries = inputs.tokens(said) if clips.audio is None else inputs.audio(clips.audio)
        value = recording.labels.get(label, "")
        foreign = [
            asked for whose, words, asked in reversed(earlier) if not (words & set(said) or (value and whose == value))
        ]
        with seen_once(method):
            video = clips.video.to(device)
            own.append(_peak(method, video, queries, kind))
            if foreign:
                other.append(_peak(method, video, foreign[0], kind))
        earlier.append((value, set(said), queries))
    return own, other


def _phrases(recording: Recording, window: Window) -> tuple[str, ...]:
    middle = middle_of(recording, window) + window.seconds / 2
    return tuple(text for text in nearest(recording.narration, middle, PHRASES, FAR_SECONDS) if text)


def _peak(method: Method[Any], video: Tensor, queries: Tensor, kind: str) -> float:
    """The highest score of any of the queries [K, ...] anywhere in the window [1, T, 3, H, W]."""
    localize: Any = method.localize
    return max(float(localize(video, query[None].to(video.device), kind).max()) for query in queries)
