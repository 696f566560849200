"""Context prediction: what a label means, in a hand-drawn picture; gap and jitter; fading colours give nothing away."""

from __future__ import annotations

import math

import pytest
import shortcut
import torch
from contract import tiny
from torch import Generator

from avssl.methods.image.context_prediction import NEIGHBORS

PLAIN = ("method.area=1.0", "method.coarse=0", "method.color=keep")


def pairs(picture, seeds, *words):
    run = tiny.run("context_prediction", *words)
    transform = run.kind.transform(run.cfg.method, run.inputs)
    for seed in range(seeds):
        yield transform(shortcut.item(picture), Generator().manual_seed(seed), 0.0)


NAMES = ("above left", "above", "above right", "left", "right", "below left", "below", "below right")
"""of the neighbors, row by row"""


@pytest.mark.parametrize(("gap", "jitter"), [(0.5, 0.0), (0.5, 0.2), (0.0, 0.0), (0.25, 0.1)])
def test_the_second_patch_is_where_its_label_says(gap, jitter):
    """Pixels hold their place: red the row, green the column. The middle patch is not always the first."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    picture = torch.stack([rows, columns, torch.zeros(64, 64)]).to(torch.uint8) * 2
    side, seen, firsts = 20, set(), set()
    words = ("inputs.height=64", "inputs.width=64", "method.patch=0.32", f"method.gap={gap}", f"method.jitter={jitter}")
    for out in pairs(picture, 25, *PLAIN, *words):
        assert out["patches"].shape == (4, 2, 3, side, side)
        for (first, second), label in zip(out["patches"], out["label"].tolist(), strict=True):
            # patches lack their mean, so places are told by differences of rows and columns in each colour
            place = [(patch * 255).double() for patch in (first, second)]
            a, b = (row_mean(patch) for patch in place)
            told = NAMES[label]
            way = (("below" in told) - ("above" in told), ("right" in told) - ("left" in told))
            assert tuple(round((k - j) / 2 / (side + gap * side)) for j, k in zip(a, b, strict=True)) == way, told
            seen.add(label)
            firsts.add(a)
            for patch in place:
                assert (patch[0, 1:] - patch[0, :-1]).round().unique().tolist() == [2], "whole pixels, upright"
    assert seen == set(range(8))
    assert len(firsts) > 5, "the first patch is anywhere"


def row_mean(patch):
    """Differences between the planes' levels, which survive the removal of the mean over all planes."""
    return (round(float(patch[0].mean() - patch[2].mean()), 3), round(float(patch[1].mean() - patch[2].mean()), 3))


@pytest.mark.parametrize(("gap", "jitter"), [(0.5, 0.0), (0.5, 0.2), (0.0, 0.0), (0.25, 0.1)])
def test_gap_and_jitter_are_as_told(gap, jitter):
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    picture = torch.stack([rows, columns, torch.zeros(64, 64)]).to(torch.uint8) * 2
    words = ("inputs.height=64", "inputs.width=64", "method.patch=0.32", f"method.gap={gap}", f"method.jitter={jitter}")
    step, most = 20 + round(20 * gap), 2 * round(20 * jitter)
    off = set()
    for out in pairs(picture, 40, *PLAIN, *words):
        for (first, second), label in zip(out["patches"], out["label"].tolist(), strict=True):
            a, b = row_mean(first * 255), row_mean(second * 255)
            for axis in range(2):
                apart = (b[axis] - a[axis]) / 2 - NEIGHBORS[label][axis] * step
                assert abs(apart) <= most + 1e-3
                off.add(round(apart))
    assert off == set(range(-most, most + 1)), "every jitter is drawn, of both patches"


def test_one_plane_is_kept_and_the_others_are_faint_noise():
    picture = torch.randint(256, (3, 64, 64), dtype=torch.uint8)
    kept = set()
    for out in pairs(picture, 10, "method.coarse=0"):
        power = out["patches"].flatten(0, 1).flatten(2).std(2)  # [K 2, 3]
        assert ((power > 0.05).sum(1) == 1).all()
        assert (power.sort(1).values[:, :2] < 0.002).all()
        assert out["patches"].flatten(0, 1).flatten(2).mean(2).abs().max() < 1e-3
        kept.update(power.argmax(1).tolist())
    assert kept == {0, 1, 2}


def test_coarse_patches_have_no_fine_detail():
    picture = torch.randint(256, (3, 96, 96), dtype=torch.uint8)
    words = ("inputs.height=96", "inputs.width=96", "method.patch=0.36", "method.area=1.0")

    def detail(share):
        outs = list(pairs(picture, 10, *words, "method.color=keep", f"method.coarse={share}"))
        patches = torch.cat([out["patches"].flatten(0, 1) for out in outs])
        return (patches[..., 1:] - patches[..., :-1]).flatten(1).std(1)

    assert detail(0.0).min() > 0.2
    assert detail(1.0).median() < 0.2
    some = (detail(1 / 3) < 0.2).float().mean()
    assert 0.1 < some < 0.5


def literal(logits, label):
    """Mean of -log softmax, one row at a time."""
    rows = zip(logits.tolist(), label.tolist(), strict=True)
    return sum(-math.log(math.exp(row[k]) / sum(math.exp(z) for z in row)) for row, k in rows) / len(logits)


def test_the_loss_is_cross_entropy_of_the_neighbor():
    """For these logits sklearn's log_loss([5, 2], softmax(logits), labels=range(8)) gives 1.477028."""
    method = tiny.run("context_prediction").method()
    logits = torch.tensor([[0.0, 1, 0, 0, 0, 2, 0, 0], [0.5, 0.5, 0.25, 0, 0, 0, 0, 1]])
    method.head.forward = lambda x: logits
    batch = {"patches": torch.randn(1, 2, 2, 3, 12, 12), "label": torch.tensor([[5, 2]])}
    loss = method(batch).loss.item()
    assert loss == pytest.approx(literal(logits, torch.tensor([5, 2])), abs=1e-6)
    assert loss == pytest.approx(1.477028, abs=1e-5)


def ramps(draw):
    """Redder to the right, greener to the bottom, and noise: colors tell where in the picture a patch was."""
    across = torch.linspace(20, 180, 48)
    ramp = torch.stack([across.expand(48, 48), across[:, None].expand(48, 48), torch.full((48, 48), 100.0)])
    return (ramp + 60 * torch.rand(3, 48, 48, generator=draw)).to(torch.uint8)


def test_a_color_ramp_is_a_shortcut_that_one_plane_closes():
    words = ("inputs.height=48", "inputs.width=48", "method.area=1.0", "method.coarse=0", "method.pairs=12")

    def accuracy(color):
        return shortcut.metric(
            "context_prediction", "accuracy", ramps, *words, f"method.color={color}", steps=40, size=8, count=30
        )

    assert accuracy("keep") > 0.35, "the shortcut exists: chance is 1/8"
    assert accuracy("drop") < 0.2, "and is closed"


def test_a_preview_says_where_the_second_patch_is():
    run = tiny.run("context_prediction")
    transform = run.kind.transform(run.cfg.method, run.inputs)
    told = transform.words({"label": torch.tensor([0, 1, 4, 5])})["label"].splitlines()
    assert told[1:] == ["above left", "above", "right", "below left"]
