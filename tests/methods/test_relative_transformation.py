"""AET: the homography against two sources, what a target means, in hand-drawn pictures, and the border's geometry."""

from __future__ import annotations

import math

import pytest
import shortcut
import torch
from contract import tiny
from shortcut_readers import drawn as made
from shortcut_readers import share, texture
from torch import Generator

from avssl.methods.image.relative_transformation import CORNERS, SPREAD, USUAL, homography, warp

STILL = ("method.shift=0", "method.scale=[1,1]")


def drawn(side=32):
    """Bright above, a little brighter to the left: upright and not mirrored to be told from each other."""
    picture = torch.full((3, side, side), 20, dtype=torch.uint8)
    picture[:, : side // 4] = 200
    picture[:, : side // 4, : side // 2] = 250
    return picture


def examples(picture, seeds, *words):
    run = tiny.run("relative_transformation", "method.inside=false", *words)
    transform = run.kind.transform(run.cfg.method, run.inputs)
    return [transform(shortcut.item(picture), Generator().manual_seed(seed), 0.0) for seed in range(seeds)]


@pytest.mark.parametrize("seed", range(6))
def test_the_homography_moves_each_point_where_it_should(seed):
    draw = Generator().manual_seed(seed)
    ends = CORNERS * 0.9 + torch.rand(4, 2, generator=draw, dtype=torch.float64) * 0.4
    matrix = homography(CORNERS, ends)
    for (x, y), (right, down) in zip(CORNERS.tolist(), ends.tolist(), strict=True):
        top, middle, bottom = (sum(a * b for a, b in zip(row, (x, y, 1.0), strict=True)) for row in matrix.tolist())
        assert (top / bottom, middle / bottom) == pytest.approx((right, down), abs=1e-9)


def test_the_homography_is_the_reference_librarys():
    """Computed once with kornia 0.9 in float64:

    get_perspective_transform(torch.tensor([[[-1., -1], [1, -1], [1, 1], [-1, 1]]]),
                              torch.tensor([[[-.9, -1.1], [.8, -.7], [1.2, .9], [-1.3, 1]]]))
    """
    ends = torch.tensor([[-0.9, -1.1], [0.8, -0.7], [1.2, 0.9], [-1.3, 1]], dtype=torch.float64)
    reference = [
        [1.0043758043758044, 0.03963963963963958, 0.10810810810810831],
        [0.1025740025740026, 0.9014157014157015, -0.13989703989703983],
        [0.1505791505791506, -0.19047619047619044, 1.0],
    ]
    torch.testing.assert_close(homography(CORNERS, ends), torch.tensor(reference, dtype=torch.float64))


def literal_warp(x, matrix, size):
    """One pixel at a time: where it comes from, and the four pixels around; gray outside."""
    height, width = size
    out = torch.zeros(3, height, width)
    for r in range(height):
        for c in range(width):
            x0, y0 = (2 * c + 1) / width - 1, (2 * r + 1) / height - 1
            u, v, s = (row[0] * x0 + row[1] * y0 + row[2] for row in matrix.tolist())
            column, row = ((u / s + 1) * width - 1) / 2, ((v / s + 1) * height - 1) / 2
            for p in range(3):
                value = 0.0
                for i in (math.floor(row), math.floor(row) + 1):
                    for j in (math.floor(column), math.floor(column) + 1):
                        inside = 0 <= i < height and 0 <= j < width
                        pixel = float(x[p, i, j]) if inside else 128.0
                        value += (1 - abs(row - i)) * (1 - abs(column - j)) * pixel
                out[p, r, c] = value
    return out


@pytest.mark.parametrize("size", [(6, 6), (7, 10)])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_warped_picture_is_the_literal_one(size, seed):
    draw = Generator().manual_seed(seed)
    x = torch.randint(256, (3, *size), dtype=torch.uint8, generator=draw)
    matrix = homography(CORNERS, CORNERS * 0.9 + torch.rand(4, 2, generator=draw, dtype=torch.float64) * 0.5)
    assert (warp(x, matrix, False).float() - literal_warp(x, matrix, size)).abs().max() < 0.51
    same = warp(x, torch.eye(3, dtype=torch.float64), False)
    assert torch.equal(same, x)


def literal_move(x, right):
    """The middle half of a picture, from so many pixels further right; beyond the edge its mirror image."""
    height, width = x.shape[1] // 2, x.shape[2] // 2
    columns = [c + width // 2 + right for c in range(width)]
    mirrored = [c if c < x.shape[2] else 2 * x.shape[2] - 1 - c for c in columns]
    return torch.stack([x[:, height // 2 : height // 2 + height, c] for c in mirrored], 2)


@pytest.mark.parametrize("right", [0, 4, 6, 12])
def test_inside_the_copy_shows_real_surroundings_and_beyond_them_their_mirror_image(right):
    x = torch.randint(256, (3, 16, 16), dtype=torch.uint8, generator=Generator().manual_seed(right))
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[0, 2] = right / 4  # of the half width of what is shown
    assert torch.equal(warp(x, matrix, True), literal_move(x, right))


def sent(words, count=60):
    """Where the original's corners are in copies, (x, y) [N, 4, 2]."""
    run = tiny.run("relative_transformation", "method.quarters=false", *words)
    transform, draw = run.kind.transform(run.cfg.method, run.inputs), Generator().manual_seed(0)
    forth = torch.stack([torch.linalg.inv(transform.projective(draw)[0]) for _ in range(count)])
    ends = torch.cat([CORNERS, torch.ones(4, 1)], 1) @ forth.mT
    return ends[..., :2] / ends[..., 2:]


def test_a_projective_change_moves_corners_by_no_more_than_their_share():
    moved = (sent(["method.shift=0.125", "method.scale=[1,1]"]) - CORNERS).abs() / 2
    assert 0.12 < moved.max() <= 0.125 + 1e-9
    assert (moved.flatten(1).max(1).values > 0.05).all()


def test_a_projective_change_scales_within_its_bounds():
    scales = sent(["method.shift=0", "method.scale=[0.8,1.2]"]) / CORNERS
    torch.testing.assert_close(scales, scales[:, :1, :1].expand_as(scales))
    assert 0.8 <= scales.min() + 1e-9 < 0.83
    assert 1.17 < scales.max() - 1e-9 <= 1.2


def test_quarter_turns_and_their_targets():
    """Only turned: the copy is torch.rot90 of the original, and the target is that of the exact map back."""
    seen = set()
    for out in examples(drawn(), 12, *STILL):
        turned = [k for k in range(4) if torch.equal(torch.rot90(out["original"], k, (1, 2)), out["warped"])]
        assert len(turned) == 1
        cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[turned[0]]
        # counter-clockwise by k quarters; its inverse, about the middle (16, 16), x right and y down
        wanted = torch.tensor([cos, -sin, 16 - 16 * cos + 16 * sin, sin, cos, 16 - 16 * sin - 16 * cos, 0, 0.0])
        torch.testing.assert_close(out["target"], (wanted - USUAL) / SPREAD, atol=1e-5, rtol=0)
        seen.add(turned[0])
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("side", [32, 48])
def test_targets_do_not_depend_on_the_resolution(side):
    outs = examples(drawn(side), 3, f"inputs.height={side}", f"inputs.width={side}")
    again = examples(drawn(32), 3)
    for a, b in zip(outs, again, strict=True):
        torch.testing.assert_close(a["target"], b["target"])


@pytest.mark.parametrize("aspect", [1.0, 2.0, 0.75])
def test_affine_numbers_mean_what_they_say(aspect, monkeypatch):
    """Each number alone, in pictures: a spot at the middle's right goes where angle, shift, scale and shear send it."""
    run = tiny.run("relative_transformation", "method.kind=affine", "method.shift=0.25", "method.inside=false")
    transform = run.kind.transform(run.cfg.method, run.inputs)
    for numbers, spot, place in [
        ((0.5, 0, 0, 0, 0), (0.0, -0.5), (-0.5, 0.0)),  # a quarter counter-clockwise: from above to the left
        ((0, 1, 0, 0, 0), (0.0, 0.0), (0.5, 0.0)),  # a quarter of the side to the right
        ((0, 0, 1, 0, 0), (0.0, 0.0), (0.0, 0.5)),  # and down
        ((0, 0, 0, 1, 0), (0.5, 0.0), (0.6, 0.0)),  # larger by 1.2
        ((0, 0, 0, 0, 1), (0.0, 0.5), (0.5 * math.tan(math.pi / 6), 0.5)),  # upright lines tilted, the lower end right
    ]:
        drawn_numbers = (torch.tensor(numbers, dtype=torch.float64) + 1) / 2
        monkeypatch.setattr(torch, "rand", lambda *size, given=drawn_numbers, **kwargs: given)
        matrix, target = transform.affine(Generator(), aspect)
        if not any(numbers[1:3]):  # a circle stays one in a picture that is not square; shifts are shares of each side
            spot, place = ((x / aspect, y) for x, y in (spot, place))
        assert target.tolist() == pytest.approx(numbers)
        back = matrix @ torch.tensor([*place, 1.0], dtype=torch.float64)
        assert back[:2].tolist() == pytest.approx(spot, abs=1e-9)


def test_the_loss_is_the_mean_squared_error():
    """sklearn's mean_squared_error of the same two rows gives 0.5."""
    method = tiny.run("relative_transformation", "method.kind=affine").method()
    found = torch.tensor([[0.5, -0.5, 1.0, 0.0, 0.25], [1.0, 0.0, 0.5, -1.0, 0.0]])
    target = torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.25], [0.0, 1.0, -0.5, -0.5, 0.5]])
    method.head.forward = lambda x: found
    pictures = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    loss = method({"original": pictures, "warped": pictures, "target": target}).loss.item()
    pairs = zip(found.flatten().tolist(), target.flatten().tolist(), strict=True)
    assert loss == pytest.approx(sum((a - b) ** 2 for a, b in pairs) / 10, abs=1e-6)
    assert loss == pytest.approx(0.5, abs=1e-6)


def flat(draw):
    """One brightness: only a border could tell how it was warped."""
    return torch.full((3, 32, 32), 230, dtype=torch.uint8) - torch.randint(60, (1,), generator=draw).to(torch.uint8)


def test_the_border_is_a_shortcut_that_real_surroundings_close():
    words = ("method.kind=affine", "method.degrees=10", "method.shear=0", "method.hidden=64")

    def explained(inside):
        inside = f"method.inside={inside}"
        return shortcut.metric("relative_transformation", "explained", flat, *words, inside, steps=50, count=60)

    assert explained("false") > 0.08, "the shortcut exists"
    assert explained("true") < 0.03, "and is closed"


def bright(draw):
    """Nowhere as dark as the border's gray."""
    return (170 + 60 * texture(draw, 32)).to(torch.uint8).expand(3, 32, 32)


@pytest.mark.parametrize(("inside", "solved"), [("false", True), ("true", False)])
def test_the_amount_of_border_tells_how_much_a_projective_copy_shows(inside, solved):
    """Whether the copy shows more of the original than most copies do; chance is 1/2."""
    batch = made("relative_transformation", bright, 60, f"method.inside={inside}")
    border = (batch["warped"] == 128).all(1).double().mean((1, 2))
    rows = torch.cat([batch["target"] * SPREAD + USUAL, torch.ones(60, 1)], 1).view(-1, 3, 3)
    ends = rows @ torch.tensor([[0.0, 32, 32, 0], [0, 0, 32, 32], [1, 1, 1, 1]])
    x, y = (ends[:, :2] / ends[:, 2:]).unbind(1)
    shown = (x * y.roll(-1, 1) - y * x.roll(-1, 1)).sum(1).abs()
    right = share((border > border.median()) == (shown > shown.median()))
    assert right > 0.8 if solved else right < 0.65


def spot(draw):
    """Bright on gray, right of the middle and above it."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    far = (rows - 21) ** 2 + (columns - 43) ** 2
    return (128 + 120 * torch.exp(-far / 8)).round().to(torch.uint8).expand(3, 64, 64)


def places(pictures):
    """(right, up) of the spot from the middle, as shares of the side, [N, 2]."""
    weight = pictures[:, 0].double() - 128
    from_middle = (torch.arange(64) - 31.5).double() / 64
    right, down = ((weight.sum(axis) * from_middle).sum(1) / weight.sum((1, 2)) for axis in (1, 2))
    return torch.stack([right, -down], 1)


@pytest.mark.parametrize(
    ("words", "number", "moved"),
    [
        ("degrees=90", 0, lambda x, y, a: (x * (a * math.pi / 2).cos() - y * (a * math.pi / 2).sin(),
                                           x * (a * math.pi / 2).sin() + y * (a * math.pi / 2).cos())),
        ("shift=0.1", 1, lambda x, y, right: (x + 0.1 * right, None)),
        ("shift=0.1", 2, lambda x, y, down: (None, y - 0.1 * down)),
        ("scale=[0.8,1.2]", 3, lambda x, y, size: (x * (1 + 0.2 * size), y * (1 + 0.2 * size))),
        ("shear=30", 4, lambda x, y, tilt: (x - y * (tilt * math.pi / 6).tan(), y)),
    ],
)  # fmt: skip
def test_a_spot_lands_where_each_affine_number_says(words, number, moved):
    """Counter-clockwise, right, down, larger, and upright lines tilted, the lower end to the right."""
    still = [f"method.{word}" for word in ("shift=0", "scale=[1,1]", "degrees=0", "shear=0")]
    sizes = ("inputs.height=64", "inputs.width=64", "method.kind=affine", "method.inside=false")
    batch = made("relative_transformation", spot, 8, *sizes, *still, f"method.{words}")
    told = batch["target"][:, number].double()
    assert told.min() < -0.3
    assert told.max() > 0.3
    wanted = moved(*places(batch["original"]).unbind(1), told)
    for found, want in zip(places(batch["warped"]).unbind(1), wanted, strict=True):
        if want is not None:
            torch.testing.assert_close(found, want, atol=0.2 / 64, rtol=0)


def test_words_say_what_was_done():
    affine = tiny.run("relative_transformation", "method.kind=affine", "method.shift=0.25")
    transform = affine.kind.transform(affine.cfg.method, affine.inputs)
    told = transform.words({"target": torch.tensor([0.5, 1.0, -0.4, 0.5, 0.1])})["target"]
    assert told == "turned 90° against the clock, moved by +25% right, -10% down, 1.10 times as large, tilted 3°"
    plain = tiny.run("relative_transformation", "method.scale=[1,1]", "method.shift=0", "method.quarters=false")
    transform = plain.kind.transform(plain.cfg.method, plain.inputs)
    _, target = transform.projective(Generator())
    corners = transform.words({"target": target.float()})["target"].split("(right, down) ")[1].replace("-0.00", "0.00")
    assert corners == "(0.00, 0.00), (1.00, 0.00), (1.00, 1.00), (0.00, 1.00)"
