"""SimCLR: the loss against two independent sources, and what its views must and must not do."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl import ops
from avssl.nn.contrast import nt_xent


def literal(first, second, temperature):
    """Equation 1 of the paper, word for word, averaged over the 2B rows."""
    z = [*first.tolist(), *second.tolist()]
    half, total = len(first), 0.0

    def sim(a, b):
        norms = math.sqrt(sum(p * p for p in a)) * math.sqrt(sum(q * q for q in b))
        return sum(p * q for p, q in zip(a, b, strict=True)) / norms

    for i in range(2 * half):
        j = i + half if i < half else i - half
        below = sum(math.exp(sim(z[i], z[k]) / temperature) for k in range(2 * half) if k != i)
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
    batch = run.batch()
    for key in ("first", "second"):
        assert batch[key].shape == (tiny.ITEMS, 3, 32, 32)
        assert batch[key].dtype == torch.uint8
    assert not torch.equal(batch["first"], batch["second"])


def test_without_strength_views_are_crops_alone():
    run = tiny.run("simclr", "method.strength=0", "method.area=1.0")
    transform = run.kind.transform(run.cfg.method, run.inputs)
    sample = tiny.sample(run.needs, 0)
    sample.parts["video"] = torch.full_like(sample.video, 90)
    view = transform(sample, Generator().manual_seed(0), 0.0)["first"].int()
    assert ((view - 90).abs() <= 1).all(), "a grey picture stays what it is, up to rounding"
