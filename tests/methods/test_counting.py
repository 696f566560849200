"""Counting: both terms against a literal version, the parts, the collapse, and which shortcuts its tricks close."""

from __future__ import annotations

import math

import pytest
import shortcut
import torch
from contract import tiny
from shortcut_readers import drawn, fringed, lags, picture, share, texture
from torch import Generator, nn

from avssl.methods.image.counting import smaller


def literal(counts, recording, margin):
    """The paper's two terms, one picture and one number at a time."""
    total = 0.0
    for parts in counts.tolist():
        total += sum((a - b) ** 2 for a, b in zip(counted(parts), parts[4], strict=True))
    second = [max(0.0, margin - apart) for apart in strangers(counts, recording)]
    return total / len(counts), sum(second) / max(1, len(second))


def counted(parts):
    """What the quarters add up to."""
    return [sum(part[k] for part in parts[:4]) for k in range(len(parts[0]))]


def strangers(counts, recording):
    """How far each picture is from the next one of another recording, where there is one."""
    rows, found = counts.tolist(), []
    for n, parts in enumerate(rows):
        for step in range(1, len(rows)):
            other = (n + step) % len(rows)
            if recording[other] != recording[n]:
                found.append(sum((a - b) ** 2 for a, b in zip(counted(parts), rows[other][4], strict=True)))
                break
    return found


class Told(nn.Module):
    """A head that gives known counts [B 5, C]."""

    def __init__(self, counts):
        super().__init__()
        self.counts = counts

    def forward(self, x):
        return self.counts.flatten(0, 1)


@pytest.mark.parametrize("near", ["all", "some"])
@pytest.mark.parametrize("recording", [[0, 1, 2, 3], [0, 0, 1, 1], [5, 5, 5, 7], [0, 0, 0, 0]])
@pytest.mark.parametrize(("size", "counts"), [(2, 1), (3, 5), (4, 8)])
def test_the_loss_is_the_papers(recording, size, counts, near):
    """The margin is above what lies between all pictures of two recordings, or above some and below others."""
    known = torch.rand(size, 5, counts, generator=Generator().manual_seed(size)) * 2
    apart = strangers(known, recording[:size])
    margin = (1.5 * max(apart) if near == "all" else sum(apart) / len(apart)) if apart else 10.0
    method = tiny.run("counting", f"method.margin={margin}").method()
    method.head = Told(known)
    batch = {"parts": torch.zeros(size, 5, 3, 16, 16, dtype=torch.uint8), "recording": torch.tensor(recording[:size])}
    step = method(batch)
    equal, short = literal(known, recording, margin)
    assert (short > 0) == (len(set(recording[:size])) > 1), "the second term counts"
    if apart:
        assert (max(apart) < margin) == (near == "all")
    assert step.metrics["short"].item() == pytest.approx(short, rel=1e-5)
    assert step.loss.item() == pytest.approx(equal + short, rel=1e-5)


def test_two_numbers_by_hand():
    """Quarters add up to 3 against 2: squared 1; the other's 5 against 3: 4 of 10, 6 missing. And 5 with 5: 0, 1."""
    method = tiny.run("counting").method()
    method.head = Told(torch.tensor([[[1.0], [0.0], [2.0], [0.0], [2.0]], [[2.0], [1.0], [1.0], [1.0], [5.0]]]))
    batch = {"parts": torch.zeros(2, 5, 3, 16, 16, dtype=torch.uint8), "recording": torch.tensor([0, 1])}
    step = method(batch)
    assert step.metrics["equal"].item() == pytest.approx(0.5)
    assert step.metrics["short"].item() == pytest.approx((6 + 1) / 2)
    assert step.metrics["told"].item() == pytest.approx(1.0)
    assert step.loss.item() == pytest.approx(4.0)


def test_quarters_come_row_by_row_and_the_whole_last():
    run = tiny.run("counting", "method.area=1.0", "method.gray=0", "method.shift=0")
    transform = run.kind.transform(run.cfg.method, run.inputs)
    picture = torch.zeros(3, 32, 32, dtype=torch.uint8)
    for number, (row, column) in enumerate([(0, 0), (0, 16), (16, 0), (16, 16)]):
        picture[:, row : row + 16, column : column + 16] = 50 * (number + 1)
    mirrored = set()
    for seed in range(8):
        parts = transform(shortcut.item(picture), Generator().manual_seed(seed), 0.0)["parts"]
        assert parts.shape == (5, 3, 16, 16)
        levels = parts[:4].float().mean((1, 2, 3)).tolist()
        assert levels in ([50, 100, 150, 200], [100, 50, 200, 150])
        mirrored.add(levels[0] == 100)
        corners = [parts[4][0, y, x].item() for y, x in [(2, 2), (2, 13), (13, 2), (13, 13)]]
        assert corners == levels, "the whole shows all four"
    assert mirrored == {True, False}


def test_colors_have_fringes_anywhere_and_gray_pictures_none():
    """An upright edge from black to white: with displaced planes some pixel of each row has a color."""
    picture = torch.zeros(3, 32, 32, dtype=torch.uint8)
    picture[:, :, 16:] = 255

    def colored(*words):
        run = tiny.run("counting", "method.area=1.0", *words)
        transform = run.kind.transform(run.cfg.method, run.inputs)
        outs = [transform(shortcut.item(picture), Generator().manual_seed(seed), 0.0)["parts"][:4] for seed in range(8)]
        return sum(bool((x.amax(1).int() - x.amin(1).int()).max() > 60) for x in outs)

    assert colored("method.gray=0") > 4
    assert colored("method.gray=0", "method.shift=0") == 0
    assert colored("method.gray=1") == 0


def test_three_ways_to_make_a_picture_smaller_look_alike_and_differ():
    x = torch.randint(256, (3, 32, 48), dtype=torch.uint8)
    mean, *others = (smaller(x, way).float() for way in range(3))
    wanted = torch.tensor(
        [[x[0, 2 * r : 2 * r + 2, 2 * c : 2 * c + 2].float().mean() for c in range(24)] for r in range(16)]
    )
    assert (mean[0] - wanted).abs().max() <= 0.5
    for other in others:
        assert other.shape == mean.shape
        assert 1 < (other - mean).abs().mean() < 30
    run = tiny.run("counting", "method.area=1.0", "method.gray=0", "method.shift=0")
    for words, several in (((), True), (("method.smaller=mean",), False)):
        cfg = tiny.run("counting", "method.area=1.0", "method.gray=0", "method.shift=0", *words).cfg.method
        transform = run.kind.transform(cfg, run.inputs)
        picture = torch.randint(256, (3, 32, 32), dtype=torch.uint8)
        outs = [transform(shortcut.item(picture), Generator().manual_seed(k), 0.0)["parts"] for k in range(12)]
        wholes = {tuple(out[4].sort(2).values.flatten().tolist()) for out in outs if torch.equal(out[0], outs[0][0])}
        assert (len(wholes) > 1) == several


def spots(draw):
    """A few bright spots on a dark ground: things to count."""
    picture = torch.full((3, 32, 32), 30.0)
    for _ in range(1 + int(torch.randint(6, (), generator=draw))):
        y, x = torch.randint(28, (2,), generator=draw).tolist()
        picture[:, y : y + 4, x : x + 4] = 220
    return picture.to(torch.uint8)


def test_without_the_second_term_nothing_is_counted():
    words = ("method.area=1.0", "method.gray=0", "method.shift=0", "method.counts=16", "method.hidden=32")

    def counted(contrast):
        words_too = (*words, f"method.contrast={contrast}")
        return shortcut.metric("counting", "counted", spots, *words_too, steps=40, size=16, count=40, lr=1e-2)

    nothing = counted(0)
    assert nothing < 0.05, "all counts vanish"
    assert counted(1) > nothing + 0.15


def parts(pictures, count, side, *words):
    return drawn("counting", pictures, count, f"inputs.height={side}", f"inputs.width={side}", *words)["parts"]


BELOW_AND_RIGHT = torch.tensor([[False, False], [False, True], [True, False], [True, True]])
"""of each quarter"""


@pytest.mark.parametrize(
    ("words", "solved"),
    [
        (("method.gray=0", "method.shift=0"), True),
        (("method.gray=1", "method.shift=0"), False),
        (("method.gray=0", "method.shift=2"), False),
    ],
)
def test_a_lens_tells_a_quarters_place_until_planes_are_gray_or_shifted(words, solved):
    """Chance is 1/4; planes off by one pixel, moved by -4 to 4 against each other, leave 46 % at best."""
    quarters = parts(lambda draw: fringed(draw, 64, 2), 80, 64, "method.area=1.0", *words)[:, :4]
    off = lags(quarters.flatten(0, 1)).unflatten(0, (-1, 4))
    right = share(((off > 0) == BELOW_AND_RIGHT).all(2))
    assert right > 0.9 if solved else right < 0.6


def coded(draw):
    """Edges of a codec's blocks of 8 pixels: the lower and the right quarters of 88 begin in the middle of one."""
    ground = 0.5 * texture(draw, 88)
    ground[::8] += 0.3
    ground[:, ::8] += 0.3
    return picture(ground)


def test_codec_edges_tell_a_quarters_place_until_the_picture_is_cropped():
    def right(*words):
        x = parts(coded, 60, 88, "method.shift=0", *words)[:, :4].double().mean(2)
        lines = torch.stack([x.mean(3), x.mean(2)], 2)  # [B, 4, rows and columns, 44]
        first = torch.stack([lines[..., k::8].mean(-1) for k in range(8)], -1).argmax(-1)
        begun = (first == 4) | (first == 3)  # within a block; 3 where the picture is mirrored, as then 7 is for 0
        return share((begun == BELOW_AND_RIGHT).all(2))

    assert right("method.area=1.0") > 0.9, "the shortcut exists"
    assert right() < 0.4, "and is closed: chance is 1/4"


def waves(draw):
    """Three pixels long, more or less strong: their mean by twos is half as strong, other ways leave less."""
    strong = 0.08 * math.exp(1.6 * float(torch.rand((), generator=draw)))
    wave = (torch.arange(48) * 2 * math.pi / 3).cos()
    return picture(0.5 + strong * wave + 0.01 * torch.randn(48, 48, generator=draw))


def test_faded_detail_is_a_shortcut_that_drawn_ways_to_make_pictures_smaller_close():
    """What counts faintness, as 1 / strength squared, finds as much in the whole as in all quarters, whatever is there.

    Where the way is drawn, that holds for the third that the mean made smaller.
    """

    def right(smaller):
        shown = parts(waves, 24, 48, "method.area=1.0", "method.shift=0", f"method.smaller={smaller}").double()
        angles = torch.arange(24) * 2 * math.pi / 3
        lines = shown.mean((2, 3))  # [B, 5, 24]
        faint = 1 / ((lines @ angles.cos().double()).square() + (lines @ angles.sin().double()).square())
        apart = (faint[:, 4].log() - faint[:, :4].sum(1, keepdim=True).log()).abs()
        return share(apart.argmin(1) == torch.arange(24))

    assert right("mean") > 0.8, "the shortcut exists"
    assert right("drawn") < 0.5, "and is closed"
