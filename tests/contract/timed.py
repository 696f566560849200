"""Made-up windows whose pictures and sound say when they are: for laws and tests about time."""

from __future__ import annotations

import dataclasses

import torch
from contract import tiny
from torch import Tensor

from avssl.sample import Needs, Sample

BANDS = 6


def flash(needs: Needs, moment: float | None) -> Sample:
    """Dark and silent, but at one moment (seconds; None: never) a picture is white and a noise is heard.

    Window n begins at n seconds; its sound is centred on it.
    """
    if needs.streams:
        one = flash(dataclasses.replace(needs, streams=()), moment)
        return dataclasses.replace(one, parts=tiny.as_streams(needs, one))
    starts = tuple(float(n) for n in range(needs.clips))
    parts: dict[str, object] = {}
    if needs.frames:
        times = torch.tensor(starts)[:, None] + torch.arange(needs.frames) / needs.fps  # [N, T]
        lit = torch.zeros_like(times, dtype=torch.bool)
        if moment is not None:
            lit = (times <= moment) & (moment < times + 1 / needs.fps)
        white = (lit * 255).to(torch.uint8)[..., None, None, None]
        parts["video"] = white.expand(-1, -1, 3, needs.height, needs.width).contiguous()
    if needs.audio_seconds:
        samples = round(needs.audio_seconds * needs.hz)
        begin = torch.tensor(starts)[:, None] + (needs.window_seconds - needs.audio_seconds) / 2
        times = begin + torch.arange(samples) / needs.hz  # [N, S]
        hiss = torch.rand(times.shape, generator=torch.Generator().manual_seed(0)) - 0.5
        near = torch.zeros_like(times) if moment is None else ((times - moment).abs() < 0.5 / needs.fps).float()
        parts["audio"] = hiss * near
    if needs.narrations:
        parts["text"] = tuple("the bell" for _ in range(needs.narrations))
    return Sample("flash", 0, starts, parts)


def numbered(needs: Needs) -> Sample:
    """One window: the bands of picture k are the digits of k in base 2, sample n of the sound is in proportion to n."""
    index = torch.arange(needs.frames)[:, None] >> torch.arange(BANDS)  # [T, BANDS]
    rows = (index & 1).repeat_interleave(-(-needs.height // BANDS), 1)[:, : needs.height]
    video = (rows * 255).to(torch.uint8)[:, None, :, None].expand(-1, 3, -1, needs.width)
    samples = round(needs.audio_seconds * needs.hz)
    return Sample(
        "n", 0, (0.0,), {"video": video[None].contiguous(), "audio": (torch.arange(samples) / samples)[None] / 4}
    )


def picture_number(video: Tensor) -> int:
    """The number of the first of the pictures [T, 3, H, W] of :func:`numbered`, moved and re-toned as they are."""
    height = -(-video.shape[-2] // BANDS)
    middles = video[0].float().mean((0, 2))[height // 2 :: height][:BANDS]
    return sum(int(middle > 128) << bit for bit, middle in enumerate(middles))


def sound_number(wave: Tensor) -> int:
    """The number of the first sample of a wave [S] of :func:`numbered`, however loud it was made."""
    slope = (wave[-1] - wave[0]).double() / (len(wave) - 1)
    return round(float(wave[0] / slope))


def flickering(needs: Needs, seed: int, follows: bool) -> Sample:
    """A light that flickers, and a noise as loud as it is bright, or one that flickers by itself."""
    draw = torch.Generator().manual_seed(seed)
    bright, own = torch.rand(2, needs.frames, generator=draw)
    samples = round(needs.audio_seconds * needs.hz)
    loud = (bright if follows else own).repeat_interleave(-(-samples // needs.frames))[:samples]
    wave = (torch.rand(samples, generator=draw) - 0.5) * loud
    video = (bright * 255).to(torch.uint8)[None, :, None, None, None].expand(-1, -1, 3, needs.height, needs.width)
    return Sample(str(seed), seed, (0.0,), {"video": video.contiguous(), "audio": wave[None]})
