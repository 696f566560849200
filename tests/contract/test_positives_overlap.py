"""The law that what is called a pair is one: picture and sound, picture and words, two streams are of the same time."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from contract import recorded, timed, tiny
from torch import Generator

from avssl.config import shipped
from avssl.data import windows
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


TOLD = [(name,) for name in tiny.names() if "text" in find(name).modalities]
TOLD += [("trimodal", "inputs.narration=window"), ("mil_nce", "inputs.narration=window")]
"""methods that learn from narration, of whole phrases and of the words said inside the window"""
STREAMS = {
    ("paired_contrast",): "film.depth.mkv", ("paired_contrast_infrared",): "film.infrared.mp4",
    ("paired_contrast_stereo",): 1, ("paired_contrast_stereo", "method.second.stream=channel3"): 2,
    ("paired_contrast_face",): "sound",
}  # fmt: skip
"""pairs of streams: picture and depth, two cameras, two ears, two of three channels, face and voice; what holds the
second one"""


def check_words(run, made, seed):
    """Each clip's nearest phrase is said while it is shown, others of its bag are near, and times are true.

    A bag of K phrases reaches K phrases from the clip's middle; words inside the window are said in it.
    """
    seen, moments = recorded.lit(run, made, seed, "video")
    out, half = recorded.given(run, made[0], seed), 0.5 / run.needs.fps
    start = made[0].get(0, Generator().manual_seed(seed)).starts
    tokens = out["tokens"] if out["tokens"].ndim == 3 else out["tokens"][None]  # [N, K, L]
    assert len(tokens) == seen.shape[1], "as many bags as clips"
    for clip, bag in enumerate(tokens):
        inside = [moment for moment, shown in zip(moments, seen[:, clip].tolist(), strict=True) if shown]
        first, last = min(inside) - half, max(inside) + half
        said = [recorded.words_of(run, phrase) for phrase in bag]
        spans = [(k * recorded.WORD_SECONDS, (k + 1) * recorded.WORD_SECONDS) for k in said[0]]
        assert any(a < last and b > first for a, b in spans), f"{spans} are not said while {first} to {last} is shown"
        for middle in ((k + 0.5) * recorded.WORD_SECONDS for words in said for k in words):
            if run.needs.words_inside:
                assert start[clip] <= middle <= start[clip] + run.needs.window_seconds
            else:
                reach = run.needs.narrations * recorded.PHRASE_SECONDS
                assert abs(middle - (first + last) / 2) <= reach, "not among the nearest"
        if "times" in out:
            for words, (begin, end) in zip(said, out["times"].tolist(), strict=True):
                true = words[0] * recorded.WORD_SECONDS, (words[-1] + 1) * recorded.WORD_SECONDS
                assert (first + begin, first + end) == pytest.approx(true, abs=1e-3), "times are the clip's own"


@pytest.mark.parametrize("told", TOLD, ids=" ".join)
@pytest.mark.parametrize("seed", [0, 1])
def test_words_are_said_while_their_clip_is_shown(told, seed, monkeypatch):
    run = recorded.run(*told)
    check_words(run, recorded.source(monkeypatch, run), seed)


@pytest.mark.parametrize("told", TOLD, ids=" ".join)
def test_the_law_sees_words_of_another_time(told, monkeypatch):
    run = recorded.run(*told)
    right = windows.heard
    monkeypatch.setattr(
        windows, "heard", lambda said, start, needs: right(said, (start + 4.0) % recorded.SECONDS, needs)
    )
    with pytest.raises(AssertionError, match="are not said while"):
        check_words(run, recorded.source(monkeypatch, run), 0)


def test_the_law_sees_times_that_are_not_the_clips(monkeypatch):
    run = recorded.run("tan")
    right = recorded.given
    monkeypatch.setattr(
        recorded, "given", lambda *told: {key: x + 0.5 * (key == "times") for key, x in right(*told).items()}
    )
    with pytest.raises(AssertionError, match="times are the clip's own"):
        check_words(run, recorded.source(monkeypatch, run), 0)


def overlap(run, made, seed):
    """Of the moments that either stream of a pair holds, those in both: share of the fewer."""
    both = [recorded.lit(run, made, seed, name)[0] for name in run.needs.streams]
    assert all(one.any() for one in both), "a stream never shows or sounds anything"
    return float((both[0] & both[1]).sum() / min(one.sum() for one in both))


@pytest.mark.parametrize("pair", STREAMS, ids=" ".join)
@pytest.mark.parametrize("seed", [0, 1])
def test_two_streams_of_a_pair_are_of_the_same_time(pair, seed, monkeypatch):
    run = recorded.run(*pair)
    assert overlap(run, recorded.source(monkeypatch, run), seed) >= 0.6


@pytest.mark.parametrize("pair", STREAMS, ids=" ".join)
def test_the_law_sees_a_stream_of_another_time(pair, monkeypatch):
    """What holds the second stream is half a second early: it shows another moment than the first one does."""
    run = recorded.run(*pair)
    assert overlap(run, recorded.source(monkeypatch, run, {STREAMS[pair]: -0.5}), 0) < 0.3


def test_all_shipped_pairs_of_streams_are_under_the_law():
    assert {name for name, *_ in STREAMS} == {name for name in shipped() if name.startswith("paired_contrast")}
