"""SimCLR: the loss against two independent sources, and what its views must and must not do."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl import ops, views
from avssl.methods.image.simclr import CHANCES
from avssl.nn.contrast import nt_xent
from avssl.sample import Sample


def literal(first, second, temperature, recording=()):
    """Equation 1 of the paper, word for word, averaged over the 2B rows; others of one recording are no negatives."""
    z, owner = [*first.tolist(), *second.tolist()], 2 * (list(recording) or list(range(len(first))))
    half, total = len(first), 0.0

    def sim(a, b):
        norms = math.sqrt(sum(p * p for p in a)) * math.sqrt(sum(q * q for q in b))
        return sum(p * q for p, q in zip(a, b, strict=True)) / norms

    for i in range(2 * half):
        j = i + half if i < half else i - half
        others = [k for k in range(2 * half) if k == j or owner[k] != owner[i]]
        below = sum(math.exp(sim(z[i], z[k]) / temperature) for k in others)
        total += -math.log(math.exp(sim(z[i], z[j]) / temperature) / below)
    return total / (2 * half)


@pytest.mark.parametrize("batch", [2, 3, 9])
@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_the_loss_is_the_papers(batch, width, temperature):
    x = ops.unit(torch.randn(2, batch, width, generator=Generator().manual_seed(batch))).double()
    expected = literal(x[0], x[1], temperature)
    assert nt_xent(x[0], x[1], temperature).item() == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_the_loss_is_the_reference_librarys():
    """Computed once with lightly.

    grid = torch.arange(40, dtype=torch.float64).reshape(2, 5, 4)
    x = torch.nn.functional.normalize((grid * 1.7).sin(), dim=-1)
    NTXentLoss(temperature=t)(x[0], x[1])
    """
    grid = torch.arange(40, dtype=torch.float64).reshape(2, 5, 4)
    x = torch.nn.functional.normalize((grid * 1.7).sin(), dim=-1)
    assert nt_xent(x[0], x[1], 0.1).item() == pytest.approx(LIGHTLY_01, abs=1e-9)
    assert nt_xent(x[0], x[1], 0.5).item() == pytest.approx(LIGHTLY_05, abs=1e-9)


LIGHTLY_01, LIGHTLY_05 = 17.60457448168995, 4.4962012249292105


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_methods_loss_has_its_temperature_and_no_negatives_of_the_same_recording(temperature):
    run = tiny.run("simclr", f"method.temperature={temperature}")
    method, batch, given = run.method(), run.batch(), []
    method.head.register_forward_hook(lambda module, inputs, told: given.append(told.detach()))
    loss = method(batch).loss.item()
    recording = batch["recording"].tolist()
    assert recording[2] == recording[3]
    assert loss == pytest.approx(literal(*given[0].chunk(2), temperature, recording), rel=1e-4)


def test_a_collapsed_batch_costs_more_than_a_separated_one():
    apart = torch.eye(6)
    same = torch.ones(6, 6) / 6**0.5
    assert nt_xent(same, same, 0.5).item() == pytest.approx(math.log(11), abs=1e-5)
    assert nt_xent(apart, apart, 0.5) < nt_xent(same, same, 0.5) - 0.5


def test_negatives_are_pushed_away_and_the_positive_pulled():
    views = torch.eye(6).reshape(2, 3, 6).requires_grad_()  # six orthogonal vectors: two views of three pictures
    nt_xent(views[0], views[1], 0.5).backward()
    pull = -views.grad[0, 0]  # where the first view of picture 0 goes, in the basis of all six
    assert pull[3] > 0.1, "towards its other view"
    assert (pull[[1, 2, 4, 5]] < -0.1).all(), "away from all four negatives, those of the same view too"


def test_the_order_of_the_batch_does_not_matter():
    run = tiny.run("simclr")
    method, batch = run.method(), run.batch()
    order = torch.randperm(tiny.ITEMS, generator=Generator().manual_seed(1))
    mixed = {key: value[order] for key, value in batch.items()}
    torch.testing.assert_close(method(batch).loss, method(mixed).loss)


def test_another_segment_of_the_same_recording_is_no_negative():
    x = ops.unit(torch.randn(2, 4, 8, generator=Generator().manual_seed(2)))
    x[:, 2] = x[:, 1]  # two segments that look alike: the strongest negatives there could be
    apart, same = torch.arange(4), torch.tensor([0, 1, 1, 2])
    torch.testing.assert_close(nt_xent(x[0], x[1], 0.1, apart), nt_xent(x[0], x[1], 0.1))
    assert nt_xent(x[0], x[1], 0.1, same) < nt_xent(x[0], x[1], 0.1) - 0.1
    assert nt_xent(x[0], x[1], 0.1, torch.zeros(4)).item() == pytest.approx(0, abs=1e-6), "no negatives are left"


def test_views_differ_keep_the_size_and_stay_bytes():
    run = tiny.run("simclr", "method.blur=true")
    first, second = run.method().views.made(run.batch()).chunk(2)
    for view in (first, second):
        assert view.shape == (tiny.ITEMS, 3, 32, 32)
        assert view.dtype == torch.uint8
    assert not torch.equal(first, second)


def test_without_strength_views_are_crops_alone():
    run = tiny.run("simclr", "method.strength=0", "method.area=1.0")
    batch = run.batch()
    batch["picture"] = torch.full_like(batch["picture"], 90)
    assert (run.method().views.made(batch) == 90).all(), "a grey picture stays what it is"


@pytest.mark.parametrize("blur", [True, False])
def test_the_policy_is_that_of_the_other_methods_of_two_views(blur):
    run = tiny.run("simclr", f"method.blur={blur}")
    sample, cfg = tiny.sample(run.needs, 2), run.cfg.method
    own, shared = run.method().views, views.TwoViews(cfg.area, cfg.strength, (0.5 * blur, 0.5 * blur))
    dice = torch.rand(tiny.ITEMS, 2, shared.dice, generator=Generator().manual_seed(5))
    batch = {"picture": run.batch()["picture"], "dice": dice}
    assert torch.equal(own.made({**batch, "dice": dice[..., : own.dice]}), shared.made(batch))
    assert own(sample, Generator(), 0.0).keys() == shared(sample, Generator(), 0.0).keys()


def changed(name, x, chance=1.0, seed=0):
    """One change of a picture, with this probability."""
    alone = views.Views([(name, (chance,))], 0.3, 1.0, count=1)
    drawn = alone(Sample("made", 0, (0.0,), {"video": x[None, None]}), Generator().manual_seed(seed), 0.0)
    return alone.made({key: value[None] for key, value in drawn.items()})[0]


def test_each_of_the_nine_changes_does_what_its_name_says():
    x = torch.randint(0, 256, (3, 12, 12), dtype=torch.uint8, generator=Generator().manual_seed(4))
    assert len(CHANCES) == 9
    assert torch.equal(changed("flip", x), x.flip(2))
    gray = changed("gray", x)
    assert torch.equal(gray[0], gray[1])
    assert torch.equal(gray[0], gray[2])
    turned = {n: x.rot90(n, (1, 2)) for n in (1, 2, 3)}
    seen = {
        n for seed in range(30) for n, wanted in turned.items() if torch.equal(changed("rotate", x, seed=seed), wanted)
    }
    assert seen == {1, 2, 3}
    holes = [changed("cutout", x, seed=seed) != x for seed in range(20)]
    for hole in holes:
        rows, columns = hole.any(0).any(1).nonzero().flatten(), hole.any(0).any(0).nonzero().flatten()
        assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (6, 6), "half of each side"
    assert len({tuple(hole.any(0).nonzero()[0].tolist()) for hole in holes}) > 5
    plain = torch.full((3, 40, 40), 128, dtype=torch.uint8)
    noisy = [(changed("noise", plain, seed=seed).float() - 128) for seed in range(8)]
    assert all(n.mean().abs() < 4 and 0.02 * 255 - 1 < n.std() < 0.2 * 255 + 1 for n in noisy)
    for name in ("crop", "color", "blur"):
        assert not torch.equal(changed(name, x), x)
        assert changed(name, x).shape == x.shape


def test_sobel_leaves_edges_alone():
    """Of a step from 10 to 60, the four ones and twos of the mask add up to four times its height."""
    x = torch.full((3, 6, 8), 10, dtype=torch.uint8)
    x[:, :, 4:] = 60
    edges = changed("sobel", x)
    wanted = torch.zeros(6, 8, dtype=torch.uint8)
    wanted[:, 3:5] = 4 * 50
    assert all(torch.equal(plane, wanted) for plane in edges)
    assert torch.equal(changed("sobel", x.transpose(1, 2))[0], wanted.T)


@pytest.mark.parametrize("name", CHANCES)
def test_a_change_is_made_as_often_as_is_said_and_keeps_the_shape(name):
    x = torch.randint(0, 256, (3, 10, 14), dtype=torch.uint8, generator=Generator().manual_seed(4))
    made = [changed(name, x, CHANCES[name], seed) for seed in range(100)]
    assert all(one.shape == x.shape and one.dtype == torch.uint8 for one in made)
    share = sum(not torch.equal(one, x) for one in made) / len(made)
    assert share == pytest.approx(CHANCES[name], abs=0.15)


def test_one_sided_the_second_view_is_cropped_alone():
    run = tiny.run("simclr", "method.augment=[crop,sobel]", "method.one_sided=true", "method.area=0.5")
    sample = tiny.sample(run.needs, 2)
    show = run.kind.preview(run.cfg.method, run.inputs)
    made = [show(sample, Generator().manual_seed(seed), 0.0) for seed in range(12)]
    plain = [(one["second"][0] != one["second"][1]).any() for one in made]
    assert all(plain), "colours are there"
    assert not any(torch.equal(one["second"], one["picture"]) for one in made), "cropped"
    edges = [torch.equal(one["first"][0], one["first"][1]) for one in made]
    assert any(edges)
    assert False in edges
    with pytest.raises(ValueError, match=r"method\.augment"):
        tiny.run("simclr", "method.augment=[crop,shake]")


def test_the_sheet_shows_every_change_by_itself():
    run = tiny.run("simclr")
    shown = run.kind.preview(run.cfg.method, run.inputs)(tiny.sample(run.needs, 2), Generator().manual_seed(0), 0.0)
    assert list(shown) == ["picture", "first", "second", *CHANCES]
    assert all(not torch.equal(shown[name], shown["picture"]) for name in CHANCES)
