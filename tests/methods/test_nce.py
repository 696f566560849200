"""Instance discrimination: both forms against two independent sources, the constant, the bank, and its views."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import shortcut
import torch
from contract import tiny
from shortcut_readers import share
from torch import Generator, nn

from avssl import ops
from avssl.encoders import Features
from avssl.methods.image.nce import binary


class Known(nn.Module):
    """An encoder that gives what it is given."""

    def forward(self, x):
        return Features(x)


def made(bank, *words):
    """The method with this bank, whose encoder gives what it is given."""
    method = tiny.run("nce", f"method.width={bank.shape[1]}", *words).method()
    method.encoders["image"], method.head = Known(), nn.Identity()
    method.bank.vectors = bank
    method.bank.recording = torch.arange(len(bank))
    method.views = SimpleNamespace(made=lambda batch: batch["picture"])
    return method


def given(x, draw):
    """A batch of the items 0, 1, ... whose encoder gives x [B, D]."""
    index = torch.arange(len(x))
    return {"picture": x, "index": index, "recording": index, "draw": draw}


def literal(x, bank, rows, temperature, form):
    """Equations 5 to 8 of the paper (or 2, over the same rows), word for word; Z from the rows, as the code does it.

    A drawn row that is the item's own, -1 in ``rows``, is none.
    """

    def exp(a, b):
        return math.exp(sum(p * q for p, q in zip(a.tolist(), b.tolist(), strict=True)) / temperature)

    count, size = len(rows[0]), len(bank)
    own = [exp(x[i], bank[i]) for i in range(len(x))]
    drawn = [[exp(x[i], bank[j]) for j in rows[i] if j >= 0] for i in range(len(x))]
    if form == "softmax":
        return -sum(math.log(a / (a + sum(others))) for a, others in zip(own, drawn, strict=True)) / len(x)
    seen = own + [value for others in drawn for value in others]
    z = size * sum(seen) / len(seen)
    noise, total = count / size, 0.0
    for a, others in zip(own, drawn, strict=True):
        total -= math.log(a / z / (a / z + noise))
        total -= sum(math.log(1 - b / z / (b / z + noise)) for b in others)
    return total / len(x)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("negatives", [1, 6])
@pytest.mark.parametrize("form", ["binary", "softmax"])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_the_loss_is_the_papers(batch, negatives, form, temperature):
    draw = Generator().manual_seed(batch + negatives)
    x, bank = ops.unit(torch.randn(batch, 3, generator=draw)), ops.unit(torch.randn(9, 3, generator=draw))
    draws = torch.randint(1 << 40, (batch, negatives), generator=draw)
    rows = [[-1 if n % 9 == i else n % 9 for n in row] for i, row in enumerate(draws.tolist())]
    words = (f"method.form={form}", f"method.temperature={temperature}", f"method.negatives={negatives}")
    found = made(bank, *words)(given(x, draws)).loss
    assert found.item() == pytest.approx(literal(x, bank, rows, temperature, form), rel=1e-4, abs=1e-5)


def test_the_loss_is_the_reference_codes():
    """Computed once with the authors' criterion (which adds 1e-7 to each denominator).

    x = torch.nn.functional.normalize((torch.arange(20) * 1.7).sin().reshape(5, 4), dim=-1)
    bank = torch.nn.functional.normalize((torch.arange(28) * 0.9).cos().reshape(7, 4), dim=-1)
    out = (torch.einsum("bd,bkd->bk", x, bank[ROWS]) / 0.5).exp()
    NCECriterion(7)(out / (out.mean() * 7), None)
    """
    x = ops.unit((torch.arange(20) * 1.7).sin().reshape(5, 4))
    bank = ops.unit((torch.arange(28) * 0.9).cos().reshape(7, 4))
    method = made(bank, "method.form=binary", "method.temperature=0.5", "method.negatives=3")
    assert method(given(x, ROWS[:, 1:])).loss.item() == pytest.approx(AUTHORS, rel=1e-5)


ROWS = torch.tensor([[0, 3, 5, 6], [1, 0, 4, 2], [2, 6, 6, 1], [3, 0, 1, 5], [4, 2, 0, 3]])
AUTHORS = 2.4556398


def test_the_constant_is_that_of_the_first_batch():
    run = tiny.run("nce", "method.form=binary", "method.constant=first")
    method, batch = run.method(), run.batch()
    method.eval()(batch)
    method.after_step(0.0)
    assert method.mean.item() == 0, "judging settles nothing"
    method.train()(batch)
    method.after_step(0.0)
    first = method.mean.clone()
    assert first.item() != 0
    method(run.batch(1))
    method.after_step(0.0)
    assert torch.equal(method.mean, first)


def test_a_moving_constant_is_the_average_of_each_batchs_own():
    draw = Generator().manual_seed(3)
    bank = ops.unit(torch.randn(9, 3, generator=draw))
    method, z = made(bank, "method.form=binary", "method.negatives=4", "method.momentum=0.99"), 0.0
    for step in range(3):
        x, draws = ops.unit(torch.randn(4, 3, generator=draw)), torch.randint(1 << 40, (4, 4), generator=draw)
        held = method.bank.vectors.clone()
        found = method(given(x, draws)).metrics["excess"].item()
        seen = []
        for i, row in enumerate(draws.tolist()):
            for j in [i, *(n % 9 for n in row if n % 9 != i)]:
                seen.append(math.exp(float(x[i] @ held[j]) / method.cfg.temperature))
        own = sum(seen) / len(seen)
        z = own if step == 0 else 0.9 * z + 0.1 * own
        assert found == pytest.approx(math.log(own / z), abs=1e-4)
        method.after_step(0.0)
        assert method.mean.item() == pytest.approx(math.log(z), abs=1e-4)


def test_where_vectors_begin_alike_the_first_constant_is_far_too_small_and_a_moving_one_is_not():
    """Without BatchNorm all pictures begin as about one vector; the bank follows, and exponentials grow with it."""
    found = {}
    for constant in ("first", "moving"):
        run = tiny.run("nce", "method.form=binary", f"method.constant={constant}", "method.negatives=64")
        method = run.method()
        losses = tiny.steps(method, [run.batch(step) for step in range(16)], tiny.optimizers(method, 1e-3))
        with torch.no_grad():
            found[constant] = losses, method(run.batch(99)).metrics["excess"].item()
    worst = {constant: max(losses) for constant, (losses, _) in found.items()}
    assert worst["first"] > 10 * found["first"][0][0], "the loss grows, where noise has become as likely as data"
    assert worst["moving"] < 2 * found["moving"][0][0]
    assert found["moving"][1] < 1 < found["first"][1]


def test_the_true_ratio_costs_least():
    """Of two rows, 0.6 and 0.4 likely, while noise draws both alike."""
    likely = torch.tensor([0.6, 0.4], dtype=torch.float64)
    ratios = (likely / 0.5).log().requires_grad_()
    drawn = ratios.repeat(2)
    rows = torch.stack([torch.cat([own, drawn]) for own in ratios.split(1)])
    sum(share * binary(row[None], 4) for share, row in zip(likely, rows, strict=True)).backward()
    torch.testing.assert_close(ratios.grad, torch.zeros_like(ratios), atol=1e-12, rtol=0)


def test_the_bank_moves_halfway_after_the_step():
    bank = torch.eye(4)
    method = made(bank.clone(), "method.momentum=0.5", "method.negatives=2")
    x = torch.eye(4)[[1, 0]]
    method(given(x, torch.zeros(2, 2, dtype=torch.int64)))
    assert torch.equal(method.bank.vectors, bank)
    method.after_step(0.0)
    torch.testing.assert_close(method.bank.vectors[0], torch.tensor([0.5**0.5, 0.5**0.5, 0, 0]))
    assert torch.equal(method.bank.vectors[2:], bank[2:])


def test_proximal_holds_to_the_remembered_vector():
    x, bank = torch.eye(3)[[1]], torch.eye(3)
    draw = torch.tensor([[2, 2]])
    loose, tight = (
        made(bank, f"method.proximal={weight}", "method.negatives=2")(given(x, draw)).loss for weight in (0, 3)
    )
    assert (tight - loose).item() == pytest.approx(3 * 2, rel=1e-5)


def tinted(draw):
    """Noise on a ground of one color."""
    color = 40 + 175 * torch.rand(3, 1, 1, generator=draw)
    return (color + 40 * torch.rand(3, 24, 24, generator=draw)).to(torch.uint8)


@pytest.mark.parametrize(("words", "solved"), [(("method.strength=0",), True), ((), False)])
def test_mean_colors_find_the_other_view_of_a_picture_until_they_change(words, solved):
    """Of 32 pictures, seen once and again; where either view is gray, by their light."""
    run = tiny.run("nce", "inputs.height=24", "inputs.width=24", *words)
    views, draw = run.kind.transform(run.cfg.method, run.inputs), Generator().manual_seed(0)
    pictures = [tinted(draw) for _ in range(32)]

    def colors():
        rows = [views(shortcut.item(picture), draw, 0.0) for picture in pictures]
        return views.made({key: torch.stack([row[key] for row in rows]) for key in rows[0]}).double().mean((2, 3))

    first, second = colors(), colors()
    gray = [seen.amax(1) - seen.amin(1) < 1 for seen in (first, second)]
    light = [seen @ torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64) for seen in (first, second)]
    by_light = (light[0][:, None] - light[1]).abs()
    apart = torch.where(gray[0][:, None] | gray[1], by_light, torch.cdist(first, second))
    right = share(apart.argmin(1) == torch.arange(32))
    assert right > 0.8 if solved else right < 0.3
