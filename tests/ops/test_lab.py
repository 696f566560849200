"""Lab: known colours, a reference library's numbers, and the way back."""

from __future__ import annotations

import pytest
import torch

from avssl import ops

REFERENCE = [
    ((1.0, 0.0, 0.0), (53.2406, 80.0923, 67.2027)),
    ((0.0, 1.0, 0.0), (87.7351, -86.183, 83.1797)),
    ((0.0, 0.0, 1.0), (32.2957, 79.1856, -107.8573)),
    ((1.0, 1.0, 0.0), (97.1395, -21.5547, 94.4781)),
    ((0.2, 0.5, 0.8), (52.2521, 2.776, -46.2857)),
    ((0.02, 0.03, 0.01), (1.8478, -1.3761, 1.6953)),
    ((0.9, 0.4, 0.4), (59.1655, 49.5318, 24.6493)),
]
"""computed once with kornia 0.9: kornia.color.rgb_to_lab(torch.tensor(color).view(1, 3, 1, 1)).flatten().tolist()"""


@pytest.mark.parametrize(("color", "wanted"), REFERENCE)
def test_colors_of_the_reference_library(color, wanted):
    found = ops.lab(torch.tensor(color).view(3, 1, 1)).flatten().tolist()
    assert found == pytest.approx(wanted, abs=2e-3)


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 5, 7), (2, 4, 3, 6, 2)])
def test_there_and_back(shape):
    x = torch.rand(shape)
    assert ops.lab(x).shape == shape
    torch.testing.assert_close(ops.rgb(ops.lab(x)), x, atol=1e-4, rtol=0)
    whole = (x * 255).round().to(torch.uint8)
    torch.testing.assert_close(ops.lab(whole), ops.lab(whole.float() / 255))


def test_gray_has_no_color_and_white_is_a_hundred():
    gray = torch.linspace(0, 1, 11).expand(3, 1, 11)
    found = ops.lab(gray)
    assert found[1:].abs().max() < 0.02
    assert (found[0, 0].diff() > 0).all()
    assert found[0, 0, 0].item() == pytest.approx(0, abs=1e-3)
    assert found[0, 0, -1].item() == pytest.approx(100, abs=1e-3)


def test_what_no_screen_can_show_is_clipped():
    shown = ops.rgb(torch.tensor([50.0, 200.0, -200.0]).view(3, 1, 1))
    assert 0 <= shown.min() <= shown.max() <= 1
