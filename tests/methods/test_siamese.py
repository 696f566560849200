"""Siamese networks: both forms of the loss and both conventions of the label, against words and a reference number."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from contract import tiny
from torch import Generator, nn

from avssl import ops
from avssl.encoders import Features
from avssl.methods.image.siamese import another, contrastive


class Known(nn.Module):
    """An encoder that gives what it is given."""

    def forward(self, x):
        return Features(x)


def loss(first, second, recording, draw, *words):
    """The method's loss where the vectors are known."""
    method = tiny.run("siamese", *words).method()
    method.encoders["image"], method.head = Known(), nn.Identity()
    method.views = SimpleNamespace(made=lambda batch: torch.cat([first, second]))
    return method({"recording": recording, "draw": draw[:, None]}).loss


def literal(a, b, apart, margin, form):
    """One pair's loss."""
    d = math.sqrt(sum((p - q) ** 2 for p, q in zip(a.tolist(), b.tolist(), strict=True)))
    if form == "squared":
        return max(0.0, margin - d**2) if apart else d**2
    return 0.5 * max(0.0, margin - d) ** 2 if apart else 0.5 * d**2


@pytest.mark.parametrize("form", ["distance", "squared"])
@pytest.mark.parametrize("one", ["apart", "together"])
@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("margin", [0.5, 1.5])
def test_the_loss_is_the_published_one(form, one, batch, margin):
    draw = Generator().manual_seed(batch)
    first, second = ops.unit(torch.randn(2, batch, 3, generator=draw))
    recording = torch.arange(batch) // 2 if batch > 2 else torch.arange(batch)
    draws = torch.randint(1 << 62, (batch,), generator=draw)
    pairs = []
    for i in range(batch):
        pairs.append(literal(first[i], second[i], False, margin, form))
        others = [j for j in range(batch) if recording[j] != recording[i]]
        if others:
            pairs.append(literal(first[i], second[others[int(draws[i]) % len(others)]], True, margin, form))
    words = f"method.form={form}", f"method.one={one}", f"method.margin={margin}"
    found = loss(first, second, recording, draws, *words)
    assert found.item() == pytest.approx(sum(pairs) / len(pairs), rel=1e-5, abs=1e-6)


def test_the_squared_form_is_the_reference_librarys():
    """Computed once with pytorch-metric-learning; it adds the means over both kinds of pairs that cost something.

    x = torch.nn.functional.normalize((torch.arange(48) * 1.3).sin().reshape(2, 6, 4), dim=-1)
    ids, distance = torch.arange(6), LpDistance(normalize_embeddings=False, power=2)
    pairs = (ids, ids, ids, (ids + 1) % 6)
    ContrastiveLoss(0, 1.5, distance=distance, reducer=MeanReducer())(x[0], ids, pairs, x[1], ids.clone())
    """
    x, ids = ops.unit((torch.arange(48) * 1.3).sin().reshape(2, 6, 4)), torch.arange(6)
    # Other items in order, without the own one: place i of them is the next item, and the first one for the last.
    draws = torch.tensor([0, 1, 2, 3, 4, 0])
    found = loss(*x, ids, draws, "method.form=squared", "method.margin=1.5")
    assert 2 * found.item() == pytest.approx(METRIC_LEARNING, rel=1e-5)


METRIC_LEARNING = 0.2531679


@pytest.mark.parametrize("form", ["distance", "squared"])
def test_the_label_turned_round_under_the_other_convention_is_the_same(form):
    squares = torch.tensor([0.0, 0.3, 1.2, 3.0])
    label = torch.tensor([0.0, 1.0, 1.0, 0.0])
    paper = contrastive(squares, label, 1.0, form, "apart")
    torch.testing.assert_close(contrastive(squares, 1 - label, 1.0, form, "together"), paper)
    assert not torch.equal(contrastive(squares, label, 1.0, form, "together"), paper), "the conventions differ"


@pytest.mark.parametrize("form", ["distance", "squared"])
def test_pairs_apart_are_pushed_as_far_as_the_margin_and_no_farther(form):
    squares = torch.tensor([0.5, 3.9], requires_grad=True)
    contrastive(squares, torch.ones(2), 1.0, form, "apart").sum().backward()
    assert squares.grad[0] < 0
    assert squares.grad[1] == 0


def test_equal_vectors_have_a_finite_gradient():
    x = torch.ones(2, 3, 4).div(2).requires_grad_()
    found = loss(x[0], x[1], torch.arange(3), torch.arange(3))
    assert found.item() == pytest.approx(0.25, abs=1e-5), "a collapsed network pays for half the pairs"
    found.backward()
    assert x.grad.isfinite().all()


def test_the_other_item_is_never_of_the_same_recording():
    recording = torch.tensor([0, 1, 1, 2])
    for number in range(12):
        other, some = another(recording, torch.full((4,), number))
        assert some.all()
        assert (recording[other] != recording).all()
    seen = {another(recording, torch.full((4,), number))[0][0].item() for number in range(12)}
    assert seen == {1, 2, 3}
    assert not another(torch.zeros(3), torch.arange(3))[1].any()


def test_the_sheet_shows_who_is_pushed_apart():
    run = tiny.run("siamese")
    method, batch = run.method().eval(), run.batch()
    other, some = another(batch["recording"], batch["draw"][:, 0])
    assert some.all()
    second = method.views.made(batch).chunk(2)[1]
    assert torch.equal((method.show(batch)["apart"] * 255).round(), second[other].float())
    alone = {**batch, "recording": torch.zeros_like(batch["recording"])}
    assert (method.show(alone)["apart"] == 0.5).all(), "nobody else"
