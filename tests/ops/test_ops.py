"""Pure tensor functions against slow literal versions, and at their edges."""

from __future__ import annotations

import cmath
import math

import pytest
import torch
from torch import Generator

from avssl import ops

HZ, MELS, HOP, WINDOW = 8000, 8, 0.01, 0.016


def literal_log_mel(wave, frames):
    """The same spectrogram, sample by sample: zero padding, Hann window, DFT, HTK mel triangles, log, scale."""
    hop, window = round(HOP * HZ), round(WINDOW * HZ)
    fft = 2 ** math.ceil(math.log2(window))
    padded = [0.0] * (fft // 2) + list(wave) + [0.0] * (fft // 2)
    low, high = (2595 * math.log10(1 + f / 700) for f in (30.0, HZ / 2))
    edges = [700 * (10 ** ((low + (high - low) * n / (MELS + 1)) / 2595) - 1) for n in range(MELS + 2)]
    rows = []
    for frame in range(frames):
        part = padded[frame * hop : frame * hop + fft]
        lead = (fft - window) // 2
        shape = [0.5 - 0.5 * math.cos(2 * math.pi * n / window) for n in range(window)]
        part = [x * (shape[n - lead] if 0 <= n - lead < window else 0.0) for n, x in enumerate(part)]
        power = []
        for k in range(fft // 2 + 1):
            power.append(abs(sum(x * cmath.exp(-2j * math.pi * k * n / fft) for n, x in enumerate(part))) ** 2)
        row = []
        for band in range(MELS):
            left, middle, right = edges[band : band + 3]
            total = 0.0
            for k, value in enumerate(power):
                f = k * (HZ / 2) / (fft // 2)
                total += value * max(0.0, min((f - left) / (middle - left), (right - f) / (right - middle)))
            row.append((math.log(total + 1e-6) - math.log(1e-6)) / 9 - 1)
        rows.append(row)
    return torch.tensor(rows)


@pytest.mark.parametrize("samples", [160, 400])
def test_log_mel_is_its_definition(samples):
    wave = torch.randn(samples, generator=Generator().manual_seed(samples)) * 0.2
    made = ops.log_mel(wave, HZ, MELS, HOP, WINDOW)
    assert made.shape == (samples // 80, MELS)
    torch.testing.assert_close(made, literal_log_mel(wave.tolist(), len(made)), atol=2e-4, rtol=1e-3)


def test_silence_is_the_lowest_value_and_padding_is_silence():
    silence = ops.log_mel(torch.zeros(4000), HZ, MELS, HOP, WINDOW)
    torch.testing.assert_close(silence, torch.full_like(silence, -1.0))
    wave = torch.randn(4000, generator=Generator().manual_seed(0)) * 0.3
    sound = ops.log_mel(wave, HZ, MELS, HOP, WINDOW)
    assert sound.min() >= -1
    padded = ops.log_mel(torch.nn.functional.pad(wave, (0, 4000)), HZ, MELS, HOP, WINDOW)
    torch.testing.assert_close(padded[:48], sound[:48])
    torch.testing.assert_close(padded[53:], torch.full_like(padded[53:], -1.0))


@pytest.mark.parametrize("seconds", [0.05, 0.5, 1.0, 1.234])
@pytest.mark.parametrize("hz", [8000, 16000, 22050])
def test_there_is_one_frame_per_hop(seconds, hz):
    wave = torch.zeros(2, 3, round(seconds * hz))
    assert ops.log_mel(wave, hz, 16, 0.01, 0.025).shape == (2, 3, round(wave.shape[-1] / round(0.01 * hz)), 16)


def test_a_later_sound_is_a_later_column_and_a_higher_one_a_higher_band():
    time = torch.arange(8000) / HZ
    late = torch.sin(2 * math.pi * 500 * time) * (time > 0.5)
    columns = ops.log_mel(late, HZ, MELS, HOP, WINDOW).amax(1)
    assert columns[:48].max() < -0.9
    assert columns[52:].min() > 0
    low, high = (
        ops.log_mel(torch.sin(2 * math.pi * f * time), HZ, MELS, HOP, WINDOW).mean(0).argmax() for f in (300, 2500)
    )
    assert low < high


def test_a_full_scale_tone_is_about_one():
    time = torch.arange(16000) / 16000
    level = ops.log_mel(torch.sin(2 * math.pi * 1000 * time), 16000, 64, 0.01, 0.025).max()
    assert 0.5 < level < 2.5


def test_rows_of_a_batch_are_alone():
    wave = torch.randn(3, 1600, generator=Generator().manual_seed(1))
    together = ops.log_mel(wave, HZ, MELS, HOP, WINDOW)
    torch.testing.assert_close(together[1], ops.log_mel(wave[1], HZ, MELS, HOP, WINDOW))


def test_unit_vectors_are_float32_and_zero_stays():
    x = torch.randn(4, 5).bfloat16()
    x[2] = 0
    made = ops.unit(x)
    assert made.dtype == torch.float32
    torch.testing.assert_close(made.norm(dim=1), torch.tensor([1.0, 1.0, 0.0, 1.0]))
    torch.testing.assert_close(ops.unit(x.float(), 0).norm(dim=0), torch.ones(5))


def test_pictures_are_about_minus_one_to_one():
    x = torch.tensor([0, 51, 255], dtype=torch.uint8)
    torch.testing.assert_close(ops.picture(x), torch.tensor([-1.0, -0.6, 1.0]))
    torch.testing.assert_close(ops.picture(x.float() / 255), torch.tensor([-1.0, -0.6, 1.0]))
    assert x.tolist() == [0, 51, 255], "the input is left alone"
    y = torch.tensor([0.5])
    ops.picture(y)
    assert y.item() == 0.5


@pytest.mark.parametrize("dim", [1, (1, 2)])
def test_soft_max_lies_between_the_mean_and_the_maximum(dim):
    x = torch.randn(2, 5, 6, generator=Generator().manual_seed(0))
    torch.testing.assert_close(ops.soft_max(x, 1e-3, dim), x.mean(dim), atol=1e-2, rtol=0)
    torch.testing.assert_close(ops.soft_max(x, 1e3, dim), x.amax(dim), atol=1e-2, rtol=0)
    between = ops.soft_max(x, 5.0, dim)
    assert (between > x.mean(dim)).all()
    assert (between < x.amax(dim)).all()
    torch.testing.assert_close(ops.soft_max(torch.full((2, 5, 6), 0.3), 5.0, dim), torch.full_like(between, 0.3))


@pytest.mark.parametrize("speed", [0.5, 0.85, 1.15, 2.0])
def test_a_faster_sound_is_higher_and_ends_sooner(speed):
    """A tone of two thirds of the window: its pitch and its end, by hand."""
    hz, seconds, pitch = 8000, 0.6, 440.0
    time = torch.arange(round(seconds * hz)) / hz
    wave = torch.sin(2 * torch.pi * pitch * time) * (time < 0.4)
    found = ops.at_speed(wave, speed)
    assert found.shape == wave.shape
    heard = torch.fft.rfft(found, n=hz).abs()  # a bin is a Hz
    assert abs(int(heard.argmax()) - pitch * speed) <= 2
    last = int(found.abs().gt(0.05).nonzero().max()) / hz
    assert last == pytest.approx(min(0.4 / speed, seconds), abs=0.005)
    both = torch.stack([wave, wave.flip(0)])
    assert torch.equal(ops.at_speed(both, speed), torch.stack([ops.at_speed(one, speed) for one in both]))


def test_a_sound_at_its_own_speed_is_itself():
    wave = torch.randn(3, 1000)
    assert torch.equal(ops.at_speed(wave, 1.0), wave)
