"""Counting: both terms against a literal version, the parts, and the collapse that the second term forbids."""

from __future__ import annotations

import pytest
import shortcut
import torch
from contract import tiny
from torch import Generator, nn

from avssl.methods.image.counting import smaller


def literal(counts, recording, margin):
    """The paper's two terms, one picture and one number at a time."""
    total, pairs, second = 0.0, 0, 0.0
    rows = counts.tolist()
    for n, parts in enumerate(rows):
        added = [sum(part[k] for part in parts[:4]) for k in range(len(parts[0]))]
        total += sum((a - b) ** 2 for a, b in zip(added, parts[4], strict=True))
        for step in range(1, len(rows)):
            other = (n + step) % len(rows)
            if recording[other] != recording[n]:
                apart = sum((a - b) ** 2 for a, b in zip(added, rows[other][4], strict=True))
                second += max(0.0, margin - apart)
                pairs += 1
                break
    return total / len(rows) + second / max(1, pairs)


class Told(nn.Module):
    """A head that gives known counts [B 5, C]."""

    def __init__(self, counts):
        super().__init__()
        self.counts = counts

    def forward(self, x):
        return self.counts.flatten(0, 1)


@pytest.mark.parametrize("recording", [[0, 1, 2, 3], [0, 0, 1, 1], [5, 5, 5, 7], [0, 0, 0, 0]])
@pytest.mark.parametrize(("size", "counts", "margin"), [(2, 1, 3.0), (3, 5, 10.0), (4, 8, 1.0)])
def test_the_loss_is_the_papers(recording, size, counts, margin):
    run = tiny.run("counting", f"method.margin={margin}")
    method = run.method()
    known = torch.rand(size, 5, counts, generator=Generator().manual_seed(size)) * 2
    method.head = Told(known)
    batch = {"parts": torch.zeros(size, 5, 3, 16, 16, dtype=torch.uint8), "recording": torch.tensor(recording[:size])}
    loss = method(batch).loss.item()
    assert loss == pytest.approx(literal(known, recording, margin), rel=1e-5)


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
