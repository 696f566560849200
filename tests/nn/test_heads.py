"""Projections."""

from __future__ import annotations

import torch

from avssl.nn.heads import mlp


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
