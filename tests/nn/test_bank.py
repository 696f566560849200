"""The bank: momentum, items seen twice, and draws that never give an item itself or one of its recording."""

from __future__ import annotations

import pytest
import torch

from avssl.nn.bank import UNSEEN, Bank


def bank(momentum=0.5, length=6, width=4):
    torch.manual_seed(0)
    return Bank(length, width, momentum)


def test_begins_as_unit_vectors_of_no_recording():
    one = bank()
    torch.testing.assert_close(one.vectors.norm(dim=1), torch.ones(6))
    assert (one.recording == UNSEEN).all()
    assert set(one.state_dict()) == {"vectors", "recording"}


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_moves_by_momentum_and_leaves_the_rest(momentum):
    one = bank(momentum)
    old, new = one.vectors.clone(), torch.eye(4)[:2]
    one.update(torch.tensor([4, 1]), torch.tensor([7, 8]), new)
    for row, vector, recording in ((4, new[0], 7), (1, new[1], 8)):
        mixed = [momentum * a + (1 - momentum) * b for a, b in zip(old[row].tolist(), vector.tolist(), strict=True)]
        length = sum(x * x for x in mixed) ** 0.5
        torch.testing.assert_close(one.vectors[row], torch.tensor([x / length for x in mixed]))
        assert one.recording[row] == recording
    rest = [0, 2, 3, 5]
    assert torch.equal(one.vectors[rest], old[rest])
    assert (one.recording[rest] == UNSEEN).all()


def test_an_item_seen_twice_counts_once_with_its_mean():
    twice, mean = bank(), bank()
    a, b = torch.eye(4)[:2]
    twice.update(torch.tensor([2, 2]), torch.tensor([1, 1]), torch.stack([a, b]))
    mean.update(torch.tensor([2]), torch.tensor([1]), ((a + b) / 2)[None])
    torch.testing.assert_close(twice.vectors, mean.vectors)
    turned = bank()
    turned.update(torch.tensor([2, 2]), torch.tensor([1, 1]), torch.stack([b, a]))
    assert torch.equal(turned.vectors, twice.vectors), "in either order"


def test_negatives_are_neither_the_item_nor_its_recording():
    one = bank()
    one.update(torch.arange(6), torch.tensor([0, 0, 1, 1, 2, 3]), torch.randn(6, 4))
    draw = torch.arange(60).expand(2, 60)
    rows, valid = one.negatives(draw, torch.tensor([0, 4]), torch.tensor([0, 2]))
    assert set(rows[0][valid[0]].tolist()) == {2, 3, 4, 5}
    assert set(rows[1][valid[1]].tolist()) == {0, 1, 2, 3, 5}


def test_the_item_itself_is_no_negative_before_it_was_ever_seen():
    rows, valid = bank().negatives(torch.arange(6)[None], torch.tensor([3]), torch.tensor([3]))
    assert rows[0][~valid[0]].tolist() == [3]


def test_no_gradient_reaches_the_memory():
    one = bank()
    new = torch.randn(1, 4, requires_grad=True)
    one.update(torch.tensor([0]), torch.tensor([0]), new)
    assert not one.vectors.requires_grad
