"""Batch normalization over ranks, also where one has fewer rows than another, as where recordings lack the sound."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avssl.encoders import image


@pytest.mark.parametrize("learnt", [True, False])
@pytest.mark.parametrize("rows", [4, 2, 7])
def test_ranks_of_any_size_equal_one(rows: int, learnt: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight rows, of which this rank has so many; what the other one tells is put in its place."""
    torch.manual_seed(0)
    x = torch.randn(8, 3, 4, 5)
    alone = image.JointNorm(3, affine=learnt)
    whole = alone(x)
    rest = x[rows:]

    def gather(mine: Tensor) -> Tensor:
        if mine.ndim == 1:
            return torch.cat([mine, torch.tensor([float(rest.numel() // 3)])])
        return torch.cat([mine, torch.stack([rest.mean((0, 2, 3)), rest.square().mean((0, 2, 3))])[None]])

    monkeypatch.setattr(image, "several_ranks", lambda: True)
    monkeypatch.setattr(image, "gather", gather)
    shared = image.JointNorm(3, affine=learnt)
    torch.testing.assert_close(shared(x[:rows]), whole[:rows], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shared.running_mean, alone.running_mean)
    torch.testing.assert_close(shared.running_var, alone.running_var)
