"""Context encoder: both losses against literal ones, what is missing, whose turn it is, and a hole that stays."""

from __future__ import annotations

import math

import pytest
import shortcut
import torch
from contract import tiny
from torch import Generator, nn

from avssl.methods.image.context_encoder import square
from avssl.nn.masking import blob


class Told(nn.Module):
    """Gives known tensors, one after the other."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)

    def forward(self, x):
        return self.answers.pop(0)


def batch_of(size, missing):
    draw = Generator().manual_seed(2)
    return {"picture": torch.randint(256, (2, 3, *size), dtype=torch.uint8, generator=draw), "missing": missing}


@pytest.mark.parametrize("region", ["any", "middle"])
@pytest.mark.parametrize("size", [(16, 16), (18, 20)])
def test_the_painters_loss_is_the_papers(region, size):
    words = (f"method.region={region}", "method.overlap=0.1", f"inputs.height={size[0]}", f"inputs.width={size[1]}")
    method = tiny.run("context_encoder", *words).method()
    draw = Generator().manual_seed(0)
    hole = square(*size, 2) if region == "middle" else None
    missing = torch.stack([blob(size, 0.25, draw) if hole is None else hole for _ in range(2)])
    batch, logits = batch_of(size, missing), torch.randn(2, 3, *size, generator=draw)
    told = [0.7, -1.2]
    method.painter, method.critic = Told(logits), Told(torch.tensor(told)[:, None])
    total = 0.0
    for b in range(2):
        summed, judged = 0.0, 0
        for r in range(size[0]):
            for c in range(size[1]):
                inside = all(n // 4 <= k < n // 4 + n // 2 for k, n in zip((r, c), size, strict=True))
                weight = 1.0 if missing[b, r, c] else 10.0 if region == "middle" and inside else 0.0
                judged += weight > 0
                for p in range(3):
                    made = 1 / (1 + math.exp(-logits[b, p, r, c].item()))
                    summed += weight * (made - batch["picture"][b, p, r, c].item() / 255) ** 2
        total += summed / (3 * judged) / 2
    disbelief = sum(math.log(1 + math.exp(-z)) for z in told) / 2
    step = method(batch, "painter")
    assert step.metrics["error"].item() == pytest.approx(total, rel=1e-4)
    assert step.loss.item() == pytest.approx(0.999 * total + 0.001 * disbelief, rel=1e-4)


class Spy(nn.Module):
    """Keeps what it is shown."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def forward(self, x):
        self.shown.append(x)
        return x.flatten(1).sum(1, keepdim=True)


@pytest.mark.parametrize("turn", ["critic", "painter"])
def test_the_critic_sees_what_was_painted_where_it_was_missing_or_the_square_alone(turn):
    for region in ("any", "middle"):
        run = tiny.run("context_encoder", f"method.region={region}", "inputs.height=16", "inputs.width=16")
        method, batch = run.method(), run.batch()
        logits = torch.randn(batch["picture"].shape, generator=Generator().manual_seed(1))
        method.painter, method.critic = Told(logits), Spy()
        method(batch, turn)
        clean, made = batch["picture"] / 255, logits.sigmoid()
        if region == "any":
            real, fake = clean, torch.where(batch["missing"][:, None], made, clean)
        else:
            real, fake = (x[..., 4:12, 4:12] for x in (clean, made))
        shown = method.critic.shown
        assert len(shown) == (2 if turn == "critic" else 1)
        torch.testing.assert_close(shown[-1], fake)
        torch.testing.assert_close(shown[0], real if turn == "critic" else fake)


def test_the_critics_loss_is_the_reference_librarys():
    """Computed once with sklearn, for real and painted pictures:

    p = lambda logits: 1 / (1 + np.exp(-np.array(logits)))
    log_loss([1, 1], p([2, -.5]), labels=[0, 1]) + log_loss([0, 0], p([-1, .7]), labels=[0, 1])
    """
    run = tiny.run("context_encoder")
    method = run.method()
    method.critic = Told(torch.tensor([[2.0], [-0.5]]), torch.tensor([[-1.0], [0.7]]))
    assert method(run.batch(size=2), "critic").loss.item() == pytest.approx(1.258726, abs=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (40, 50)])
@pytest.mark.parametrize("share", [0.2, 0.3])
def test_a_region_of_any_shape_has_its_share_and_hangs_together(size, share):
    regions = [blob(size, share, Generator().manual_seed(seed)) for seed in range(4)]
    for region in regions:
        assert region.shape == size
        assert region.float().mean().item() == pytest.approx(share, abs=1e-3)
        same = (region[1:] == region[:-1]).float().mean()
        assert same > 0.85, "regions, not dust"
    assert not torch.equal(regions[0], regions[1])


def test_the_middle_is_half_as_high_and_wide():
    drawn = ["........", "........", "..####..", "..####..", "..####..", "..####..", "........", "........"]
    assert square(8, 8).tolist() == [[cell == "#" for cell in row] for row in drawn]
    assert square(8, 8, 1).sum() == 4


def test_what_is_missing_is_not_looked_at():
    run = tiny.run("context_encoder")
    method, batch = run.method().eval(), run.batch()
    other = {**batch, "picture": torch.where(batch["missing"][:, None], 255 - batch["picture"], batch["picture"])}
    with torch.no_grad():
        assert torch.equal(method.paint(batch)[2], method.paint(other)[2])


def test_the_critics_turn_moves_nobody_else_and_there_may_be_none():
    run = tiny.run("context_encoder")
    method = run.method()
    method(run.batch(), "critic").loss.backward()
    assert all(p.grad is None for p in method.turns()["painter"])
    alone = tiny.run("context_encoder", "method.adversarial=0").method()
    assert list(alone.turns()) == ["painter"]
    assert alone(run.batch()).loss.isfinite()


def framed(draw):
    """Any one color, but the middle is always the same."""
    picture = torch.randint(256, (3, 1, 1), generator=draw).expand(3, 32, 32).clone()
    picture[:, 8:24, 8:24] = 200
    return picture.to(torch.uint8)


def test_a_hole_that_stays_is_filled_without_looking():
    """How much worse it gets when each looks at another picture: with one place for the hole, not at all."""

    def ratio(region):
        words = ("method.adversarial=0", "method.area=1.0", "method.planes=16")
        run = tiny.run("context_encoder", f"method.region={region}", *words)
        method, draw = shortcut.trained(run, framed, steps=50, size=12, lr=5e-3)
        batch = shortcut.batch_of(run, framed, 40, draw)
        swapped = {**batch, "picture": batch["picture"].roll(1, 0)}
        hidden = batch["missing"][:, None]
        with torch.no_grad():
            clean, _, made = method.paint(batch)
            other = method.paint(swapped)[2]
        errors = [((x - clean).square() * hidden).sum() for x in (made, other)]
        return float(errors[1] / errors[0])

    assert ratio("middle") < 1.05, "the hole is filled whatever is around it"
    assert ratio("any") > 1.2, "it must look"
