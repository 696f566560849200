"""The law that what is called a pair is one: its picture and its sound are of the same time, in every method."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from contract import timed, tiny
from torch import Generator

from avssl.methods.base import find

PICTURES, SOUNDS = ("video", "picture", "image"), ("audio", "sound")
PAIRS = {"paired_contrast": ("video", "depth")}
"""method -> the names of its positive pair in a batch, where they are none of these"""
BOTH = [
    name for name in tiny.names()
    if {"image", "video"} & set(find(name).modalities) and "audio" in find(name).modalities
]  # fmt: skip


def pair(name, made):
    """The positive pairs that a transform gave: pictures [V, T, 3, H, W] and sounds [V, ...]."""
    picture, sound = PAIRS.get(name) or (
        next((key for key in kinds if key in made), "") for kinds in (PICTURES, SOUNDS)
    )
    assert {picture, sound} <= set(made), f"name the positive pair of {name} in PAIRS; it gives {', '.join(made)}"
    pictures, sounds = made[picture], made[sound].float()
    pictures = pictures if pictures.ndim >= 4 else pictures[None]  # a picture is a clip of one
    return (pictures[None], sounds[None]) if pictures.ndim == 4 else (pictures, sounds)


def agreement(name, seed, transform, run):
    """Of each positive pair, the share of its moments that are both seen and heard; of the fewer of both."""
    needs = run.needs
    length = max(needs.window_seconds, needs.audio_seconds)
    begin = min(0.0, (needs.window_seconds - needs.audio_seconds) / 2)
    spacing = min(1 / needs.fps, length / 8)
    moments = [n + begin + (k + 0.5) * spacing for n in range(needs.clips) for k in range(round(length / spacing))]

    def given(moment):
        return pair(name, transform(timed.flash(needs, moment), Generator().manual_seed(seed), 1.0))

    dark, silent = given(None)
    seen = torch.zeros(len(moments), len(dark), dtype=torch.bool)
    heard = torch.zeros_like(seen)
    for row, moment in enumerate(moments):
        pictures, sounds = given(moment)
        seen[row] = ((pictures.float() - dark.float()).flatten(2).mean(2).abs() > 5).any(1)
        heard[row] = (sounds - silent).flatten(1).abs().amax(1) > 0.05
    assert seen.any(0).all(), "a lit picture is never seen"
    assert heard.any(0).all(), "a noise is never heard"
    return ((seen & heard).sum(0) / torch.minimum(seen.sum(0), heard.sum(0))).tolist()


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_positive_pair_overlaps_in_time(name, seed):
    """One moment is lit and heard, then another: the moments seen are among those heard, or the other way round."""
    run = tiny.run(name)
    assert min(agreement(name, seed, run.kind.transform(run.cfg.method, run.inputs), run)) >= 0.6


def test_the_law_sees_a_sound_of_another_time():
    run = tiny.run("avid")
    transform = run.kind.transform(run.cfg.method, run.inputs)

    def wrong(sample, generator, progress):
        """Pictures of the first half, sound of the second."""
        video, audio = sample.video.clone(), sample.audio.clone()
        video[:, video.shape[1] // 2 :] = 0
        audio[:, : audio.shape[1] // 2] = 0
        return transform(dataclasses.replace(sample, parts={"video": video, "audio": audio}), generator, progress)

    assert min(agreement("avid", 0, wrong, run)) < 0.3
