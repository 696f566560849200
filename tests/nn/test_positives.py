"""Several positives, each alone against the negatives; and what a bank gives as negatives of an item with positives."""

from __future__ import annotations

import math

import pytest
import torch

from avssl import ops
from avssl.nn.bank import UNSEEN, Bank
from avssl.nn.contrast import each_positive


@pytest.mark.parametrize("positives", [1, 3])
@pytest.mark.parametrize("negatives", [1, 6])
def test_each_positive_is_alone_against_the_negatives(positives, negatives):
    near, far = torch.randn(5, positives), torch.randn(5, negatives)
    valid = torch.rand(5, positives) > 0.3
    valid[0] = False  # an item without positives adds nothing
    far[1, 0] = float("-inf")
    total = 0.0
    for row in range(5):
        losses = [
            -math.log(math.exp(p) / (math.exp(p) + sum(math.exp(n) for n in far[row].tolist())))
            for p, counts in zip(near[row].tolist(), valid[row].tolist(), strict=True)
            if counts
        ]
        total += sum(losses) / max(1, len(losses))
    assert each_positive(near, far, valid).item() == pytest.approx(total / 5, rel=1e-5)


def test_without_any_negative_there_is_no_loss_and_no_slope():
    near = torch.randn(2, 2, requires_grad=True)
    loss = each_positive(near, torch.full((2, 3), float("-inf")), torch.ones(2, 2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert near.grad.abs().max() == 0


def test_a_filled_bank_forgets_what_was_there():
    bank = Bank(4, 3, momentum=0.9)
    vectors = ops.unit(torch.randn(2, 3))
    bank.fill(torch.tensor([3, 1]), torch.tensor([7, 8]), vectors)
    assert torch.equal(bank.vectors[[3, 1]], vectors)
    assert bank.recording.tolist() == [UNSEEN, 8, UNSEEN, 7]


def test_negatives_are_neither_the_item_nor_its_recording_nor_its_positives():
    bank = Bank(6, 3)
    bank.fill(torch.arange(6), torch.tensor([0, 0, 1, 2, 3, 4]), ops.unit(torch.randn(6, 3)))
    x = ops.unit(torch.randn(1, 3))
    draw = torch.arange(6)[None]
    cosines = bank.against(x, draw, torch.tensor([0]), torch.tensor([0]), torch.tensor([[3, -1]]))[0]
    assert cosines.isfinite().tolist() == [False, False, True, False, True, True]
    torch.testing.assert_close(cosines[[2, 4, 5]], (bank.vectors @ x[0])[[2, 4, 5]])
    without = bank.against(x, draw, torch.tensor([0]), torch.tensor([0]))[0]
    assert without.isfinite().tolist() == [False, False, True, True, True, True]
