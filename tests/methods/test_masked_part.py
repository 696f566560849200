"""Masked part: which part is where, in drawn pictures; the loss of what is judged; and lines that cross the edge."""

from __future__ import annotations

import math

import pytest
import shortcut
import torch
from contract import tiny
from torch import Generator, nn

from avssl.methods.image.masked_part import PARTS, region

DRAWN = {
    "top": "####/####/..../....",
    "bottom": "..../..../####/####",
    "left": "##../##../##../##..",
    "right": "..##/..##/..##/..##",
}


@pytest.mark.parametrize("part", DRAWN)
def test_halves_are_where_their_names_say(part):
    wanted = [[cell == "#" for cell in row] for row in DRAWN[part].split("/")]
    assert region(part, (4, 4), 0.5, Generator()).tolist() == wanted


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("share", [0.25, 0.5])
def test_each_part_takes_up_its_share(part, share):
    found = region(part, (40, 60), share, Generator().manual_seed(0))
    assert found.float().mean().item() == pytest.approx(share, abs=0.02)
    if part in ("middle", "rim"):
        assert found[20, 30] == (part == "middle")
        assert found[0, 0] == (part == "rim")


def given(*words):
    run = tiny.run("masked_part", *words)
    transform = run.kind.transform(run.cfg.method, run.inputs)
    return [transform(tiny.sample(run.needs, 0), Generator().manual_seed(seed), 0.0) for seed in range(60)]


@pytest.mark.parametrize("hidden", PARTS)
def test_nothing_hidden_is_shown_and_a_band_is_not_judged(hidden):
    for out in given(f"method.hidden={hidden}", "method.gap=0.125")[:4]:
        seen, judged = out["seen"], out["judged"]
        assert not (seen & judged).any()
        assert seen.any()
        places = [torch.nonzero(x).float() for x in (seen, judged)]
        if len(places[1]):
            apart = (places[0][:, None] - places[1]).abs().amax(2).min()
            assert apart == 5, "four pixels between them"
    plain = given(f"method.hidden={hidden}", "method.gap=0")[0]
    assert torch.equal(plain["seen"], ~plain["judged"])


@pytest.mark.parametrize("hidden", ["rim", "top", "any"])
def test_a_part_of_which_the_band_leaves_nothing_is_refused(hidden):
    with pytest.raises(
        ValueError, match=r"^method\.share=0\.05, gap=0\.2: of .* nothing is left to judge beside the band"
    ):
        tiny.run("masked_part", f"method.hidden={hidden}", "method.share=0.05", "method.gap=0.2").method()


def test_any_part_from_any_other():
    names = {}
    for out in given("method.hidden=any", "method.gap=0"):
        for part in DRAWN:
            if torch.equal(out["judged"], region(part, (32, 32), 0.5, Generator())):
                names[part] = True
    assert len(names) == 4
    for out in given("method.hidden=left", "method.seen=top", "method.gap=0")[:2]:
        quarter = region("top", (32, 32), 0.5, Generator()) & region("right", (32, 32), 0.5, Generator())
        assert torch.equal(out["seen"], quarter), "of the top, what is not hidden"
    with pytest.raises(ValueError, match="nothing of it is left where top is hidden"):
        tiny.run("masked_part", "method.hidden=top", "method.seen=top").method()


class AsItIs:
    """Views that are the pictures themselves."""

    def made(self, batch):
        return batch["picture"]


class Told(nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, x):
        return self.logits


@pytest.mark.parametrize("size", [(16, 16), (18, 20)])
def test_the_loss_is_the_error_of_what_is_judged(size):
    """torch's mse_loss of the judged values is the second source."""
    method = tiny.run("masked_part", f"inputs.height={size[0]}", f"inputs.width={size[1]}").method()
    draw = Generator().manual_seed(0)
    logits = torch.randn(2, 3, *size, generator=draw)
    method.decoder, method.views = Told(logits), AsItIs()
    judged = torch.rand(2, *size, generator=draw) < torch.tensor([0.2, 0.7]).view(2, 1, 1)
    picture = torch.randint(256, (2, 3, *size), dtype=torch.uint8, generator=draw)
    total = reference = 0.0
    for b in range(2):
        pairs = [
            (1 / (1 + math.exp(-logits[b, p, r, c].item())), picture[b, p, r, c].item() / 255)
            for p in range(3) for r in range(size[0]) for c in range(size[1]) if judged[b, r, c]
        ]  # fmt: skip
        total += sum((x - y) ** 2 for x, y in pairs) / len(pairs) / 2
        chosen = judged[b].expand(3, -1, -1)
        reference += nn.functional.mse_loss(logits[b].sigmoid()[chosen], (picture[b] / 255)[chosen]).item() / 2
    loss = method({"picture": picture, "seen": ~judged, "judged": judged}).loss.item()
    assert loss == pytest.approx(total, rel=1e-4)
    assert loss == pytest.approx(reference, rel=1e-4)


def test_what_is_not_seen_changes_nothing():
    run = tiny.run("masked_part")
    method, batch = run.method().eval(), run.batch()
    view, seen = method.views.made(batch), batch["seen"][:, None]
    method.views = AsItIs()
    one, other, third = view, torch.where(seen, view, 255 - view), torch.where(seen, 255 - view, view)
    with torch.no_grad():
        made = [method.predicted({**batch, "picture": x})[2] for x in (one, other, third)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def bands(draw):
    """Upright bands of eight pixels, each of its own level; one lies across the middle."""
    level = torch.randint(256, (1, 1, 5), generator=draw)
    return level.repeat_interleave(8, 2)[..., 4:36].expand(3, 32, 32).to(torch.uint8)


def test_what_goes_on_across_the_edge_is_a_shortcut_that_the_band_closes():
    """Of the left half, the four columns next to the edge belong to a band that is half seen: a quarter of it."""
    words = ("method.hidden=left", "method.area=1.0", "method.planes=16")

    def explained(gap):
        asked = (*words, f"method.gap={gap}")
        return shortcut.metric("masked_part", "explained", bands, *asked, steps=160, size=8, count=60, lr=1e-3)

    assert explained(0) > 0.12, "the shortcut exists"
    assert explained(0.125) < 0.05, "and is closed"
