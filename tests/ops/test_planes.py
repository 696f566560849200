"""Lightness and color of a picture, each alone, are those of the picture."""

from __future__ import annotations

import torch

from avssl import ops
from avssl.views.planes import MIDDLE, Planes


def apart(picture):
    """The three pictures uint8 [3, H, W] in Lab."""
    made = Planes(lambda sample, generator, progress: {"picture": picture})(None, None, 0.0)
    assert torch.equal(made["picture"], picture)
    return (ops.lab(made[name][None])[0] for name in ("picture", "lightness", "colors"))


def test_lightness_has_no_color_and_colors_are_equally_light():
    picture = torch.randint(70, 180, (3, 6, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole, light, color = apart(picture)
    torch.testing.assert_close(light[0], whole[0], atol=0.6, rtol=0)
    assert light[1:].abs().max() < 0.5
    assert (color[0] - MIDDLE).abs().max() < 0.6
    torch.testing.assert_close(color[1:], whole[1:], atol=1.5, rtol=0)


def test_a_gray_picture_has_no_colors():
    _, _, color = apart(torch.linspace(0, 255, 12).to(torch.uint8).expand(3, 4, 12))
    assert color[1:].abs().max() < 0.5
