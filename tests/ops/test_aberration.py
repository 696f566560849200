"""Color planes are moved by whole pixels, each by itself, as far as is said and no farther."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from avssl.views.aberration import displaced


@pytest.mark.parametrize("most", [0, 1, 2])
def test_each_plane_is_moved_by_itself(most):
    """Each pixel holds its place, so that the first one tells the move."""
    x = torch.arange(100, dtype=torch.uint8).view(1, 10, 10).expand(3, -1, -1)
    moves = set()
    for seed in range(60):
        found = displaced(x, Generator().manual_seed(seed), most)
        corners = [divmod(int(plane[0, 0]), 10) for plane in found]
        for plane, (y, z) in zip(found, corners, strict=True):
            assert torch.equal(plane, x[0, y : y + 10 - 2 * most, z : z + 10 - 2 * most])
        moves.update(corners)
    assert moves == {(y, z) for y in range(2 * most + 1) for z in range(2 * most + 1)}
