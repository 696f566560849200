"""Mined positives: the literal rule, who is never one; and the one look at every item."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from avssl import ops
from avssl.nn import agreement
from avssl.nn.agreement import NONE, agreed
from avssl.nn.sweep import sweep


def literal(first, second, recording, count):
    found = []
    for i in range(len(first)):
        scores = {}
        for j in range(len(first)):
            if recording[i] < 0 or recording[j] < 0 or recording[i] == recording[j]:
                continue
            scores[j] = min(sum(p * q for p, q in zip(x[i], x[j], strict=True)) for x in (first, second))
        best = sorted(scores, key=lambda j: -scores[j])[:count]
        found.append(best + [NONE] * (count - len(best)))
    return found


@pytest.mark.parametrize("items", [2, 5, 13])
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("at_once", [4, 1024])
def test_the_positives_are_the_papers(items, count, at_once, monkeypatch):
    monkeypatch.setattr(agreement, "AT_ONCE", at_once)
    first, second = ops.unit(torch.randn(items, 6)), ops.unit(torch.randn(items, 3))
    recording = torch.arange(items) // 2
    recording[-1] = -1 if items > 4 else recording[-1]
    found = agreed(first, second, recording, count)
    assert found.tolist() == literal(first.tolist(), second.tolist(), recording.tolist(), count)


def test_looking_alike_is_not_enough():
    """Items 0 and 1 look the same and sound apart; 0 and 2 are near in both."""
    looks = ops.unit(torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [1.0, 0.3, 0]]))
    sounds = ops.unit(torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [1.0, 0, 0.3]]))
    assert agreed(looks, sounds, torch.arange(3), 1)[0].item() == 2


def test_a_sweep_is_in_evaluation_and_leaves_the_network_as_it_was():
    class Counted(nn.Module):
        def forward(self, x):
            assert not self.training
            assert not torch.is_grad_enabled()
            return {"twice": 2 * x["x"]}

    net = Counted().train()
    numbers = torch.arange(5)
    batches = ({"x": part.float(), "index": part, "recording": part + 7} for part in numbers.split(2))
    seen = sweep(net, batches, net)
    assert net.training
    assert seen["twice"].tolist() == [0, 2, 4, 6, 8]
    assert seen["index"].tolist() == [0, 1, 2, 3, 4]
    assert seen["recording"].tolist() == [7, 8, 9, 10, 11]
