"""Projections."""

from __future__ import annotations

import torch
from torch import nn

from avssl.nn.heads import Standardized, mlp


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


def test_standardized_is_torchs_batch_norm_without_scale_and_shift():
    torch.manual_seed(0)
    ours, theirs = Standardized(3).double(), nn.BatchNorm1d(3, affine=False).double()
    for _ in range(3):
        x = (5 + 0.1 * torch.randn(6, 3, dtype=torch.float64)).requires_grad_()
        y = x.detach().clone().requires_grad_()
        found, expected = ours(x), theirs(y)
        torch.testing.assert_close(found, expected)
        for one in (found, expected):
            one.pow(3).sum().backward()
        torch.testing.assert_close(x.grad, y.grad)
    assert theirs.running_mean is not None
    torch.testing.assert_close(ours.mean, theirs.running_mean)
    first = 0.9**3  # what is left of the variance 1 in the beginning; torch remembers the unbiased one of batches
    torch.testing.assert_close(first + (ours.variance - first) * 6 / 5, theirs.running_var)
    x = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(ours.eval()(x)[:1], ours(x[:1]))


def test_what_was_alike_is_told_apart_once_standardized():
    torch.manual_seed(0)
    x = torch.relu(10 + 0.01 * torch.randn(64, 16))
    spreads = [nn.functional.normalize(mlp(16, 32, 8, 2, asked)(x)).std(0).mean() for asked in (False, True)]
    assert spreads[0] < 0.01 < 0.2 < spreads[1]
