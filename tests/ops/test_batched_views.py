"""Views made batch by batch: each change against torchvision's of one picture, and no picture touches another."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from torch import Generator
from torch._subclasses import FakeTensorMode
from torchvision.transforms.v2 import functional as F

from avssl import views
from avssl.sample import Sample
from avssl.views import changes
from avssl.views.changes import CHANGES, Setting

SHAPES = [(64, 64), (48, 96), (33, 21)]
ALL = tuple(CHANGES)


def generator(seed=0):
    return Generator().manual_seed(seed)


def smooth(count, height, width):
    """Pictures like those that people take: neighbours are alike."""
    coarse = torch.rand(count, 3, 7, 7, generator=generator(count))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (fine * 255).to(torch.uint8)


def noisy(count, height, width):
    """Pictures of all values."""
    return torch.randint(256, (count, 3, height, width), generator=generator(count), dtype=torch.uint8)


def worst(made, wanted):
    """The greatest difference, of 255."""
    return float((made - torch.stack(wanted).float()).abs().max())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_crop_is_torchvisions_within_half_a_level(shape):
    """Of pictures of floats; where they are bytes, torchvision also rounds and clips between rows and columns."""
    height, width = shape
    x = noisy(6, *shape).float()
    top, left = torch.tensor([0, 3, 5, 1, 0, 2]), torch.tensor([0, 2, 4, 7, 1, 0])
    h = torch.tensor([height, height // 2, height // 3, 1, height - 1, height // 2])
    w = torch.tensor([width, width // 2, 9, width // 3, width - 1, 1])
    told = (*changes.stretched(top.float(), h.float(), height), *changes.stretched(left.float(), w.float(), width))
    boxes = torch.stack([top, left, h, w], 1).tolist()
    bicubic = {"interpolation": F.InterpolationMode.BICUBIC, "antialias": True}
    wanted = [
        F.resized_crop(one, *box, list(shape), **bicubic).clamp(0, 255) for one, box in zip(x, boxes, strict=True)
    ]
    assert worst(changes.scaled(x, *told), wanted) < 0.5
    bytes_ = smooth(6, *shape)
    wanted = [F.resized_crop(one, *box, list(shape), **bicubic) for one, box in zip(bytes_, boxes, strict=True)]
    assert worst(changes.scaled(bytes_.float(), *told), wanted) < 2


@pytest.mark.parametrize("shape", SHAPES)
def test_colors_are_torchvisions_within_two_levels_that_it_cuts_off(shape):
    x, factors = noisy(6, *shape), torch.tensor([0.2, 0.5, 0.9, 1.0, 1.3, 1.8])
    none, rest = torch.zeros(6), 1 - factors
    for change, gray, mean in (
        (F.adjust_brightness, none, none), (F.adjust_contrast, none, rest), (F.adjust_saturation, rest, none),
    ):  # fmt: skip
        wanted = [change(one, float(factor)) for one, factor in zip(x, factors, strict=True)]
        assert worst(changes.blend(x.float(), factors, gray, mean), wanted) < 2, change
    turns = torch.tensor([-0.5, -0.2, 0.0, 0.1, 0.33, 0.5])
    wanted = [F.adjust_hue(one, float(turn)) for one, turn in zip(x, turns, strict=True)]
    assert worst(changes.hue(x.float(), turns), wanted) < 1
    assert worst(CHANGES["gray"].make(x.float()), list(F.rgb_to_grayscale(x, 3))) < 1.1
    assert worst(CHANGES["solarize"].make(x.float()), list(F.solarize(x, 128))) == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_a_blur_is_torchvisions_within_half_a_level(shape):
    x, dice = noisy(5, *shape).float(), torch.rand(5, 1, generator=generator(3))
    kernel = max(3, shape[0] // 10 | 1)
    sigmas = [0.1 + 1.9 * die for die in dice[:, 0].tolist()]
    wanted = [F.gaussian_blur(one, [kernel] * 2, [sigma] * 2) for one, sigma in zip(x, sigmas, strict=True)]
    assert worst(changes.scaled(x, *changes.smoothing(dice, Setting(1, 1, *shape))), wanted) < 0.5


def test_colors_come_in_all_orders_and_each_is_the_chain_of_torchvisions_changes():
    """Three dice tell by their order that of brightness, contrast and saturation, and one the place of the hue."""
    x = noisy(1, 16, 24)
    own, seen = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation), set()
    dice = torch.rand(200, 8, generator=generator(2))
    told = changes.jitter(dice, Setting(1, 1.0, 16, 24))
    made = changes.color(x.float().repeat(200, 1, 1, 1), *told)
    for row, one in zip(dice.tolist(), made, strict=True):
        order = sorted(range(3), key=lambda kind, row=row: row[4 + kind])
        order.insert(int(4 * row[7]), 3)
        seen.add(tuple(order))
        wanted = x[0].float() / 255  # torchvision's changes of floats neither round nor cut off
        for kind in order:
            wanted = F.adjust_hue(wanted, 0.4 * row[3] - 0.2) if kind == 3 else own[kind](wanted, 0.2 + 1.6 * row[kind])
        assert worst(one[None], [wanted * 255]) < 1
    assert len(seen) == 24


def test_crops_are_those_of_single_pictures_in_distribution():
    """Area, shape and place, drawn both ways; of a picture whose values are its coordinates."""
    draws, side = 400, 60
    told = changes.rectangle(torch.rand(draws, 22, generator=generator(1)), Setting(0.2, 1, side, side))
    h, w = (places.amax((1, 2)) - places.amin((1, 2)) + 1 for places in (told[0], told[2]))
    rows = torch.arange(side).view(-1, 1).expand(side, side)
    x, draw = torch.stack([rows, rows.T, rows]).to(torch.uint8), generator(2)
    single = [views.crop(x, draw, (0.2, 1.0)).float() for _ in range(draws)]
    high = torch.tensor([float(one[0].max() - one[0].min() + 1) for one in single])
    wide = torch.tensor([float(one[1].max() - one[1].min() + 1) for one in single])
    for ours, theirs in ((h * w / side**2, high * wide / side**2), (w / h, wide / high)):
        for share in (0.1, 0.5, 0.9):
            assert torch.quantile(ours.float(), share) == pytest.approx(float(torch.quantile(theirs, share)), abs=0.07)
    assert {int(top) for top in told[0].amin((1, 2))} >= set(range(10))


@pytest.mark.parametrize("shape", [(16, 64), (64, 16)])
def test_crops_that_never_fit_are_the_whole(shape):
    x = noisy(4, *shape).float()
    told = changes.rectangle(torch.rand(4, 22, generator=generator(1)), Setting(1.0, 1, *shape))
    torch.testing.assert_close(changes.scaled(x, *told), x)


def everything(chance=0.5):
    """Two views that are changed in every way, half the time each."""
    return views.Views([(name, (chance, chance)) for name in ALL], 0.2, 1.0)


@pytest.mark.parametrize("shape", [(32, 32), (33, 21)])
def test_a_view_does_not_depend_on_its_neighbors(shape, monkeypatch):
    policy, x = everything(), noisy(20, *shape)
    dice = torch.rand(20, 2, policy.dice, generator=generator(1))
    before = x.clone()
    whole = policy.made({"picture": x, "dice": dice}).unflatten(0, (2, 20))
    alone = [policy.made({"picture": x[row, None], "dice": dice[row, None]}) for row in range(20)]
    assert torch.equal(whole, torch.stack(alone, 1))
    monkeypatch.setattr("avssl.views.batched.CACHED", 3 * x[0].numel())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(whole, policy.made({"picture": x, "dice": dice}).unflatten(0, (2, 20)))
    assert torch.equal(x, before), "the pictures are left alone"
    assert len({one.sum().item() for one in whole.flatten(0, 1)}) > 35, "views differ"


def test_nothing_is_changed_without_a_chance():
    x, never = noisy(5, 24, 24), everything(0.0)
    made = never.made({"picture": x, "dice": torch.rand(5, 2, never.dice)})
    assert torch.equal(made, x.repeat(2, 1, 1, 1))
    none = views.Views([], 0.2, 1.0, count=1)
    assert torch.equal(none.made({"picture": x, "dice": torch.rand(5, 1, 0)}), x)


@pytest.mark.parametrize("name", ALL)
def test_a_change_is_made_as_often_as_is_said(name):
    policy, x = views.Views([(name, (0.3, 1.0))], 0.2, 1.0), noisy(1, 24, 32).expand(200, -1, -1, -1)
    dice = torch.rand(200, 2, policy.dice, generator=generator(4))
    first, second = (
        (view != x).flatten(1).any(1).float().mean() for view in policy.made({"picture": x, "dice": dice}).chunk(2)
    )
    assert first == pytest.approx(0.3, abs=0.08)
    assert second > 0.85, "a narrow blur leaves all as it is"


def test_what_is_drawn_is_a_function_of_the_generator():
    policy = views.TwoViews(0.2, 0.5, (0.5, 0.5), (0.0, 0.2), draws=3)
    sample = Sample("one", 0, (0.0,), {"video": noisy(1, 8, 8)[None]})
    state = torch.get_rng_state()
    drawn = policy(sample, generator(5), 0.0)
    again = pickle.loads(pickle.dumps(policy))(sample, generator(5), 0.9)
    assert {name: tuple(x.shape) for name, x in drawn.items()} == {
        "picture": (3, 8, 8), "dice": (2, policy.dice), "draw": (3,),
    }  # fmt: skip
    assert all(torch.equal(drawn[name], again[name]) for name in drawn)
    assert not torch.equal(drawn["dice"], policy(sample, generator(6), 0.0)["dice"])
    assert torch.equal(torch.get_rng_state(), state)


def test_an_accelerator_makes_the_same_views_and_is_not_waited_for(monkeypatch):
    """There, all pictures are changed and the chosen ones kept. Without one, tensors that only know their device and
    shape tell that all stays there, and that no shape depends on what they hold."""
    policy, x = everything(), noisy(12, 32, 32)
    dice = torch.rand(12, 2, policy.dice, generator=generator(1))
    wanted = policy.made({"picture": x, "dice": dice})
    with FakeTensorMode():
        batch = {"picture": torch.empty(12, 3, 32, 32, dtype=torch.uint8, device="cuda")}
        made = policy.made({**batch, "dice": torch.empty(12, 2, policy.dice, device="cuda")})
        assert made.device.type == "cuda"
        assert made.shape == wanted.shape
    monkeypatch.setattr(changes, "some", changes.kept)
    monkeypatch.setattr("avssl.views.batched.some", changes.kept)
    assert torch.equal(policy.made({"picture": x, "dice": dice}), wanted)


def test_noise_is_normal_and_no_seed_has_anothers():
    drawn = changes.normal(torch.tensor([[1], [2], [2**24 - 1]]), 30000)
    assert drawn.mean(1).abs().max() < 0.03
    assert (drawn.std(1) - 1).abs().max() < 0.03
    assert (drawn.abs() < 1).float().mean() == pytest.approx(math.erf(0.5**0.5), abs=0.01)
    assert torch.corrcoef(drawn).fill_diagonal_(0).abs().max() < 0.03
    shifted = torch.corrcoef(torch.stack([drawn[0, :-1], drawn[0, 1:]]))[0, 1]
    assert abs(shifted) < 0.03


def test_one_view_is_a_piece_of_the_picture_mirrored_as_often_as_not():
    across = torch.arange(64).mul(4).to(torch.uint8).expand(1, 3, 48, 64)  # brighter from left to right
    policy = views.OneView(0.2, draws=1)
    drawn = [policy(Sample("one", 0, (0.0,), {"video": across[None]}), generator(seed), 0.0) for seed in range(200)]
    assert {name: tuple(x.shape) for name, x in drawn[0].items()} == {
        "picture": (3, 48, 64), "dice": (1, policy.dice), "draw": (1,),
    }  # fmt: skip
    made = policy.made({name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}).float()
    assert made.shape == (200, 3, 48, 64)
    rise = made[..., -1].mean((1, 2)) - made[..., 0].mean((1, 2))  # 0..252 across the whole picture
    assert (rise > 0).float().mean() == pytest.approx(0.5, abs=0.1)
    assert rise.abs().min() > 252 * (0.2 * 3 / 4) ** 0.5 - 12, "the least share, as high as it may be"
    assert rise.abs().max() > 200


def test_the_sheet_keeps_what_is_drawn_where_it_is_asked_for():
    policy = views.OneView(0.2, draws=2)
    sample = Sample("one", 0, (0.0,), {"video": smooth(1, 24, 24)[None]})
    drawn = policy(sample, generator(5), 0.0)
    shown = views.Shown(policy, drawn=True)(sample, generator(5), 0.0)
    assert list(shown) == ["picture", "view", "dice", "draw"]
    assert all(torch.equal(shown[name], drawn[name]) for name in drawn)
    assert list(views.Shown(policy)(sample, generator(5), 0.0)) == ["picture", "view"]


def test_the_sheet_shows_the_views_that_are_made():
    policy = views.TwoViews(0.2, 0.5)
    sample = Sample("one", 0, (0.0,), {"video": smooth(1, 24, 24)[None]})
    shown = views.Shown(policy, ("blur",))(sample, generator(5), 0.0)
    drawn = policy(sample, generator(5), 0.0)
    made = policy.made({name: x[None] for name, x in drawn.items()})
    assert list(shown) == ["picture", "first", "second", "blur"]
    assert torch.equal(torch.stack([shown["first"], shown["second"]]), made)
    assert not torch.equal(shown["blur"], shown["picture"])
