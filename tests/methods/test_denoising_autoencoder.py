"""Denoising: each noise does what it says, the target is clean, and without noise an autoencoder learns to copy."""

from __future__ import annotations

import math

import pytest
import shortcut
import torch
from contract import tiny
from torch import Generator, nn

from avssl.encoders import Features
from avssl.methods.image.denoising_autoencoder import corrupt


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.4, 1.0])
def test_masking_blackens_a_share_of_the_pixels(amount):
    x = torch.full((3, 100, 100), 0.5)
    made = corrupt(x, "masking", amount, Generator().manual_seed(0))
    black = (made == 0).all(0)
    assert ((made == 0).any(0) == black).all(), "all colours of a pixel"
    assert (made[:, ~black] == 0.5).all()
    assert black.float().mean().item() == pytest.approx(amount, abs=0.02)


def test_salt_and_pepper_are_white_and_black_in_equal_parts():
    made = corrupt(torch.full((3, 100, 100), 0.5), "salt_pepper", 0.3, Generator().manual_seed(0))
    assert made[0].eq(0).float().mean().item() == pytest.approx(0.15, abs=0.02)
    assert made[0].eq(1).float().mean().item() == pytest.approx(0.15, abs=0.02)
    assert torch.equal(made[0], made[2])


def test_gaussian_noise_has_the_deviation_told_in_each_color():
    x = torch.rand(3, 100, 100)
    added = corrupt(x, "gaussian", 0.2, Generator().manual_seed(0)) - x
    assert added.std().item() == pytest.approx(0.2, abs=0.01)
    assert abs(added.mean().item()) < 0.01
    assert abs(torch.corrcoef(added.flatten(1))[0, 1].item()) < 0.05


@pytest.mark.parametrize("noise", ["masking", "gaussian", "salt_pepper"])
def test_noise_is_drawn_from_the_generator_that_is_given_and_from_no_other(noise):
    x = torch.full((3, 32, 32), 0.5)

    def made(seed, elsewhere):
        torch.manual_seed(elsewhere)
        return corrupt(x, noise, 0.3, Generator().manual_seed(seed))

    assert torch.equal(made(1, elsewhere=0), made(1, elsewhere=7))
    assert not torch.equal(made(1, elsewhere=0), made(2, elsewhere=0))


class Told(nn.Module):
    """A decoder that gives known logits."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, x):
        return self.logits


@pytest.mark.parametrize(("kind", "reference"), [("cross_entropy", 0.774077), ("squared", 0.049488)])
@pytest.mark.parametrize("size", [(1, 16, 16), (3, 17, 20)])
def test_the_loss_is_against_the_clean_picture(kind, reference, size):
    """The references are sklearn's log_loss([1] * 2 + [0] * 3, [s] * 5) and mean_squared_error([.4], [s]) with the
    sigmoid s of 0.5: the loss of logits 0.5 for a picture of 0.4 everywhere.
    """
    run = tiny.run("denoising_autoencoder", f"method.loss={kind}")
    method = run.method()
    count, height, width = size
    logits = torch.randn(count, 3, height, width)
    method.decoder = Told(logits)
    clean = torch.randint(256, (count, 3, height, width), dtype=torch.uint8)
    step = method({"clean": clean, "noisy": torch.rand(count, 3, height, width)})
    total = 0.0
    for z, x in zip(logits.flatten().tolist(), (clean.flatten() / 255).tolist(), strict=True):
        s = 1 / (1 + math.exp(-z))
        total += -(x * math.log(s) + (1 - x) * math.log(1 - s)) if kind == "cross_entropy" else (s - x) ** 2
    assert step.loss.item() == pytest.approx(total / clean.numel(), rel=1e-5)
    method.decoder = Told(torch.full((count, 3, height, width), 0.5))
    same = method({"clean": torch.full_like(clean, 102), "noisy": torch.rand(count, 3, height, width)})
    assert same.loss.item() == pytest.approx(reference, abs=1e-5)


class Wide(nn.Module):
    """A layer with more features than there are values: it could copy."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 48, 5, padding=2)

    def forward(self, x):
        maps = self.layer(x.float() / 255 if x.dtype == torch.uint8 else x).relu()
        return Features(maps.mean((2, 3)), (maps,))


def blocks(draw):
    """Blocks of two by two pixels, each of any colour."""
    color = torch.randint(256, (3, 16, 16), generator=draw)
    return color.repeat_interleave(2, 1).repeat_interleave(2, 2).to(torch.uint8)


def test_without_noise_it_learns_to_copy_and_cannot_denoise():
    """Trained with noise or without, both are given noise: only the first is better than what it was given."""
    words = ("method.loss=squared", "method.area=1.0", "method.noise=salt_pepper")
    noisy = shortcut.batch_of(
        tiny.run("denoising_autoencoder", *words, "method.amount=0.3"), blocks, 40, Generator().manual_seed(9)
    )

    def gain(amount):
        run = tiny.run("denoising_autoencoder", *words, f"method.amount={amount}")
        method, draw = run.method(), Generator().manual_seed(0)
        method.encoders["image"], method.decoder = Wide(), nn.Conv2d(48, 3, 1)
        batches = (shortcut.batch_of(run, blocks, 4, draw) for _ in range(60))
        tiny.steps(method, batches, tiny.optimizers(method, 2e-2))
        with torch.no_grad():
            metrics = method(noisy).metrics
        return (metrics["psnr"] - metrics["psnr_noisy"]).item()

    assert gain(0.3) > 4
    assert gain(0.0) < 3


def test_shows_what_it_makes_of_a_batch():
    run = tiny.run("denoising_autoencoder")
    shown = run.method().eval().show(run.batch())["denoised"]
    assert shown.shape == (8, 3, 32, 32)
    assert 0 <= shown.min() < shown.max() <= 1
