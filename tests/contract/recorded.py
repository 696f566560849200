"""A made-up recording, read by the data layer as any other: all its files show and sound one moment, and words fill it.

Only decoding is made up: what windows are chosen, which words are taken for them, and how the clocks of streams are
read is the project's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from contract import tiny
from torch import Generator, Tensor

from avssl import config
from avssl.data import dataset, media
from avssl.data.dataset import Items, Source
from avssl.data.manifest import Manifest, Recording
from avssl.data.media import Decoded
from avssl.data.narration import Phrase
from avssl.inputs import Inputs, Vocabulary
from avssl.methods.base import config_of, find

WORDS = (*tiny.WORDS, "door", "horn", "wave", "tree", "glass", "stone", "fire", "train")
"""what is said, one word after the other, two in each phrase"""
WORD_SECONDS = 0.5
PHRASE_SECONDS = 2 * WORD_SECONDS
SECONDS = len(WORDS) * WORD_SECONDS


def run(name: str, *words: str) -> tiny.Tiny:
    """A tiny run of a shipped config, which has read these words."""
    more = tiny.OWN.get(name, ())
    cfg = config.load(name, [*tiny.SIZES, "inputs.vocabulary=200", *more, *words], config_of)
    return tiny.Tiny(name, cfg, Inputs(cfg.inputs, Vocabulary.train([" ".join(WORDS)] * 9, 200)), find(cfg.method.name))


class Film:
    """Stands for :func:`avssl.data.media.decode`: dark and silent, but at one ``moment`` (seconds; None: never) white
    and a noise. ``late`` are seconds by which a file (by name), a channel (by number) or any sound ("sound") is."""

    def __init__(self, fps: float, late: Mapping[str | int, float]):
        self.fps, self.late = fps, late
        self.moment: float | None = None

    def __call__(self, path, *, times=(), size=None, audio=None, hz=16000, strict=False, box=None, deep=False,
                 channels=()) -> Decoded:  # fmt: skip
        moment = float("nan") if self.moment is None else self.moment + self.late.get(Path(path).name, 0.0)
        times = np.asarray(times, np.float64)
        lit = (times <= moment) & (moment < times + 1 / self.fps)
        video = np.zeros((len(times), 1 if deep else 3, *(size or (2, 2))), np.uint16 if deep else np.uint8)
        video[lit] = np.iinfo(video.dtype).max
        begin, seconds = audio or (0.0, 0.0)
        at = begin + np.arange(round(seconds * hz)) / hz
        heard = moment + sum(self.late.get(key, 0.0) for key in ("sound", *channels))
        hiss = np.random.default_rng(0).uniform(-0.5, 0.5, len(at)) * (np.abs(at - heard) < 0.5 / self.fps)
        sound = hiss.astype(np.float32)
        return Decoded(video, times, sound[None] if channels else sound, 0, False)


def source(monkeypatch, this: tiny.Tiny, late: Mapping[str | int, float] | None = None) -> tuple[Source, Film]:
    """What this run reads of the recording, and the film whose moment is to be set."""
    film = Film(this.needs.fps, late or {})
    monkeypatch.setattr(dataset, "decode", film)
    monkeypatch.setattr(media, "decode", film)
    timed = [(k * WORD_SECONDS, (k + 1) * WORD_SECONDS, word) for k, word in enumerate(WORDS)]
    said = [Phrase(two[0][0], two[1][1], f"{two[0][2]} {two[1][2]}", two)
            for two in zip(timed[::2], timed[1::2], strict=True)]  # fmt: skip
    beside = {"kind": "picture", "sha256": "1", "seconds": SECONDS}
    recording = Recording(
        key="film", path="film.mp4", sha256="0", seconds=SECONDS, video={"seconds": SECONDS}, narration=tuple(said),
        audio={"seconds": SECONDS, "channels": 3},
        streams={"depth": {**beside, "path": "film.depth.mkv", "range": [0, 65535]},
                 "infrared": {**beside, "path": "film.infrared.mp4"},
                 "face": {"kind": "picture", "crop": [0.25, 0.4, 0.75, 0.9], "seconds": SECONDS}},
    )  # fmt: skip
    return Source(Items(Manifest((recording,)), "train", 10.0, this.needs), this.needs), film


def around(this: tiny.Tiny, starts: tuple[float, ...]) -> list[float]:
    """Moments in, before and after the windows that begin at ``starts``, one in each picture's time."""
    fps, edge = this.needs.fps, 1.0
    length = max(this.needs.window_seconds, this.needs.audio_seconds) + 2 * edge
    places = {round((start - edge) * fps) + k for start in starts for k in range(round(length * fps))}
    return [(place + 0.5) / fps for place in sorted(places) if 0 <= place < SECONDS * fps]


def given(this: tiny.Tiny, made: Source, seed: int) -> dict[str, Tensor]:
    """What the method's transform gives of the recording, as the film is now."""
    draw = Generator().manual_seed(seed)
    return dict(this.kind.transform(this.cfg.method, this.inputs)(made.get(0, draw), draw, 1.0))


def lit(this: tiny.Tiny, source_of: tuple[Source, Film], seed: int, name: str) -> tuple[Tensor, list[float]]:
    """Of what the transform gives under ``name``, each of N clips: whether it shows or sounds a moment, bool [M, N]."""
    made, film = source_of
    moments = around(this, made.get(0, Generator().manual_seed(seed)).starts)
    film.moment = None
    rest = _clips(given(this, made, seed)[name])
    rows = []
    for film.moment in moments:
        change = (_clips(given(this, made, seed)[name]).float() - rest.float()).abs().flatten(1).amax(1)
        rows.append(change > (5 if rest.dtype == torch.uint8 else 0.05))
    return torch.stack(rows), moments


def _clips(x: Tensor) -> Tensor:
    """A clip [T, C, H, W] or a sound [M, F] or [S] as one of N; several, [N, T, C, H, W], as they are."""
    return x if x.ndim == 5 else x[None]


def words_of(this: tiny.Tiny, tokens: Tensor) -> list[int]:
    """The places among ``WORDS`` of what tokens [L] say."""
    known = {int(this.inputs.tokens([word])[0, 0]): place for place, word in enumerate(WORDS)}
    assert len(known) == len(WORDS), "each word is a token of its own"
    return [known[int(token)] for token in tokens if token >= 0]
