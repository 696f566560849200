"""Can it be seen at all? A network that learnt to tell is asked about each sentence where it was moved to.

The output is that of temporal alignment networks (Han, Xie, Zisserman, CVPR 2022, arXiv:2204.02968). From which
probability on a sentence is kept is chosen on validation recordings: their own sentences, and as many that are said in
another of them, are moved alike and told apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from avssl.data.manifest import Manifest, Recording
from avssl.data.media import Unreadable
from avssl.data.narration import Phrase, nearest_phrases
from avssl.embedding.alignment import Aligner, Placed, moved
from avssl.embedding.network import Embedder
from avssl.embedding.window import AT_ONCE
from avssl.methods.base import TellsAlignable

Progress = Callable[[int, int], None]
FEWEST = 8
"""sentences of either kind, without which no probability is chosen"""


class Chosen(NamedTuple):
    """The least probability of what is kept, and the shares of sentences that it drops: of others, and of their own."""

    least: float
    foreign: float
    own: float


def chosen(own: Sequence[float], foreign: Sequence[float]) -> Chosen:
    """What tells a recording's own sentences best from foreign ones, by their probabilities.

    The share of foreign ones that it drops less that of own ones is greatest; of several, the least. 0, which drops
    nothing, where none is better. What has no probability (nan) does not count.
    """
    mine, others = (np.array([one for one in values if not math.isnan(one)]) for values in (own, foreign))
    best = Chosen(0.0, 0.0, 0.0)
    if len(mine) and len(others):
        for least in np.unique(np.concatenate([mine, others, [1.0]])):
            found = Chosen(float(least), float((others < least).mean()), float((mine < least).mean()))
            if found.foreign - found.own > best.foreign - best.own + 1e-9:
                best = found
    return best


def foreign(recordings: Sequence[Recording]) -> list[Recording]:
    """Each recording with sentences of the next one that says none of its own, at the times of its own.

    Those for which there is no such recording are left out.
    """
    found = []
    for number, one in enumerate(recordings):
        texts = {phrase.text for phrase in one.narration}
        others = (*recordings[number + 1 :], *recordings[:number])
        other = next((it for it in others if texts.isdisjoint(p.text for p in it.narration)), None)
        if other is not None:
            said = (other.narration[k % len(other.narration)] for k in range(len(one.narration)))
            put = (moved(p, own.middle - p.middle, one.seconds) for p, own in zip(said, one.narration, strict=True))
            found.append(replace(one, narration=tuple(put)))
    return found


def told(aligner: Aligner, manifest: Manifest, progress: Progress | None = None) -> dict[str, list[Placed]]:
    """Recording -> what :meth:`Aligner.place` gives, with the probability of each sentence that was not dropped."""
    found = {}
    for recording, placed in aligner.place(progress):
        kept = [one.after for one in placed if one.after is not None]
        shares = iter(alignability(aligner.embedder, manifest, recording, kept))
        found[recording.key] = [one if one.after is None else one._replace(alignable=next(shares)) for one in placed]
    return found


def choose(aligner: Aligner, manifest: Manifest, progress: Progress | None = None) -> Chosen | None:
    """From which probability on sentences are kept; None where there are too few to tell, or no foreign ones.

    ``aligner`` is of validation recordings; it drops nothing.
    """
    kinds, both = (aligner.recordings, foreign(aligner.recordings)), []
    if any(sum(len(one.narration) for one in recordings) < FEWEST for recordings in kinds):
        return None
    for recordings in kinds:
        said = told(aligner.saying(recordings), manifest, progress)
        both.append([one.alignable for placed in said.values() for one in placed])
    return chosen(*both)


@torch.inference_mode()
def alignability(
    embedder: Embedder, manifest: Manifest, recording: Recording, phrases: Sequence[Phrase]
) -> list[float]:
    """The probability of each phrase in the window about its middle, beside those said nearest to it; nan where the
    recording has no picture that can be read."""
    method, inputs, window = embedder.method, embedder.inputs, embedder.window
    assert isinstance(method, TellsAlignable)
    count = type(method).needs(method.cfg, inputs).narrations
    last = max(0.0, recording.seconds - window.seconds)
    if recording.video is None:
        return [math.nan] * len(phrases)
    found: list[float] = []
    for first in range(0, len(phrases), AT_ONCE):
        some = phrases[first : first + AT_ONCE]
        starts = [min(max(0.0, one.middle - window.seconds / 2), last) for one in some]
        try:
            video = window.read(manifest.path_of(recording), starts, video=True, audio=False).video
        except Unreadable:
            return [math.nan] * len(phrases)
        assert video is not None
        tokens = torch.stack([inputs.tokens(_beside(one, phrases, count)) for one in some])  # [B, K, L]
        logits = method.alignability(video.to(embedder.device), tokens.to(embedder.device))[:, 0]
        found += logits.float().sigmoid().cpu().tolist()
    return found


def _beside(phrase: Phrase, phrases: Sequence[Phrase], count: int) -> list[str]:
    """The phrase's text first, then those said nearest to it, as many as there are in training."""
    others = [one for one in phrases if one is not phrase]
    texts = [phrase.text, *(one.text for one in nearest_phrases(others, phrase.middle, count - 1))]
    return texts + [""] * (count - len(texts))
