"""Worse pictures and sounds: functions of their place, ever worse, and never fitted on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contract import tiny
from probe.labeled import colored, split, study

from avssl.probe import corrupted, linear
from avssl.probe.decoded import Decoded


@pytest.fixture(scope="module")
def data():
    made = split(40, 4)
    smooth = np.linspace(40, 210, 32)[None, None, None, :].repeat(32, 2).repeat(3, 1).repeat(40, 0).astype(np.uint8)
    smooth[:, :, 8:24, 8:24] = 255 - smooth[:, :, 8:24, 8:24]
    return Decoded("image", smooth, np.arange(len(made)), tiny.run("simclr").inputs)


@pytest.mark.parametrize("name", ["noise", "blur", "contrast"])
def test_each_step_of_severity_is_further_from_the_picture(data, name):
    clean = data.batch(slice(None)).float()
    worse = (corrupted.worse(data, f"{name} {k}").batch(slice(None)).float() for k in range(1, 6))
    apart = [float((x - clean).abs().mean()) for x in worse]
    assert apart == sorted(apart)
    assert 0.5 < apart[0] < 0.9 * apart[-1]


@pytest.mark.parametrize("name", ["noise", "blur", "contrast"])
def test_a_window_is_made_worse_alike_wherever_it_stands_in_a_batch(data, name):
    one = corrupted.worse(data, f"{name} 3", seed=2)
    whole = one.batch(slice(None))
    assert torch.equal(whole[5:9], one.batch(slice(5, 9)))
    assert torch.equal(whole[[7, 3]], one.batch(np.array([7, 3])))
    assert whole.dtype == torch.uint8
    if name == "noise":
        assert not torch.equal(whole[0], whole[1]), "each window has noise of its own"
        assert not torch.equal(whole, corrupted.worse(data, "noise 3", seed=1).batch(slice(None)))


def test_contrast_shrinks_around_the_mean(data):
    told = corrupted.worse(data, "contrast 2").batch(slice(0, 1)).float()
    x = data.batch(slice(0, 1)).float()
    torch.testing.assert_close(told, x.mean() + 0.7 * (x - x.mean()), atol=0.51, rtol=0)


@pytest.mark.parametrize("severity", [1, 5])
def test_hiss_has_the_level_that_is_said(severity):
    wave = np.sin(np.arange(16000) / 10).astype(np.float32)[None] * 0.1
    sound = Decoded("audio", wave, np.arange(1), tiny.run("trimodal").inputs)
    added = corrupted.worse(sound, f"noise {severity}").windows(slice(None)) - sound.windows(slice(None))
    decibels = 20 * torch.log10(added.square().mean().sqrt() / torch.from_numpy(wave).square().mean().sqrt())
    assert decibels.item() == pytest.approx(6 * severity - 30, abs=0.3)


def test_what_there_is_not_is_told(data):
    for under in ("fog 1", "noise 9", "noise", "noise three"):
        with pytest.raises(ValueError, match="noise, blur, contrast, severity 1 to 5"):
            corrupted.worse(data, under)


@pytest.mark.parametrize("order", [("", "contrast 5"), ("contrast 5", "")])
def test_only_what_is_judged_is_worse(monkeypatch, order):
    """Also where the question about worse pictures comes first, and its fit is used again for clean ones."""
    data = split(60, 3)
    one = study(data, colored(data))
    fits, fit = [], linear.fit
    monkeypatch.setitem(corrupted._PICTURES, "contrast", lambda x, severity, draw: torch.full_like(x, 120))
    monkeypatch.setattr(linear, "fit", lambda *given: fits.append(given[0]) or fit(*given))
    rows = {under: linear.evaluate(one, {"probe": "linear", "fraction": 1.0, "under": under})[0] for under in order}
    clean, worse = rows[""], rows["contrast 5"]
    assert len(fits) == 3, "trained, untrained, raw: fitted once, on clean examples"
    for x, expected in zip(fits, (one.vectors("trained"), one.vectors("untrained"), one.raw()[1]), strict=True):
        np.testing.assert_array_equal(x, expected)
    assert worse["chosen"] == clean["chosen"]
    assert worse["under"] == "contrast 5"
    assert clean["beside"]["raw pixels"]["accuracy"] > 0.9
    assert worse["accuracy"] == worse["beside"]["raw pixels"]["accuracy"] == pytest.approx(1 / 3), "one answer for all"
