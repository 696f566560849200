"""Filters as pictures: the colors of a known convolution, what is drawn level, what training moved, on the page."""

from __future__ import annotations

import re

import numpy as np
import torch
from contract import tiny
from torch import nn

from avssl.report.clips import Budget
from avssl.report.filters import first, on_page, pictures, sheet, strongest
from avssl.train.build import Loaded

RED, GREEN, WHITE, GRAY = (255, 0, 0), (0, 255, 0), (255, 255, 255), (128, 128, 128)


def known():
    """Four filters of 2 x 2: level, weakly green, half black and half white, strongly red."""
    weights = torch.zeros(4, 3, 2, 2)
    weights[0] = 0.1
    weights[1, 1] = 0.5
    weights[2, :, 0] = 1.0
    weights[3, 0] = 7.0
    return weights


def test_a_known_convolution_has_its_known_colors():
    convolution = nn.Conv2d(3, 4, 2)
    with torch.no_grad():
        convolution.weight.copy_(known())
    found = first(nn.Sequential(nn.Identity(), convolution, nn.Conv2d(4, 2, 3)))
    assert torch.equal(found, known())
    assert strongest(found, 10).tolist() == [3, 2, 1, 0]
    assert strongest(found, 2).tolist() == [3, 2]
    drawn = sheet(found[strongest(found, 10)], across=3, side=6)  # squares of 6 pixels, 4 between them
    assert drawn.shape == (6 + 4 + 6, 3 * 6 + 2 * 4, 3)
    assert {tuple(pixel) for pixel in drawn[:6, :6].reshape(-1, 3)} == {RED}
    assert (drawn[:3, 10:16] == 255).all(), "white over black"
    assert (drawn[3:6, 10:16] == 0).all()
    assert {tuple(pixel) for pixel in drawn[:6, 20:26].reshape(-1, 3)} == {GREEN}
    assert {tuple(pixel) for pixel in drawn[10:, :6].reshape(-1, 3)} == {GRAY}, "no range to stretch: level"
    for gap in (drawn[:, 6:10], drawn[6:10], drawn[10:, 10:]):
        assert {tuple(pixel) for pixel in gap.reshape(-1, 3)} == {WHITE}


def test_each_filter_has_its_own_range_and_signs():
    low = pictures(torch.tensor([[-4.0, -3.0, -2.0]]).view(1, 3, 1, 1))
    assert low[0, 0, 0].tolist() == [0, 128, 255]
    assert np.array_equal(low, pictures(torch.tensor([[0.0, 0.001, 0.002]]).view(1, 3, 1, 1)))


def test_other_planes_stand_side_by_side_in_gray():
    weights = torch.arange(24.0).view(2, 6, 1, 2)
    drawn = pictures(weights)
    assert drawn.shape == (2, 1, 12, 3)
    assert (np.diff(drawn[0, 0, :, 0].astype(int)) > 0).all(), "plane after plane, over one range"
    lines = sheet(weights, across=8, side=8)
    assert lines.shape == (4, 2 * 6 * 8 + 4, 3), "two of six planes beside each other"
    assert (lines[:, 8] == 255).all(), "a line between planes"


def test_of_time_the_middle_is_shown_and_what_begins_otherwise_is_not():
    weights = first(nn.Sequential(over := nn.Conv3d(3, 2, (5, 4, 4))))
    assert torch.equal(weights, over.weight.detach()[:, :, 2])
    assert first(nn.Sequential(nn.Conv1d(1, 2, 10), nn.Conv2d(2, 2, 3))) is None
    assert first(nn.Linear(3, 3)) is None


def loaded(name, seed, *words):
    run = tiny.run(name, *words)
    return Loaded(run.cfg, run.method(seed).eval(), run.inputs, "0" * 64, None, 1)


def sizes(text):
    return [tuple(map(int, pair)) for pair in re.findall(r"\d+ filters of (\d+) x (\d+)", text)]


def test_the_page_shows_trained_untrained_and_what_lies_between():
    (part,) = on_page(loaded("simclr", 0), loaded("simclr", 1), Budget(10**7))
    assert part.count('src="data:image/png') == 3
    assert re.search(r"their difference, \d+% of the norm", part)
    assert "image: 16 filters of 5 x 5, in color" in part
    (part,) = on_page(loaded("simclr", 0), loaded("simclr", 0), Budget(10**7))
    assert part.count('src="data:image/png') == 1
    assert "training left them alone" in part
    (part,) = on_page(loaded("simclr", 0), None, Budget(10**7))
    assert re.findall("<b>(.*?)</b>", part) == ["trained"]
    (part,) = on_page(loaded("simclr", 0), loaded("simclr", 1), Budget(10))
    assert part.count("the page is full") == 3


def test_every_kind_of_encoder_has_its_sheet():
    (part,) = on_page(loaded("mae", 0), loaded("mae", 1), Budget(10**7))
    assert sizes(part) == [(8, 8)], "patches"
    (part,) = on_page(loaded("trimodal", 0), loaded("trimodal", 1), Budget(10**7))
    assert sizes(part) == [(5, 5), (5, 5)]
    assert "each of 6 planes" in part
    assert "in gray, time to the right, high bands above" in part
    assert "text" not in part


def test_sound_is_drawn_with_time_to_the_right_and_high_bands_above(monkeypatch):
    drawn = []
    monkeypatch.setattr("avssl.report.filters.sheet", lambda weights: drawn.append(weights) or sheet(weights))
    one, other = loaded("trimodal", 0), loaded("trimodal", 1)
    with torch.no_grad():
        weight = next(part for part in one.method.encoders["audio"].modules() if isinstance(part, nn.Conv2d)).weight
        weight.zero_()  # [K, 1, time, band]
        weight[:, 0, 4, 0] = 1.0  # late and low
    on_page(one, other, Budget(10**7))
    heard = next(weights for weights in drawn if weights.shape[1] == 1)
    assert heard[0, 0].nonzero().tolist() == [[4, 4]], "below on the right"
