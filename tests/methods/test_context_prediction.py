"""Context prediction: what a label means, in a hand-drawn picture; and which shortcuts its tricks close."""

from __future__ import annotations

import math

import pytest
import shortcut
import torch
from contract import tiny
from shortcut_readers import drawn, picture, share, texture
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


def dealt(pictures, count, *words, side=64):
    """Patches [N, 2, 3, p, p] and labels [N] of ``count`` pictures whose every pixel may be in a pair."""
    size = (f"inputs.height={side}", f"inputs.width={side}", "method.area=1.0", "method.pairs=8")
    batch = drawn("context_prediction", pictures, count, *size, *words)
    return batch["patches"].flatten(0, 1), batch["label"].flatten()


def test_edges_that_continue_are_a_shortcut_that_a_gap_closes():
    """Of the four straight neighbors, the one whose edge differs least where it would touch."""

    def right(*words):
        patches, label = dealt(lambda draw: picture(texture(draw, 64, 7)), 40, "method.jitter=0", *words)
        straight = torch.tensor([NAMES.index(name) for name in ("above", "left", "right", "below")])
        a, b = patches.sum(2).unbind(1)  # the planes that are not kept are faint
        edges = [(a[:, 0], b[:, -1]), (a[:, :, 0], b[:, :, -1]), (a[:, :, -1], b[:, :, 0]), (a[:, -1], b[:, 0])]
        nearest = straight[torch.stack([(p - q).var(1) for p, q in edges], 1).argmin(1)]
        return share((nearest == label)[(label[:, None] == straight).any(1)])

    assert right("method.gap=0") > 0.8, "the shortcut exists"
    assert right() < 0.4, "and is closed: chance is 1/4"


def grating(draw):
    """Waves of four pixels along both axes: a patch and its gap are 35 pixels, a quarter of a wave too few."""
    x, y = (torch.rand(2, 1, generator=draw) * 4 + torch.arange(64)) * math.pi / 2
    return picture(0.5 + 0.2 * x.cos() + 0.2 * y.cos()[:, None])


def test_the_phase_of_a_grating_is_a_shortcut_that_jitter_closes():
    def right(*words):
        patches, label = dealt(grating, 30, "method.coarse=0", *words)
        shown = patches.sum(2)
        assert shown.shape[-1] + round(0.5 * shown.shape[-1]) == 35
        wave = torch.polar(torch.ones(1), torch.arange(shown.shape[-1]) * -math.pi / 2)
        phases = torch.stack([(shown.mean(axis) + 0j) @ wave for axis in (3, 2)], 2)  # [N, 2, rows and columns]
        quarters = ((phases[:, 0] / phases[:, 1]).angle() / (math.pi / 2)).round()
        return share((quarters == torch.tensor(NEIGHBORS)[label]).all(1))

    assert right("method.jitter=0") > 0.9, "the shortcut exists"
    assert right() < 0.2, "and is closed: chance is 1/8"


STEEP = 0.006
"""by how much the logarithm of contrast grows with each pixel to the right; downwards it is three times as much"""


def deepening(draw):
    """Noise of two values that are farther apart the farther right and down."""
    place = torch.arange(96.0)
    strength = 0.02 * torch.exp(STEEP * (place + 3 * place[:, None]))
    return picture(0.5 + strength * (torch.randint(2, (96, 96), generator=draw) * 2 - 1))


def test_a_ramp_of_contrast_is_a_shortcut_that_equal_contrast_closes():
    """What the encoder is given has one contrast; what the transform gives has not."""
    words = ("inputs.height=96", "inputs.width=96", "method.area=1.0", "method.coarse=0")
    batch, given = drawn("context_prediction", deepening, 20, *words), []
    method = tiny.run("context_prediction").method()
    method.encoders["image"].register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    with torch.no_grad():
        method(batch)
    steps = torch.tensor([3 * down + right for down, right in NEIGHBORS])

    def right(patches):
        power = patches.square().mean((2, 3, 4)).log() / 2
        apart = (power[:, 1] - power[:, 0]) / (STEEP * 51)
        return share((apart[:, None] - steps).abs().argmin(1) == batch["label"].flatten())

    assert right(batch["patches"].flatten(0, 1)) > 0.9, "the shortcut exists"
    assert right(given[0].unflatten(0, (-1, 2)) - 0.5) < 0.25, "and is closed: chance is 1/8"


def test_a_preview_says_where_the_second_patch_is():
    run = tiny.run("context_prediction")
    transform = run.kind.transform(run.cfg.method, run.inputs)
    told = transform.words({"label": torch.tensor([0, 1, 4, 5])})["label"].splitlines()
    assert told[1:] == ["above left", "above", "right", "below left"]
