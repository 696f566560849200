"""Triplets: the loss and each way of mining against loops and a reference library's numbers."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from contract import tiny
from torch import Generator, nn

from avssl import ops
from avssl.encoders import Features
from avssl.methods.image.triplet import mined


class Known(nn.Module):
    """An encoder that gives what it is given."""

    def forward(self, x):
        return Features(x)


def loss(anchor, other, recording, draw, *words):
    """The method's loss where the vectors are known."""
    method = tiny.run("triplet", *words).method()
    method.encoders["image"], method.head = Known(), nn.Identity()
    method.views = SimpleNamespace(made=lambda batch: torch.cat([anchor, other]))
    return method({"recording": recording, "draw": draw[:, None]}).loss


def literal(anchor, other, recording, draw, margin, squared, mining):
    """Equation 3 of the paper for each anchor, its negative chosen in words."""

    def apart(a, b):
        square = sum((p - q) ** 2 for p, q in zip(a.tolist(), b.tolist(), strict=True))
        return square if squared else math.sqrt(square)

    lacks = []
    for i in range(len(anchor)):
        near = apart(anchor[i], other[i])
        far = [apart(anchor[i], other[j]) for j in range(len(other)) if recording[j] != recording[i]]
        if not far:
            continue
        if mining == "random":
            far = [far[int(draw[i]) % len(far)]]
        elif mining == "hard":
            far = [min(far)]
        elif mining == "semi_hard":
            far = [min([value for value in far if value > near], default=max(far))]
        lacks.append(sum(max(0.0, near - value + margin) for value in far) / len(far))
    return sum(lacks) / len(lacks) if lacks else 0.0


@pytest.mark.parametrize("mining", ["random", "semi_hard", "hard", "all"])
@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("batch", [1, 2, 9])
def test_the_loss_is_the_papers(mining, squared, batch):
    draw = Generator().manual_seed(batch)
    anchor, other = ops.unit(torch.randn(2, batch, 3, generator=draw))
    recording = torch.arange(batch) // 2 if batch > 2 else torch.arange(batch)
    draws = torch.randint(1 << 62, (batch,), generator=draw)
    found = loss(anchor, other, recording, draws,
                 f"method.mining={mining}", f"method.squared={squared}", "method.margin=0.4")  # fmt: skip
    expected = literal(anchor, other, recording, draws, 0.4, squared, mining)
    assert found.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


METRIC_LEARNING = {
    (False, "hard"): 0.6103281, (False, "all"): 0.1719174, (True, "hard"): 0.5818645, (True, "all"): 0.1313153,
}  # fmt: skip


@pytest.mark.parametrize(("squared", "mining"), METRIC_LEARNING)
def test_the_loss_is_the_reference_librarys(squared, mining):
    """Computed once with pytorch-metric-learning; power is 2 for squared distances, else 1.

    x = torch.nn.functional.normalize((torch.arange(48) * 1.3).sin().reshape(2, 6, 4), dim=-1)
    ids, distance = torch.arange(6), LpDistance(normalize_embeddings=False, power=power)
    hard = BatchHardMiner(distance=distance)(x[0], ids, x[1], ids.clone())  # None for all
    TripletMarginLoss(1.2, distance=distance, reducer=MeanReducer())(x[0], ids, hard, x[1], ids.clone())
    """
    x, ids = ops.unit((torch.arange(48) * 1.3).sin().reshape(2, 6, 4)), torch.arange(6)
    words = f"method.mining={mining}", f"method.squared={squared}", "method.margin=1.2"
    assert loss(*x, ids, ids, *words).item() == pytest.approx(METRIC_LEARNING[squared, mining], rel=1e-5)


@pytest.mark.parametrize(("mining", "chosen"), [("hard", [1, 0, 0]), ("semi_hard", [2, 2, 1]), ("random", [2, 0, 0])])
def test_who_is_mined(mining, chosen):
    """Of the second row no negative is beyond the positive: the farthest is taken."""
    far = torch.tensor([[0.5, 0.2, 0.7], [0.1, 0.6, 0.2], [0.3, 0.8, 0.4]])
    valid = ~torch.eye(3, dtype=torch.bool)
    assert mined(far, valid, mining, torch.tensor([5, 2, 4])).argmax(1).tolist() == chosen
    valid[2, 1] = False
    found = mined(far, valid, mining, torch.tensor([5, 2, 4]))
    assert found.sum(1).tolist() == [1, 1, 1]
    assert found[2].tolist() == [1, 0, 0]
    valid[2] = False
    assert mined(far, valid, mining, torch.tensor([5, 2, 4]))[2].tolist() == [0, 0, 0]


@pytest.mark.parametrize("squared", [True, False])
def test_equal_vectors_have_a_finite_gradient(squared):
    x = torch.zeros(2, 3, 4)
    x[..., 0] = 1
    x.requires_grad_()
    found = loss(x[0], x[1], torch.arange(3), torch.arange(3), f"method.squared={squared}", "method.margin=0.3")
    assert found.item() == pytest.approx(0.3, abs=1e-6), "a collapsed network pays the whole margin"
    found.backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("mining", ["random", "semi_hard", "hard"])
def test_the_sheet_shows_the_negative(mining):
    run = tiny.run("triplet", f"method.mining={mining}")
    method, batch = run.method().eval(), run.batch()
    both = method.views.made(batch)
    far = method.distances(*method.embed("image", both).chunk(2))
    valid = batch["recording"][:, None] != batch["recording"]
    chosen = mined(far, valid, mining, batch["draw"][:, 0]).argmax(1)
    assert (batch["recording"][chosen] != batch["recording"]).all()
    shown = (method.show(batch)["negative"] * 255).round()
    assert torch.equal(shown, both.chunk(2)[1][chosen].float())
    alone = {**batch, "recording": torch.zeros_like(batch["recording"])}
    assert (method.show(alone)["negative"] == 0.5).all(), "there is none"
