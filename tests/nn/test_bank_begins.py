"""What a bank knows before the first step: nothing, or what the network makes of the items."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from contract import tiny
from torch import Generator, nn

from avssl import ops
from avssl.encoders import Features
from avssl.nn.bank import UNSEEN, Bank, fill_all

ITEMS, NEGATIVES = 512, 128


def test_banks_that_know_nothing_are_filled_and_others_are_left():
    torch.manual_seed(0)
    net, x = nn.Linear(3, 4), torch.randn(6, 3)
    batches = [{"index": part, "recording": part + 10, "x": x[part]} for part in torch.arange(6).split(4)]
    looked = []

    def look(batch):
        looked.append(net.training)
        return {"one": ops.unit(net(batch["x"])), "two": ops.unit(-net(batch["x"]))}

    banks = {name: Bank(8, 4) for name in ("one", "two")}
    before = banks["one"].vectors.clone()
    with torch.no_grad():
        fill_all(net.train(), banks, batches, look)
        expected = ops.unit(net(x))
    assert looked == [False, False]
    assert net.training
    torch.testing.assert_close(banks["one"].vectors[:6], expected)
    torch.testing.assert_close(banks["two"].vectors[:6], -expected)
    assert torch.equal(banks["one"].vectors[6:], before[6:]), "what could not be read stays as it was drawn"
    assert banks["one"].recording.tolist() == [*range(10, 16), UNSEEN, UNSEEN]
    fill_all(net, banks, iter(()), lambda batch: pytest.fail("looked again"))


def test_a_method_fills_its_bank_before_the_first_step_where_that_is_asked():
    for first, known in (("random", False), ("seen", True)):
        run = tiny.run("nce", f"method.first={first}")
        method = run.method()
        method.before_epoch([run.batch()])
        assert (method.bank.recording != UNSEEN).any().item() == known


class Alike(nn.Module):
    """An encoder to which all items are nearly the same at first."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 32))

    def forward(self, x):
        return Features(self.net(x))


def test_where_items_begin_alike_a_random_bank_costs_more_than_knowing_nothing():
    """Whoever has been seen looks like everybody, and more so than an item's own random row."""
    worst = {}
    for first in ("random", "seen"):
        draw = Generator().manual_seed(1)
        items = 3 + torch.randn(ITEMS, 16, generator=draw)
        words = ["method.form=softmax", f"method.first={first}", f"method.negatives={NEGATIVES}", "method.width=32"]
        run = tiny.run("nce", *words)
        torch.manual_seed(0)
        method = run.kind(run.cfg.method, run.inputs, nn.ModuleDict(run.method().encoders), ITEMS)
        method.encoders["image"], method.head = Alike(), nn.Linear(32, 32)
        method.views = SimpleNamespace(made=lambda batch: batch["picture"])
        order = torch.randperm(ITEMS, generator=draw).split(64)
        batches = [{"picture": items[i], "index": i, "recording": i,
                    "draw": torch.randint(1 << 40, (len(i), NEGATIVES), generator=draw)} for i in order]  # fmt: skip
        method.before_epoch(batches)
        worst[first] = max(tiny.steps(method, batches, tiny.optimizers(method, 1e-3)))
    nothing = math.log(1 + NEGATIVES)
    assert worst["seen"] < nothing < 1.5 * nothing < worst["random"]
