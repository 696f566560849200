"""Colorization: the weighted loss against a literal one, what is looked at, counting, and rare colours."""

from __future__ import annotations

import math

import pytest
import shortcut
import torch
from contract import tiny
from torch import Generator, nn

from avssl import ops
from avssl.methods.image import colorization
from avssl.nn.colors import centers, rarity, soft_bins


class Told(nn.Module):
    """A decoder that gives known logits."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, x):
        return self.logits


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize(("size", "step"), [((16, 16), 4), ((17, 20), 8)])
def test_the_loss_is_the_papers(counted, size, step):
    run = tiny.run("colorization", f"method.step={step}", f"inputs.height={size[0]}", f"inputs.width={size[1]}")
    method, draw = run.method(), Generator().manual_seed(1)
    batch = {"picture": torch.randint(256, (3, 3, *size), dtype=torch.uint8, generator=draw)}
    batch["picture"][1] = batch["picture"][1, :1]  # without colour
    batch["recording"] = torch.arange(3)
    if counted:
        method.before_epoch([batch])
    h, w = -(-size[0] // step), -(-size[1] // step)
    logits = torch.randn(3, 313, h, w, generator=draw)
    method.decoder = Told(logits)
    lab = ops.lab(batch["picture"])
    weights = rarity(method.prior, 0.5).tolist() if counted else [1.0] * 313
    total = 0.0
    for b in (0, 2):
        for r in range(h):
            for c in range(w):
                place = lab[b, 1:, r * step : (r + 1) * step, c * step : (c + 1) * step].flatten(1).mean(1)
                shares = soft_bins(place[None], 10, 5.0)[0].tolist()
                row = logits[b, :, r, c].tolist()
                norm = math.log(sum(math.exp(z) for z in row))
                entropy = -sum(s * (z - norm) for s, z in zip(shares, row, strict=True) if s)
                total += entropy * weights[max(range(313), key=lambda k: shares[k])]
    assert method(batch).loss.item() == pytest.approx(total / (2 * h * w), rel=1e-4)


def test_the_loss_is_torchs_cross_entropy_with_soft_targets():
    """torch's own, with the weights multiplied on: a second source for the unweighted part."""
    run = tiny.run("colorization")
    method, batch = run.method(), run.batch()
    lab = ops.lab(batch["picture"])
    wanted = method.targets(lab)[1]
    logits = method.logits(lab).permute(0, 2, 3, 1).flatten(0, 2)
    reference = torch.nn.functional.cross_entropy(logits, wanted)
    torch.testing.assert_close(method(batch).loss, reference)


def test_only_lightness_is_looked_at():
    """Another colour with the same lightness gives the same answer and the same vector."""
    method = tiny.run("colorization").method().eval()
    lab = ops.lab(torch.rand(2, 3, 32, 32) * 0.4 + 0.3)
    other = torch.cat([lab[:, :1], -lab[:, 1:] / 2], 1)
    with torch.no_grad():
        assert torch.equal(method.logits(lab), method.logits(other))
        vectors = [method.embed("image", ops.rgb(x)) for x in (lab, torch.cat([lab[:, :1], lab[:, 1:] * 0], 1))]
    torch.testing.assert_close(*vectors, atol=1e-3, rtol=0)


def test_colors_are_counted_once():
    run = tiny.run("colorization")
    method = run.method()
    method.before_epoch(iter([run.batch()]))
    first = method.prior.clone()
    assert first.sum().item() == pytest.approx(1, abs=1e-4)
    method.before_epoch(run.batch(step) for step in range(1, 3))
    assert torch.equal(method.prior, first)


def test_counted_colors_are_the_shares_of_bins_over_all_places():
    run, draw = (
        tiny.run("colorization", "inputs.height=18", "inputs.width=20", "method.step=8"),
        Generator().manual_seed(3),
    )
    batches = [{"picture": torch.randint(256, (2, 3, 18, 20), dtype=torch.uint8, generator=draw)} for _ in range(2)]
    method = run.method()
    method.before_epoch(batches)
    wanted, places = [0.0] * 313, 0
    for batch in batches:
        for ab in ops.lab(batch["picture"])[:, 1:]:
            for top in (0, 8, 16):
                for left in (0, 8, 16):
                    a, b = ab[:, top : top + 8, left : left + 8].flatten(1).mean(1).tolist()
                    near = sorted((math.hypot(a - x, b - y), k) for k, (x, y) in enumerate(centers().tolist()))[:10]
                    least = near[0][0] ** 2
                    each = [(math.exp((least - d**2) / 50), k) for d, k in near]
                    for share, k in each:
                        wanted[k] += share / sum(one for one, _ in each)
                    places += 1
    assert method.prior.tolist() == pytest.approx([share / places for share in wanted], abs=1e-6)


def test_three_red_places_and_a_blue_one_are_counted_as_such():
    """Red is a = 80, b = 67 in Lab, blue a = 79, b = -108."""
    picture = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    picture[:, 0] = 255
    picture[:, :, 8:, 8:] = torch.tensor([0, 0, 255], dtype=torch.uint8)[:, None, None]
    words = ("method.step=8", "method.neighbors=1", "inputs.height=16", "inputs.width=16")
    method = tiny.run("colorization", *words).method()
    method.before_epoch([{"picture": picture}])
    held = {tuple(centers()[k].tolist()): method.prior[k].item() for k in method.prior.nonzero()[:, 0]}
    assert held == {(80.0, 70.0): 0.75, (80.0, -110.0): 0.25}


def test_counting_ends_at_enough_pictures(monkeypatch):
    monkeypatch.setattr(colorization, "COUNTED", 5)
    run = tiny.run("colorization")
    batches = iter([run.batch(step, 2) for step in range(5)])
    run.method().before_epoch(batches)
    assert len(list(batches)) == 2, "three pairs are the first to hold five"


def test_a_batch_without_color_has_no_loss():
    run = tiny.run("colorization")
    batch = run.batch()
    batch["picture"] = batch["picture"][:, :1].expand(-1, 3, -1, -1)
    loss = run.method()(batch).loss
    assert loss.item() == 0
    loss.backward()


def rare(draw):
    """Gray pictures of one lightness, one in six of them red: lightness does not tell which."""
    lab = torch.zeros(3, 32, 32)
    lab[0] = 55
    lab[1:] = torch.tensor([2.0, 8.0])[:, None, None]
    if float(torch.rand((), generator=draw)) < 1 / 6:
        lab[1:] = torch.tensor([60.0, 40.0])[:, None, None]
    return (ops.rgb(lab) * 255).round().to(torch.uint8)


def test_rare_colors_would_drown_in_the_usual_one():
    """What cannot be told from lightness is painted in the usual color, unless rare ones weigh more."""

    def red(uniform):
        run = tiny.run(
            "colorization", f"method.uniform={uniform}", "method.neighbors=1", "method.area=1.0", "method.step=8"
        )
        method, draw = run.method(), Generator().manual_seed(0)
        method.before_epoch([shortcut.batch_of(run, rare, 60, draw)])
        tiny.steps(method, (shortcut.batch_of(run, rare, 24, draw) for _ in range(40)), tiny.optimizers(method, 5e-3))
        with torch.no_grad():
            logits = method.eval().logits(ops.lab(shortcut.batch_of(run, rare, 4, draw)["picture"]))
        share = torch.softmax(logits, 1)[:, centers()[:, 0] >= 40].sum(1).mean()
        return share.item()

    drowned, kept = red(1.0), red(0.0)
    assert drowned < 0.25
    assert kept > drowned + 0.15, "the two colors weigh the same together"
