"""Projections."""

from __future__ import annotations

import torch
from torch import nn

from avssl.nn.heads import batch_norm, mlp


def test_layers_and_widths():
    assert [tuple(p.shape) for p in mlp(5, 7, 3).parameters()] == [(7, 5), (7,), (3, 7), (3,)]
    assert [tuple(p.shape) for p in mlp(5, 7, 3, 3).parameters() if p.ndim == 2] == [(7, 5), (7, 7), (3, 7)]
    assert len(mlp(5, 7, 3, 1)) == 1


def test_works_on_the_last_axis_and_one_layer_is_linear():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 5)
    for layers in (1, 2):
        head = mlp(5, 7, 3, layers)
        torch.testing.assert_close(head(x)[1, 2], head(x[1, 2]))
    plain = mlp(5, 7, 3, 1)
    torch.testing.assert_close(plain(x.mean(1)), plain(x).mean(1))
    bent = mlp(5, 7, 3, 2)
    assert not torch.allclose(bent(-x) + bent(x), 2 * bent(torch.zeros_like(x)))


def test_batch_norm_is_torchs():
    torch.manual_seed(0)
    for learnt in (False, True):
        ours, theirs = batch_norm(3, learnt), nn.BatchNorm1d(3, affine=learnt)
        assert [name.split(".")[1] for name, _ in ours.named_parameters()] == ["weight", "bias"] * learnt
        for training in (True, True, False):
            x = 5 + 0.1 * torch.randn(6, 3)
            torch.testing.assert_close(ours.train(training)(x), theirs.train(training)(x), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(ours[1].running_mean, theirs.running_mean)
        torch.testing.assert_close(ours[1].running_var, theirs.running_var)


def test_what_was_alike_is_told_apart_once_standardized():
    torch.manual_seed(0)
    x = torch.relu(10 + 0.01 * torch.randn(64, 16))
    spreads = [nn.functional.normalize(mlp(16, 32, 8, 2, asked)(x)).std(0).mean() for asked in (False, True)]
    assert spreads[0] < 0.01 < 0.2 < spreads[1]
