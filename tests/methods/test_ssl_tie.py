"""SSL-TIE: both contrasts and the equivariance against loops, moves that are what they say, and limits."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl import ops
from avssl.nn.sounding import warped


def unit_vectors(*shape, seed=0, dim=-1):
    return ops.unit(torch.randn(*shape, generator=Generator().manual_seed(seed)), dim)


def step(places, moved, sounds, recording, move, *words):
    """The method's step where both views' places [B, D, h, w] and the sounds [B + X, D] are known."""
    method = tiny.run("ssl_tie", *words).method()
    method.joint = lambda batch: (places, sounds, recording)
    method.seen = lambda picture, seeds: moved
    picture = torch.zeros(len(places), 3, 8, 8, dtype=torch.uint8)
    return method({"picture": picture, "move": move})


def literal_contrast(places, sounds, recording, temperature):
    """LVS's loss, one place at a time, at the paper's bounds."""
    count = len(places)

    def lit(s, bound):
        return 1 / (1 + math.exp(-(s - bound) / 0.03))

    def cosines(i, j):
        return [sum(p * q for p, q in zip(place, sounds[j].tolist(), strict=True)) for place in flat[i]]

    def mean(values, weights):
        return sum(w * s for w, s in zip(weights, values, strict=True)) / sum(weights)

    flat = [places[i].flatten(1).T.tolist() for i in range(count)]
    total = 0.0
    for i in range(count):
        regions = [mean(cosines(i, j), [lit(s, 0.65) for s in cosines(i, j)]) for j in range(len(sounds))]
        hard = mean(cosines(i, i), [1 - lit(s, 0.4) for s in cosines(i, i)])
        rivals = [regions[j] for j in range(len(sounds)) if j >= count or recording[i] != recording[j]]
        total += math.log(sum(math.exp((x - regions[i]) / temperature) for x in [regions[i], *rivals, hard]))
    return total / count


SIDES = torch.tensor([[-1.0, 0, 0], [0, 1, 0]])
"""the mirror"""


@pytest.mark.parametrize(("batch", "extra", "width"), [(2, 0, 3), (4, 2, 4)])
@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_the_loss_is_its_formula(batch, extra, width, weight):
    """The move is the mirror, under which place x lies at w - 1 - x."""
    places, moved = (unit_vectors(batch, width, 2, 3, dim=1, seed=seed) for seed in (0, 1))
    sounds = unit_vectors(batch + extra, width, seed=2)
    recording = torch.arange(batch).clamp(max=2)
    found = step(
        places, moved, sounds, recording, SIDES.expand(batch, 2, 3),
        f"method.equivariance={weight}", "method.temperature=0.2",
    )  # fmt: skip
    contrasts = [literal_contrast(view, sounds, recording.tolist(), 0.2) for view in (places, moved)]
    total = 0.0
    for i in range(batch):
        for y in range(2):
            for x in range(3):
                mirrored, there = (float(v @ sounds[i]) for v in (places[i, :, y, 2 - x], moved[i, :, y, x]))
                total += (mirrored - there) ** 2
    apart = total / (batch * 6)
    assert found.metrics["contrast"].item() == pytest.approx(sum(contrasts) / 2, rel=1e-3)
    assert found.metrics["equivariance"].item() == pytest.approx(apart, rel=1e-3)
    assert found.loss.item() == pytest.approx(sum(contrasts) / 2 + weight * apart, rel=1e-3)


def test_the_squared_difference_is_the_reference_librarys():
    """Computed once in float64 with numpy, on the cosines of p and s:

    p, q = (np.sin(np.arange(36) * k).reshape(3, 3, 2, 2) for k in (1.3, 0.9))
    p, q = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (p, q))
    s = np.cos(np.arange(9) * 0.7).reshape(3, 3); s /= np.linalg.norm(s, axis=1, keepdims=True)
    m, n = (np.einsum("idyx,id->iyx", x, s) for x in (p, q))
    ((m[:, :, ::-1] - n) ** 2).mean()
    """
    places, moved = (ops.unit((torch.arange(36) * k).sin().reshape(3, 3, 2, 2), 1) for k in (1.3, 0.9))
    sounds = ops.unit((torch.arange(9) * 0.7).cos().reshape(3, 3))
    found = step(places, moved, sounds, torch.arange(3), SIDES.expand(3, 2, 3))
    assert found.metrics["equivariance"].item() == pytest.approx(0.45481930038468593, rel=1e-4)


def test_a_map_that_moves_along_costs_nothing_and_one_that_stays_costs():
    places, sounds = unit_vectors(2, 4, 4, 4, dim=1), unit_vectors(2, 4, seed=1)
    for move in (SIDES, torch.tensor([[0.0, -1, 0], [1, 0, 0]])):
        moves = move.expand(2, 2, 3)
        along = step(places, warped(places, moves), sounds, torch.arange(2), moves)
        assert along.metrics["equivariance"].item() == pytest.approx(0, abs=1e-5)
        assert step(places, places, sounds, torch.arange(2), moves).metrics["equivariance"] > 0.1


def test_what_the_moved_picture_does_not_show_is_left_out():
    """Half as large: only the middle of the map is compared, whatever the black border would score."""
    places, sounds = unit_vectors(2, 4, 8, 8, dim=1), unit_vectors(2, 4, seed=1)
    moves = torch.tensor([[2.0, 0, 0], [0, 2, 0]]).expand(2, 2, 3)
    moved = warped(places, moves)
    moved[:, :, [0, 1, 6, 7]] = 100.0
    moved[:, :, :, [0, 1, 6, 7]] = 100.0
    found = step(places, moved, sounds, torch.arange(2), moves)
    assert found.metrics["equivariance"].item() == pytest.approx(0, abs=1e-5)


def test_moves_turn_shrink_and_mirror_pixels_without_stretching_them():
    """On a wide picture too: in pixels, each move is a rotation times a size within the bounds, mirrored or not."""
    run = tiny.run("ssl_tie", "inputs.width=64", "method.degrees=20", "method.smallest=0.8")
    transform = run.kind.transform(run.cfg.method, run.inputs)
    sides = set()
    for seed in range(12):
        move = transform(tiny.sample(run.needs, 0), Generator().manual_seed(seed), 0.0)["move"]
        assert move[:, 2].abs().sum() == 0
        pixels = torch.diag(torch.tensor([2.0, 1.0])) @ move[:, :2] @ torch.diag(torch.tensor([0.5, 1.0]))
        size = 1 / pixels.det().abs().sqrt()
        assert 0.8 - 1e-5 <= size <= 1 + 1e-5
        torch.testing.assert_close(pixels @ pixels.T, torch.eye(2) / size**2, atol=1e-5, rtol=1e-5)
        assert pixels[1, 1] * size >= math.cos(math.radians(20)) - 1e-5
        sides.add(bool(pixels.det() > 0))
    assert sides == {True, False}


def test_the_moved_picture_is_seen_on_the_same_scale():
    """Without a move both views are one picture, so maps are equal and the two contrasts too."""
    run = tiny.run("ssl_tie", "encoders.image.norm=group")
    method, batch = run.method().eval(), run.batch()
    batch["move"] = torch.eye(2, 3).expand(tiny.ITEMS, 2, 3)
    with torch.no_grad():
        found = method(batch)
    assert found.metrics["equivariance"].item() == pytest.approx(0, abs=1e-6)
