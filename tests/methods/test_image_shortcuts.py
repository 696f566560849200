"""Methods of two views: each has a way to a low loss that looks at no picture, which a trick of its own closes.

Every test asks the same of the method with its trick and without it, and the second one must be caught.
"""

from __future__ import annotations

import pytest
import shortcut
import torch
from contract import tiny
from torch import Generator, nn

SMALL = ("inputs.height=24", "inputs.width=24")


def tinted(draw):
    """Noise on a ground of one color: nothing but the color is the same in two views."""
    color = 40 + 175 * torch.rand(3, 1, 1, generator=draw)
    return (color + 40 * torch.rand(3, 24, 24, generator=draw)).to(torch.uint8)


def noise(draw):
    """Nothing is the same in two views."""
    return torch.randint(256, (3, 24, 24), dtype=torch.uint8, generator=draw)


def patches(draw):
    """Nine fields of color: views of one picture are alike, and those of two are not."""
    return torch.randint(256, (3, 3, 3), generator=draw).repeat_interleave(8, 1).repeat_interleave(8, 2).to(torch.uint8)


def found(name, pictures, *words, steps=10):
    """The metrics of 64 unseen pictures after a few steps on such pictures."""
    return shortcut.metrics(name, pictures, *SMALL, *words, steps=steps, size=12, count=64)


@pytest.mark.parametrize(
    ("name", "off", "on"),
    [
        ("simclr", "method.augment=[crop,flip]", "method.augment=[crop,flip,color,gray]"),
        ("triplet", "method.strength=0", "method.strength=1"),
    ],
)
def test_colors_are_a_shortcut_that_their_change_closes(name, off, on):
    """Of 64 pictures the own one is found by its color, until views have colors of their own."""
    assert found(name, tinted, off)["accuracy"] > 0.5, "the shortcut exists"
    assert found(name, tinted, on, "method.strength=1")["accuracy"] < 0.2, "and is closed"


def test_pairs_are_told_by_their_colors_until_these_change():
    """The loss of siamese networks has no accuracy: how far apart are views of one picture, how far those of two?"""

    def told(strength):
        seen = found("siamese", tinted, f"method.strength={strength}")
        return seen["apart"] / seen["together"]

    assert told(0) > 3, "the shortcut exists"
    assert told(1) < 1.8, "and is closed"


@pytest.mark.parametrize(("momentum", "solved"), [(0.0, True), (0.9999, False)])
def test_the_age_of_a_key_is_a_shortcut_that_a_slow_encoder_closes(momentum, solved):
    """A key of now is told from those that a quick encoder made some steps ago, whatever the pictures show."""
    words = ("method.queue=48", f"method.momentum={momentum}")
    accuracy = found("moco", noise, *words, steps=20)["accuracy"]
    assert accuracy > 0.9 if solved else accuracy < 0.15


def spread(*words, blind=False):
    """How far the vectors of BYOL spread after a few steps: 1 is everywhere, 0 a collapse."""
    run = tiny.run("byol", *SMALL, "method.area=0.6", "method.strength=0.2", "method.momentum=0.9", *words)
    method, draw = run.method(), Generator().manual_seed(0)
    if blind:
        method.predictor = nn.Identity()
    *batches, unseen = (shortcut.batch_of(run, patches, 16, draw) for _ in range(5))
    tiny.steps(method, (batches[step % 4] for step in range(20)), tiny.optimizers(method, 3e-3))
    with torch.no_grad():
        return method(unseen).metrics["spread"].item()


def test_one_vector_for_all_is_a_shortcut_that_batch_norm_and_the_predictor_close():
    """Slowness alone is not enough, nor is a predictor whose heads normalize each picture by itself."""
    whole = spread()
    assert whole > 0.6, "nothing collapses"
    assert spread("method.norm=layer") < 0.1, "without statistics of the batch"
    assert spread(blind=True) < 0.6 * whole, "without a predictor"
    assert spread("method.momentum=0", blind=True) < 0.2, "and of a copy that is not slow"


def test_one_vector_for_all_is_a_shortcut_that_the_margin_closes():
    """With next to no margin, pairs of two pictures ask for nothing, and the others for one vector."""

    def apart(margin):
        return found("siamese", tinted, "method.strength=0", f"method.margin={margin}")["apart"]

    assert apart(1e-3) < 0.1, "the shortcut exists"
    assert apart(1) > 0.4, "and is closed"
