"""Jigsaw: the permutations, what a label means, and that no brightness, edge, color or lens gives the answer away."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from contract import tiny
from shortcut_readers import drawn, fringed, lags, picture, share, texture
from torch import Generator

from avssl.methods.image.jigsaw import Shuffle, far_permutations
from avssl.sample import Sample


def distance(a, b):
    """Hamming distance, one place at a time."""
    return sum(1 for p, q in zip(a, b, strict=True) if p != q)


@pytest.mark.parametrize(("parts", "count"), [(3, 4), (4, 8), (4, 24), (5, 12)])
def test_each_next_permutation_is_farthest_from_all_before(parts, count):
    chosen = far_permutations(parts, count, 0).tolist()
    for n in range(1, count):
        before = chosen[:n]
        nearest = {p: min(distance(p, q) for q in before) for p in itertools.permutations(range(parts))}
        assert nearest[tuple(chosen[n])] == max(nearest.values())


@pytest.mark.parametrize(("count", "least", "mean"), [(64, 7, 8.0), (100, 6, 8.0), (1000, 5, 7.9)])
def test_distances_of_the_usual_sets(count, least, mean):
    """Least distances 7, 6 and 5 come from another program with the same rule; drawing at random gives 2."""
    chosen = far_permutations(9, count)
    apart = (chosen[:, None] != chosen).sum(2)[~torch.eye(count, dtype=torch.bool)]
    assert apart.min() == least
    assert apart.float().mean() >= mean


def test_the_set_is_a_function_of_its_seed():
    assert torch.equal(far_permutations(4, 6, 1), far_permutations.__wrapped__(4, 6, 1))
    assert not torch.equal(far_permutations(9, 8, 1), far_permutations(9, 8, 2))
    with pytest.raises(ValueError, match="4 tiles have 24 permutations, got 25"):
        far_permutations(4, 25)


def test_the_label_says_which_cell_is_shown_at_each_place():
    """Cells of a hand-drawn picture hold their number, row by row: place k must show the number p[k]."""
    run = tiny.run("jigsaw", "inputs.height=64", "inputs.width=64", "method.gray=0")
    transform = run.kind.transform(run.cfg.method, run.inputs)
    number = torch.arange(9, dtype=torch.uint8).view(3, 3).repeat_interleave(20, 0).repeat_interleave(20, 1)
    picture = torch.nn.functional.pad(number[None].float(), (2, 2, 2, 2), mode="replicate")[0].to(torch.uint8)
    sample = Sample("drawn", 0, (0.0,), {"video": picture.expand(1, 1, 3, 64, 64)})
    seen = set()
    for seed in range(20):
        out = transform(sample, Generator().manual_seed(seed), 0.0)
        order = far_permutations(9, run.cfg.method.permutations)[out["label"]]
        assert out["tiles"].shape == (9, 3, 17, 17)
        middle = out["tiles"][:, :, 4:13, 4:13]  # colour planes are shifted by up to two pixels
        assert (middle == order.to(torch.uint8).view(9, 1, 1, 1)).all()
        seen.add(int(out["label"]))
    assert len(seen) > 10


def test_each_tile_has_a_place_of_its_own_along_either_side_of_its_cell():
    """Pixels hold their row and column; tiles of 34 pixels have seven places each way in cells of 40."""
    transform = Shuffle(tiny.run("jigsaw", "method.shift=0").cfg.method, torch.arange(9)[None])
    line = torch.arange(120, dtype=torch.uint8).expand(120, 120)
    pictures, draw = torch.stack([line.T, line, line]), Generator().manual_seed(0)
    tiles = torch.stack([transform.tiles(pictures, draw) for _ in range(60)])
    places = tiles[:, :, :2, 0, 0].int() - 40 * (CELLS + 1)  # [60, 9, 2]
    both = {(down, right) for down in range(7) for right in range(7)}
    assert set(map(tuple, places.flatten(0, 1).tolist())) == both
    assert (places != places[:, :1]).any(0)[1:].all(), "no two cells share theirs"


def literal(logits, label):
    """Mean of -log softmax, one row at a time."""
    rows = zip(logits.tolist(), label.tolist(), strict=True)
    return sum(-math.log(math.exp(row[k]) / sum(math.exp(z) for z in row)) for row, k in rows) / len(logits)


def test_the_loss_is_cross_entropy_of_the_permutation():
    """For logits 2, 0, -1 / 0.5, 0.5, 0.5 and labels 0, 2 sklearn's log_loss of the softmax gives 0.634229."""
    run = tiny.run("jigsaw", "method.permutations=3")
    method = run.method()
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]])
    method.head = torch.nn.Identity()
    method.head.forward = lambda x: logits
    batch = {**run.batch(size=2), "label": torch.tensor([0, 2])}
    assert method(batch).loss.item() == pytest.approx(literal(logits, batch["label"]), abs=1e-6)
    assert method(batch).loss.item() == pytest.approx(0.634229, abs=1e-5)


CELLS = torch.cartesian_prod(torch.arange(3), torch.arange(3)) - 1
"""(rows, columns) from the middle, by number"""
LARGE = ("inputs.height=120", "inputs.width=120")


def puzzles(pictures, *words):
    """60 puzzles, and the order of cells that each permutation shows."""
    return drawn("jigsaw", pictures, 60, *LARGE, *words), far_permutations(9, 64)


def named(told, meant):
    """The permutations [B] whose cells would have told most nearly this: told [B, 9, n], meant [N, 9, n]."""
    return (told[:, None] - meant).square().sum((2, 3)).argmin(1)


def brighter(draw):
    """A ramp on which each cell is brighter than those before it; nothing else."""
    line = torch.linspace(0, 1, 120)
    return picture(0.1 + 0.2 * (line + 3 * line[:, None]) * (0.8 + 0.2 * torch.rand((), generator=draw)))


@pytest.mark.parametrize(("normalize", "solved"), [("false", True), ("true", False)])
def test_order_of_brightness_is_a_shortcut_that_normalization_closes(normalize, solved):
    batch, orders = puzzles(brighter)
    method, given = tiny.run("jigsaw", f"method.normalize={normalize}").method(), []
    method.encoders["image"].register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    with torch.no_grad():
        method(batch)
    ranks = given[0].unflatten(0, (-1, 9)).double().mean((2, 3, 4)).argsort(1).argsort(1)
    right = share((ranks == orders[batch["label"]]).all(1))
    assert right > 0.9 if solved else right < 0.1


def blocks(draw):
    """The edges of a codec's blocks of 8 pixels on a flat ground; cells of 43 pixels meet them at other places."""
    flat = torch.full((129, 129), 0.2 + 0.4 * float(torch.rand((), generator=draw)))
    flat[::8] += 0.1
    flat[:, ::8] += 0.1
    return picture(flat)


@pytest.mark.parametrize(("tile", "solved"), [(1.0, True), (36 / 43, False)])
def test_codec_edges_are_a_shortcut_that_random_places_close(tile, solved):
    words = ("inputs.height=129", "inputs.width=129", "method.shift=0", f"method.tile={tile}")
    batch, orders = drawn("jigsaw", blocks, 60, *words), far_permutations(9, 64)
    x = batch["tiles"][:, :, 0].double()
    lines = torch.stack([x.mean(3), x.mean(2)], 2)  # [B, 9, 2, h], of rows and of columns
    first = torch.stack([lines[..., k::8].mean(3) for k in range(8)], 3).argmax(3)  # [B, 9, 2]
    meant = -43 * (CELLS[orders] + 1) % 8
    right = share((first == meant[batch["label"]]).flatten(1).all(1))
    assert right > 0.9 if solved else right < 0.1


def painted(draw):
    """Each cell has a color of its own, as light as all others; the light is noise."""
    number = (torch.arange(9).view(3, 3) - 4).repeat_interleave(40, 0).repeat_interleave(40, 1) * 0.02
    light = 0.35 + 0.3 * texture(draw, 120)
    return picture(light + 0.587 * number, light - 0.299 * number, light)


@pytest.mark.parametrize(("gray", "solved"), [(0, True), (1, False)])
def test_colors_are_a_shortcut_that_gray_pictures_close(gray, solved):
    batch, orders = puzzles(painted, f"method.gray={gray}")
    color = (batch["tiles"][:, :, 0].double() - batch["tiles"][:, :, 1].double()).mean((2, 3))
    right = share(named(color[..., None], (orders[..., None] - 4) * 0.02 * 255 * 0.886) == batch["label"])
    assert right > 0.9 if solved else right < 0.1, "chance is 1/64"


def test_edges_that_continue_are_a_shortcut_that_random_places_close():
    """Tiles that belong side by side differ least where they touch."""

    def right(*words):
        batch, orders = puzzles(lambda draw: picture(texture(draw, 120, 7)), "method.gray=1", "method.shift=0", *words)
        x = batch["tiles"][:, :, 0].double()
        beside = (x[:, :, None, :, -1] - x[:, None, :, :, 0]).var(3).log()  # [B, left, right]
        under = (x[:, :, None, -1] - x[:, None, :, 0]).var(3).log()  # [B, upper, lower]
        places = orders.argsort(1).view(-1, 3, 3)  # where each cell is shown
        misfit = beside[:, places[:, :, :-1], places[:, :, 1:]] + under[:, places[:, :-1], places[:, 1:]].mT
        return share(misfit.sum((2, 3)).argmin(1) == batch["label"])

    assert right("method.tile=1.0") > 0.9, "the shortcut exists"
    assert right() < 0.15, "and is closed"


def fringes(shift):
    """How far the green plane of each tile is off, what that would be for each permutation, and the labels."""
    words = ("method.gray=0", f"method.shift={shift}")
    batch, orders = puzzles(lambda draw: fringed(draw, 120, 2), *words)
    found = lags(batch["tiles"].flatten(0, 1)).unflatten(0, (-1, 9)).double()
    return found, CELLS[orders], batch["label"]


@pytest.mark.parametrize(("shift", "solved"), [(0, True), (2, False)])
def test_a_lens_tells_one_tiles_cell_until_planes_are_shifted(shift, solved):
    """Chance is 1/9; planes moved by -4 to 4 pixels against each other leave about a fifth."""
    found, cells, label = fringes(shift)
    right = share((found.sign() == cells[label]).all(2))
    assert right > 0.9 if solved else right < 0.3


@pytest.mark.parametrize(("shift", "solved"), [(0, True), (2, False)])
def test_a_lens_tells_the_order_of_tiles_until_planes_are_shifted(shift, solved):
    """Tiles compared with each other: whatever moves the planes of all tiles alike changes nothing."""
    found, cells, label = fringes(shift)
    right = share(named(found - found.mean(1, keepdim=True), cells * 4 / 3) == label)
    assert right > 0.9 if solved else right < 0.5


def test_a_preview_says_the_arrangement_row_by_row():
    run = tiny.run("jigsaw", "method.grid=2", "method.permutations=4")
    transform = run.kind.transform(run.cfg.method, run.inputs)
    first, second = (transform.permutations[2, k : k + 2].tolist() for k in (0, 2))
    told = transform.words({"label": torch.tensor(2)})["label"].splitlines()
    assert told[1:] == [f"{first[0]} {first[1]}", f"{second[0]} {second[1]}"]
