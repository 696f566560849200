"""Augmentations: functions of their generator, one view for all frames of a clip, and the ranges they promise."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from avssl import views


def generator(seed=0):
    return Generator().manual_seed(seed)


def clip(frames=3, height=24, width=32):
    """Every frame is the same picture."""
    one = torch.randint(256, (1, 3, height, width), generator=generator(9), dtype=torch.uint8)
    return one.expand(frames, -1, -1, -1).contiguous()


PICTURES = {
    "crop": lambda x, g: views.crop(x, g, (0.2, 0.8)),
    "flip": views.flip,
    "color": views.color,
    "gray": lambda x, g: views.gray(x, g, 0.5),
    "shift": lambda x, g: views.shift(x, g, 0.2),
    "contrast": views.contrast,
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_stay_bytes_of_their_size_and_frames_agree(name):
    for seed in range(8):
        made = PICTURES[name](clip(), generator(seed))
        assert made.shape == (3, 3, 24, 32)
        assert made.dtype == torch.uint8
        assert torch.equal(made[0], made[1])
        assert torch.equal(made[0], made[2])


@pytest.mark.parametrize("name", PICTURES)
def test_a_view_is_a_function_of_its_generator(name):
    x = clip()
    before = x.clone()
    state = torch.get_rng_state()
    made = [PICTURES[name](x, generator(seed)) for seed in range(12)]
    again = [PICTURES[name](x, generator(seed)) for seed in range(12)]
    assert all(torch.equal(a, b) for a, b in zip(made, again, strict=True))
    assert any(not torch.equal(made[0], other) for other in made), "it draws nothing"
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, before), "the input is left alone"


def test_crops_have_the_area_they_promise():
    """On a picture whose values are its coordinates, a crop's spread tells its size."""
    rows = torch.arange(0, 250, 2).view(-1, 1).expand(125, 125)
    x = torch.stack([rows, rows.T, rows * 0]).to(torch.uint8)
    shares = []
    for seed in range(60):
        made = views.crop(x, generator(seed), (0.3, 0.6)).float()
        height = (made[0].amax() - made[0].amin()) / 2 + 1
        width = (made[1].amax() - made[1].amin()) / 2 + 1
        shares.append(float(height * width) / 125**2)
        assert 0.7 < float(width / height) < 1.43
    assert min(shares) > 0.26
    assert max(shares) < 0.66
    assert max(shares) - min(shares) > 0.15


def test_a_crop_of_the_whole_is_the_whole_and_the_size_can_be_told():
    x = clip(1)
    assert torch.equal(views.crop(x, generator(), (1.0, 1.0), ratio=(32 / 24, 32 / 24)), x)
    assert views.crop(x, generator(), (0.5, 0.5), size=(10, 12)).shape == (1, 3, 10, 12)


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (1, 1)])
def test_crops_that_never_fit_are_the_whole(shape):
    x = torch.zeros(3, *shape, dtype=torch.uint8)
    for seed in range(5):
        assert views.crop(x, generator(seed), (1.0, 1.0), ratio=(1.0, 1.0)).shape == (3, *shape)


def test_chances_are_what_they_say():
    draw = generator(1)
    assert 0.25 < sum(views.chance(draw, 0.3) for _ in range(1000)) / 1000 < 0.35
    assert not any(views.chance(draw, 0.0) for _ in range(100))
    assert all(views.chance(draw, 1.0) for _ in range(100))
    assert {views.integer(draw, 3) for _ in range(50)} == {0, 1, 2}
    numbers = [views.uniform(draw, -2, 5) for _ in range(1000)]
    assert -2 <= min(numbers) < -1.8
    assert 4.8 < max(numbers) <= 5


def test_gray_has_three_equal_planes_and_flip_mirrors():
    x = clip(1)
    made = views.gray(x, generator(), 1.0)
    assert torch.equal(made[:, 0], made[:, 1])
    assert torch.equal(made[:, 0], made[:, 2])
    assert torch.equal(views.flip(x, generator(), 1.0), x.flip(-1))
    assert torch.equal(views.flip(x, generator(), 0.0), x)


def test_colors_without_strength_change_nothing_but_rounding():
    x = clip(1)
    assert (views.color(x, generator(), 0.0, 1.0).int() - x.int()).abs().max() <= 2


def test_gain_is_within_its_decibels_and_never_clips_over():
    wave = torch.sin(torch.arange(400) * 0.1) * 0.3
    ratios = [float(views.gain(wave, generator(seed), 6.0).norm() / wave.norm()) for seed in range(60)]
    assert 10 ** (-6 / 20) - 1e-4 <= min(ratios) < 0.65
    assert 1.6 < max(ratios) <= 10 ** (6 / 20) + 1e-4
    assert views.gain(wave * 3, generator(3), 20.0).abs().max() <= 1


def test_hidden_parts_are_silence_and_within_their_share():
    mel = torch.rand(50, 20, generator=generator(5))
    before, shares = mel.clone(), []
    for seed in range(40):
        made = views.hide(mel, generator(seed), 0.2, 0.25)
        hidden = made == views.SILENCE
        times, bands = hidden.all(1), hidden.all(0)
        assert torch.equal(hidden, times[:, None] | bands), "whole columns and whole bands"
        assert times.sum() <= 10
        assert bands.sum() <= 5
        for line in (times, bands):
            assert int(line.int().diff().abs().sum()) <= 2, "one stretch"
        assert torch.equal(made[~hidden], mel[~hidden])
        shares.append(float(hidden.float().mean()))
    assert torch.equal(mel, before)
    assert max(shares) > 0.2
    assert min(shares) < 0.1


def test_hiding_nothing_changes_nothing():
    mel = torch.rand(50, 20)
    assert torch.equal(views.hide(mel, generator(), 0.0, 0.0), mel)


def test_noise_has_its_level_and_is_heard_by_no_one_twice():
    levels = []
    for seed in range(40):
        wave = views.noise(generator(seed), 4000, -40.0, -20.0)
        assert wave.shape == (4000,)
        assert wave.abs().max() <= 1
        levels.append(20 * torch.log10(wave.std()).item())
    assert -40.5 < min(levels) < -35
    assert -25 < max(levels) < -19.5
    assert not torch.equal(views.noise(generator(0), 100), views.noise(generator(1), 100))


def test_late_moves_a_sound_and_fills_with_silence():
    wave = torch.arange(1.0, 11.0)
    seen = {tuple(views.late(wave, generator(seed), 2).tolist()) for seed in range(60)}
    shifted = {
        0: wave.tolist(),
        1: [0, *range(1, 10)],
        2: [0, 0, *range(1, 9)],
        -1: [*range(2, 11), 0],
        -2: [*range(3, 11), 0, 0],
    }
    assert seen == {tuple(map(float, values)) for values in shifted.values()}
