"""MoCo: the loss against two independent sources, the queue against a list, and the slow copy."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from contract import tiny
from torch import Generator, nn

from avssl import ops
from avssl.encoders import Features


class Known(nn.Module):
    """An encoder that gives what it is given."""

    def forward(self, x):
        return Features(x)


def loss(query, key, queue, temperature, recording=None, queued=None):
    """The method's loss where the vectors of both encoders and of the queue are known."""
    method = tiny.run("moco", f"method.temperature={temperature}", f"method.queue={len(queue)}").method()
    method.encoders["image"] = method.slow_encoder = Known()
    method.head = method.slow_head = nn.Identity()
    method.queue = queue
    if queued is not None:
        method.recording.copy_(queued)
    recording = torch.arange(len(query)) if recording is None else recording
    method.views = SimpleNamespace(made=lambda batch: torch.cat([query, key]))
    return method({"recording": recording}).loss


def literal(query, key, queue, temperature, recording, queued):
    """Equation 1 of the paper, word for word, averaged over the queries."""

    def exp(a, b):
        return math.exp(sum(p * q for p, q in zip(a.tolist(), b.tolist(), strict=True)) / temperature)

    total = 0.0
    for i in range(len(query)):
        below = exp(query[i], key[i])
        for j in range(len(queue)):
            if recording[i] != queued[j]:
                below += exp(query[i], queue[j])
        total -= math.log(exp(query[i], key[i]) / below)
    return total / len(query)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("held", [1, 2, 7])
@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_the_loss_is_the_papers(batch, held, temperature):
    draw = Generator().manual_seed(batch + held)
    query, key, queue = (ops.unit(torch.randn(n, 4, generator=draw, dtype=torch.float64)) for n in (batch, batch, held))
    recording, queued = torch.arange(batch), torch.randint(-1, 3, (held,), generator=draw)
    found = loss(query, key, queue, temperature, recording, queued)
    assert found.item() == pytest.approx(literal(query, key, queue, temperature, recording, queued), rel=1e-5, abs=1e-6)


LIGHTLY = {0.07: 24.340557, 0.2: 8.876709}


@pytest.mark.parametrize("temperature", LIGHTLY)
def test_the_loss_is_the_reference_librarys(temperature):
    """Computed once with lightly.

    x = torch.nn.functional.normalize((torch.arange(60) * 1.7).sin().reshape(3, 5, 4), dim=-1)
    loss = NTXentLoss(temperature=t, memory_bank_size=(5, 4))
    loss.memory_bank.bank = x[2]
    loss(x[0], x[1])
    """
    x = ops.unit((torch.arange(60) * 1.7).sin().reshape(3, 5, 4))
    assert loss(*x, temperature).item() == pytest.approx(LIGHTLY[temperature], rel=1e-5)


@pytest.mark.parametrize("held", [1, 4, 5, 8])
@pytest.mark.parametrize("sizes", [(3, 3, 3), (2, 5, 1), (9, 2)])
def test_the_queue_forgets_the_oldest(held, sizes):
    method = tiny.run("moco", f"method.queue={held}", "method.projection=1").method()
    expected, seen = [-1] * held, 0
    for size in sizes:
        numbers = list(range(seen, seen + size))
        method.remember(torch.tensor(numbers)[:, None] + 0.5, torch.tensor(numbers))
        expected, seen = (expected + numbers)[-held:], seen + size
    order = (torch.arange(held) + method.oldest) % held
    assert method.recording[order].tolist() == expected
    known = method.recording >= 0
    assert torch.equal(method.queue[known, 0], method.recording[known] + 0.5)


def test_keys_are_slow_and_enter_the_queue_after_the_step():
    run = tiny.run("moco", "method.momentum=0.75")
    method, batch = run.method(), run.batch()
    with torch.no_grad():
        second = method.views.made(batch)[tiny.ITEMS :]
        key = ops.unit(method.slow_head(method.slow_encoder(second).vector))
    slow = [*method.slow_encoder.parameters(), *method.slow_head.parameters()]
    old = [parameter.clone() for parameter in slow]
    queue = method.queue.clone()
    optimizer = torch.optim.SGD(method.turns()["main"], 0.1)
    method(batch).loss.backward()
    optimizer.step()
    assert torch.equal(method.queue, queue), "a key is not its own negative"
    method.after_step(0.5)
    torch.testing.assert_close(method.queue[: tiny.ITEMS], key)
    assert method.recording[: tiny.ITEMS].tolist() == list(tiny.RECORDING)
    quick = [*method.encoders["image"].parameters(), *method.head.parameters()]
    for before, after, new in zip(old, slow, quick, strict=True):
        torch.testing.assert_close(after, 0.75 * before + 0.25 * new)
    assert any(not torch.equal(a, b) for a, b in zip(old, quick, strict=True))


def test_judging_leaves_the_queue_as_it_is():
    run = tiny.run("moco")
    method = run.method().eval()
    method(run.batch())
    method.after_step(0.5)
    assert method.oldest.item() == 0
    assert (method.recording == -1).all()


def test_only_a_key_that_looks_like_the_query_costs():
    query = torch.eye(4)
    near, far = loss(query, query, query[[0]], 0.1), loss(query, query, -query[[0]], 0.1)
    assert near.item() == pytest.approx(math.log(2) / 4, abs=1e-3)
    assert far.item() == pytest.approx(0, abs=1e-3)
