"""Rotation: what a label means, in hand-drawn pictures; exact turns; and that nothing but a picture's up tells them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shortcut
import torch
from contract import tiny
from torch import Generator

from avssl.methods.image.rotation import turned


def drawn(side=32):
    """A bright bar on top, darker towards the left; nothing else."""
    picture = torch.zeros(3, side, side, dtype=torch.uint8)
    picture[:, : side // 4] = torch.linspace(100, 250, side).to(torch.uint8)
    return picture


def sides(x):
    """Name of the brightest side of [3, S, S]."""
    quarter = x.shape[-1] // 4
    x = x.float()
    means = {
        "top": x[:, :quarter].mean(),
        "left": x[:, :, :quarter].mean(),
        "bottom": x[:, -quarter:].mean(),
        "right": x[:, :, -quarter:].mean(),
    }
    return max(means, key=means.get)


def test_the_label_counts_quarter_turns_against_the_clock():
    run = tiny.run("rotation", "method.area=1.0")
    transform = run.kind.transform(run.cfg.method, run.inputs)
    mirrored = set()
    for seed in range(8):
        out = transform(shortcut.item(drawn()), Generator().manual_seed(seed), 0.0)
        assert out["turned"].shape == (4, 3, 32, 32)
        assert out["label"].tolist() == [0, 1, 2, 3]
        assert [sides(x) for x in out["turned"]] == ["top", "left", "bottom", "right"], "mirrored or not"
        top = out["turned"][0, 0, 0].float()
        mirrored.add(bool(top[0] > top[-1]))
    assert mirrored == {True, False}


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("side", [1, 2, 5, 8])
def test_quarter_turns_are_those_of_numpy_and_of_the_definition(turn, side):
    x = torch.randint(256, (3, side, side), dtype=torch.uint8)
    found = turned(x, turn, 4)
    assert np.array_equal(found.numpy(), np.rot90(x.numpy(), turn, (1, 2)))
    literal = x
    for _ in range(turn):
        literal = torch.tensor(
            [[[int(p[r][side - 1 - c]) for r in range(side)] for c in range(side)] for p in literal.tolist()]
        )
    assert torch.equal(found.long(), literal.long())


def test_eight_turns_go_the_same_way():
    bars = [sides(turned(drawn(), k, 8)) for k in (0, 2, 4, 6)]
    assert bars == ["top", "left", "bottom", "right"]
    x = torch.zeros(3, 33, 33, dtype=torch.uint8)
    x[:, 4, 16] = 255  # straight up from the middle
    spot = turned(x, 1, 8)[0].float()
    row, column = divmod(int(spot.argmax()), 33)
    assert (row, column) == (16 - round(12 / math.sqrt(2)), 16 - round(12 / math.sqrt(2))), "up and to the left"


def test_one_copy_is_a_drawn_one_of_all():
    run = tiny.run("rotation", "method.copies=one", "method.area=1.0")
    transform = run.kind.transform(run.cfg.method, run.inputs)
    seen = set()
    for seed in range(20):
        out = transform(shortcut.item(drawn()), Generator().manual_seed(seed), 0.0)
        assert out["turned"].shape == (1, 3, 32, 32)
        seen.add(int(out["label"]))
        assert sides(out["turned"][0]) == ("top", "left", "bottom", "right")[int(out["label"])]
    assert seen == {0, 1, 2, 3}


def literal(logits, label):
    """Mean of -log softmax, one row at a time."""
    rows = zip(logits.tolist(), label.tolist(), strict=True)
    return sum(-math.log(math.exp(row[k]) / sum(math.exp(z) for z in row)) for row, k in rows) / len(logits)


def test_the_loss_is_cross_entropy_over_all_copies():
    """For these logits and labels 0, 1, 2, 3 sklearn gives 0.722008:

    log_loss([0, 1, 2, 3], scipy.special.softmax([[2, 0, -1, .5], [.5, .5, .5, .5], [1, 2, 3, 0], [0, 0, 1, 1.5]], 1))
    """
    method = tiny.run("rotation").method()
    logits = torch.tensor([[2.0, 0.0, -1.0, 0.5], [0.5, 0.5, 0.5, 0.5], [1.0, 2.0, 3.0, 0.0], [0.0, 0.0, 1.0, 1.5]])
    method.head.forward = lambda x: logits
    batch = {"turned": torch.zeros(1, 4, 3, 32, 32, dtype=torch.uint8), "label": torch.arange(4)[None]}
    step = method(batch)
    assert step.loss.item() == pytest.approx(literal(logits, torch.arange(4)), abs=1e-6)
    assert step.loss.item() == pytest.approx(0.722008, abs=1e-5)
    assert step.metrics["accuracy"] == 0.75


def noise(draw):
    """Every direction alike: no up."""
    return torch.randint(256, (3, 32, 32), dtype=torch.uint8, generator=draw)


def upright(draw):
    """Brighter towards the top."""
    return (noise(draw) / 2 + 100 * torch.linspace(1, 0, 32)[:, None]).to(torch.uint8)


def test_pictures_without_an_up_give_chance_unless_turns_are_interpolated():
    whole = ("method.area=1.0",)
    assert shortcut.metric("rotation", "accuracy", upright, *whole, steps=30, size=8, count=40) > 0.9, "it learns"
    assert shortcut.metric("rotation", "accuracy", noise, *whole, steps=30, size=8, count=40) < 0.35
    told = shortcut.metric("rotation", "accuracy", noise, *whole, "method.turns=8", steps=30, size=8, count=40)
    assert told > 0.2, "blur and corners tell odd eighths from even ones: twice the chance of 1/8"


def test_a_preview_says_the_angle():
    run = tiny.run("rotation", "method.turns=8")
    transform = run.kind.transform(run.cfg.method, run.inputs)
    assert transform.words({"label": torch.tensor([0, 3])})["label"] == "0°, 135° against the clock"
