"""Rows that lack a modality: where what is there lies among all, and what is compared."""

from __future__ import annotations

import torch

from avssl.nn.lacking import compared, spread


def test_what_is_there_lies_at_its_place_with_its_gradient() -> None:
    there = torch.tensor([False, True, False, True])
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    whole = spread(x, there)
    assert whole.tolist() == [[0, 0], [1, 2], [0, 0], [3, 4]]
    (whole * torch.arange(8).view(4, 2)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[2, 3], [6, 7]]
    assert spread(x[:0], torch.zeros(3, dtype=torch.bool)).tolist() == [[0, 0]] * 3


def test_where_none_is_there_all_are_compared_and_count_nothing() -> None:
    some = torch.tensor([True, False])
    for there, rows, weight in ((some, [True, False], 1.0), (some & False, [True, True], 0.0)):
        found, counts = compared(there)
        assert (found.tolist(), counts.item()) == (rows, weight)
