"""Changes of sounds: waveforms [S], log-mel spectrograms [..., M, F]."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from avssl import ops
from avssl.views.draw import chance, integer, uniform

SILENCE = ops.MEL_SILENCE
"""what a hidden part of a log-mel spectrogram becomes: the value of silence (ops.log_mel)"""


def gain(wave: Tensor, generator: Generator, decibels: float = 6.0) -> Tensor:
    """Louder or softer by up to ``decibels``, clipped to -1..1; wave [..., S]."""
    return (wave * 10 ** (uniform(generator, -decibels, decibels) / 20)).clamp(-1, 1)


def late(wave: Tensor, generator: Generator, samples: int) -> Tensor:
    """Sooner or later by up to ``samples``, silence where nothing is known; wave [S]."""
    by = integer(generator, 2 * samples + 1) - samples
    kept = wave[max(0, -by) : len(wave) - max(0, by)]
    return torch.nn.functional.pad(kept, (max(0, by), max(0, -by)))


def speed(wave: Tensor, generator: Generator, most: float) -> Tensor:
    """Faster or slower by up to a factor of 1 + ``most``, its pitch with it; wave [S], silence after its end.

    Speed perturbation (Ko, Peddinti, Povey, Khudanpur: Audio Augmentation for Speech Recognition, Interspeech 2015).
    """
    return ops.at_speed(wave, (1 + most) ** uniform(generator, -1, 1))


def tone(wave: Tensor, generator: Generator, decibels: float, bands: int = 8) -> Tensor:
    """Frequencies louder or softer by up to ``decibels``, as another microphone or room has them; wave [S].

    Levels are drawn at ``bands`` points, evenly apart in octaves over seven of them, and lie on lines in between.
    """
    drawn = torch.tensor([uniform(generator, -decibels, decibels) for _ in range(bands)])
    size = len(wave) // 2 + 1
    place = (1 + torch.log2(torch.arange(1, size + 1) / size) / 7).clamp(0, 1) * (bands - 1)  # [size]
    below = place.long().clamp(max=bands - 2)
    level = drawn[below] + (place - below) * (drawn[below + 1] - drawn[below])
    changed: Tensor = torch.fft.irfft(torch.fft.rfft(wave) * 10 ** (level / 20), n=len(wave))
    return changed


def hiss(wave: Tensor, generator: Generator, probability: float, softest: float = 30.0, loudest: float = 5.0) -> Tensor:
    """White noise under a sound, ``loudest`` to ``softest`` decibels below it, with this probability; wave [S]."""
    if not chance(generator, probability):
        return wave
    below = uniform(generator, loudest, softest)
    white = torch.randn(wave.shape, generator=generator)
    return wave + white * wave.square().mean().sqrt() * 10 ** (-below / 20)


def hide(mel: Tensor, generator: Generator, times: float = 0.2, bands: float = 0.2) -> Tensor:
    """SpecAugment (Park et al., 2019) without warping: one stretch of time and one of bands become silence.

    Args:
        mel: [..., M, F] log-mel spectrogram; a wave [S], which has no bands, stays whole.
        generator: of all draws.
        times, bands: greatest hidden share of M and of F.
    """
    if mel.ndim == 1:
        return mel
    mel = mel.clone()
    for axis, share in ((-2, times), (-1, bands)):
        count = mel.shape[axis]
        length = integer(generator, int(share * count) + 1)
        start = integer(generator, count - length + 1)
        mel.narrow(axis, start, length).fill_(SILENCE)
    return mel


def noise(generator: Generator, samples: int, quietest: float = -50.0, loudest: float = -10.0) -> Tensor:
    """Gaussian noise [S] at a random level (dB of full scale), white to brown: a sound that nothing visible makes."""
    wave = torch.randn(samples, generator=generator)
    keep = uniform(generator, 0.0, 0.95)
    wave[1:] = wave[1:] + keep * wave[:-1]
    level = 10 ** (uniform(generator, quietest, loudest) / 20)
    return (wave * (level / wave.std())).clamp(-1, 1)
