"""Speed perturbation: a tone's pitch moves with its speed, and nothing is made up after the end."""

import numpy as np
import torch

from avssl import views

HZ = 8000


def pitch(wave):
    """Of the loudest frequency, in hertz."""
    return float(np.abs(np.fft.rfft(wave.numpy() * np.hanning(len(wave)))).argmax() * HZ / len(wave))


def test_a_tone_is_higher_or_deeper_within_the_bounds():
    tone = torch.sin(2 * torch.pi * 500 * torch.arange(HZ) / HZ)
    found = [pitch(views.speed(tone, torch.Generator().manual_seed(seed), 0.25)[: HZ // 2]) for seed in range(40)]
    assert 500 / 1.25 - 3 <= min(found) < 430
    assert 580 < max(found) <= 500 * 1.25 + 3


def test_literal_interpolation_and_silence_after_the_end():
    wave = torch.rand(50)
    for seed in range(6):
        made = views.speed(wave, torch.Generator().manual_seed(seed), 0.5)
        factor = 1.5 ** views.uniform(torch.Generator().manual_seed(seed), -1, 1)
        known = [*wave.tolist(), *[0.0] * 60]
        for place in range(50):
            at = place * factor
            low = int(at)
            assert abs(float(made[place]) - (known[low] + (at - low) * (known[low + 1] - known[low]))) < 1e-4
    assert torch.equal(views.speed(wave, torch.Generator().manual_seed(0), 0.0), wave)


def test_tone_changes_each_frequency_within_its_bounds_and_smoothly():
    wave = torch.randn(4000, generator=torch.Generator().manual_seed(1))
    gains = []
    for seed in range(20):
        made = views.tone(wave, torch.Generator().manual_seed(seed), 12.0)
        gains.append(20 * np.log10(np.abs(np.fft.rfft(made.numpy()) / np.fft.rfft(wave.numpy()))))
    level = np.stack(gains)[:, 1:-1]
    assert np.abs(level).max() < 12.05
    assert level.max() > 8
    assert level.min() < -8
    assert np.abs(np.diff(level[:, 60:], axis=1)).max() < 1.0
    torch.testing.assert_close(views.tone(wave, torch.Generator().manual_seed(0), 0.0), wave, atol=1e-5, rtol=1e-4)


def test_hiss_is_as_far_below_the_sound_as_asked():
    wave = 0.3 * torch.sin(torch.arange(HZ) * 0.3)
    far = []
    for seed in range(60):
        added = views.hiss(wave, torch.Generator().manual_seed(seed), 0.5) - wave
        if added.any():
            far.append(float(20 * torch.log10(wave.square().mean().sqrt() / added.square().mean().sqrt())))
    assert 15 < len(far) < 45, "half of them"
    assert min(far) > 4.5
    assert max(far) < 30.5
    assert max(far) - min(far) > 15
    assert torch.equal(views.hiss(wave, torch.Generator().manual_seed(0), 0.0), wave)
    silence = torch.zeros(HZ)
    assert torch.equal(views.hiss(silence, torch.Generator().manual_seed(0), 1.0), silence)
