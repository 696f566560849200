"""BYOL: the loss against two independent sources, the slow copy's pace, and what keeps it from collapsing."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from contract import tiny
from torch import Generator, nn

from avssl.encoders import Features


class Known(nn.Module):
    """An encoder that gives what it is given."""

    def forward(self, x):
        return Features(x)


class Swapped(nn.Module):
    """A predictor, or a slow head, that gives these vectors whatever it is asked."""

    def __init__(self, vectors):
        super().__init__()
        self.vectors = vectors

    def forward(self, x):
        return self.vectors


def step(told, slow):
    """The method's step where predictions and slow vectors of both views, [2, B, D] each, are known."""
    method = tiny.run("byol", f"method.projection={told.shape[2]}").method()
    method.encoders["image"] = method.slow_encoder = Known()
    method.head, method.predictor, method.slow_head = nn.Identity(), Swapped(told.flatten(0, 1)), nn.Identity()
    method.views = SimpleNamespace(made=lambda batch: slow.flatten(0, 1))
    return method({})


def literal(told, slow):
    """Equation 2 of the paper and its mirror image, averaged over the batch."""

    def unit(x):
        norm = math.sqrt(sum(p * p for p in x))
        return [p / norm for p in x]

    total = 0.0
    for mine, other in ((0, 1), (1, 0)):
        for q, z in zip(told[mine].tolist(), slow[other].tolist(), strict=True):
            total += sum((a - b) ** 2 for a, b in zip(unit(q), unit(z), strict=True))
    return total / len(told[0])


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("width", [2, 5])
def test_the_loss_is_the_papers(batch, width):
    told, slow = torch.randn(2, 2, batch, width, generator=Generator().manual_seed(batch))
    assert step(told, slow).loss.item() == pytest.approx(literal(told, slow), rel=1e-5, abs=1e-5)


def test_the_loss_is_the_reference_librarys():
    """Computed once with lightly.

    told_first, slow_second, told_second, slow_first = (torch.arange(80) * 1.7).sin().reshape(4, 5, 4)
    4 + 2 * (NegativeCosineSimilarity()(told_first, slow_second) + NegativeCosineSimilarity()(told_second, slow_first))
    """
    told_first, slow_second, told_second, slow_first = (torch.arange(80) * 1.7).sin().reshape(4, 5, 4)
    found = step(torch.stack([told_first, told_second]), torch.stack([slow_first, slow_second])).loss
    assert found.item() == pytest.approx(7.381149, rel=1e-5)


@pytest.mark.parametrize(("progress", "momentum"), [(0.0, 0.9), (0.25, 0.9146447), (0.5, 0.95), (1.0, 1.0)])
def test_the_copy_follows_ever_slower(progress, momentum):
    """Along a cosine: at a quarter 1 - 0.1 * (cos(pi / 4) + 1) / 2."""
    method = tiny.run("byol", "method.momentum=0.9").method()
    student, slow = method.head[0].weight, method.slow_head.copy[0].weight
    old = slow.clone()
    with torch.no_grad():
        student.add_(1.0)
    method.after_step(progress)
    torch.testing.assert_close(slow, old + (1 - momentum))


def test_no_gradient_reaches_the_copy_and_one_picture_alone_teaches():
    run = tiny.run("byol")
    method, batch = run.method(), run.batch(size=1)
    method(batch).loss.backward()
    slow = [*method.slow_encoder.parameters(), *method.slow_head.parameters()]
    assert all(parameter.grad is None for parameter in slow)
    assert method.head[0].weight.grad.abs().sum() > 0, "no other picture is needed"


def test_spread_tells_a_collapse():
    x = torch.randn(2, 400, 16, generator=Generator().manual_seed(0))
    assert step(x, x).metrics["spread"].item() == pytest.approx(1, abs=0.05)
    same = torch.ones(2, 400, 16)
    assert step(x, same).metrics["spread"].item() == pytest.approx(0, abs=1e-5)


def test_the_second_view_alone_is_solarized():
    run = tiny.run("byol", "method.solarized=[0,1]", "method.strength=0", "method.area=1.0")
    sample = tiny.sample(run.needs, 0)
    sample.parts["video"] = torch.full_like(sample.video, 200)
    made = run.kind.preview(run.cfg.method, run.inputs)(sample, Generator().manual_seed(0), 0.0)
    assert ((made["first"].int() - 200).abs() <= 1).all()
    assert ((made["second"].int() - 55).abs() <= 1).all()
