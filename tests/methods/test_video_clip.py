"""VideoCLIP: the contrast, windows that only overlap, batches of items that are alike, and the order they come in."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl.data.loader import Loader
from avssl.nn.mining import neighborhoods

WORDS = ("method.width=16", "method.group=2")


@pytest.mark.parametrize("size", [1, 2, 8])
def test_the_loss_is_info_nce_both_ways(size):
    """One pair at a time; the same recording and equal texts are no negatives."""
    run = tiny.run("video_clip", *WORDS)
    method, batch = run.method(), run.batch(size=size)
    if size == 8:
        batch["tokens"][5] = batch["tokens"][4]
        batch["tokens"][6] = -1
    with torch.no_grad():
        found = method(batch).loss.item()
        logits = method.embed("video", batch["video"]) @ method.embed("text", batch["tokens"][:, 0]).T / 0.07
    said = (batch["tokens"] >= 0).flatten(1).any(1).tolist()
    tokens, recording, losses = batch["tokens"].tolist(), batch["recording"].tolist(), ([], [])
    for turned, part in enumerate(losses):
        for i in range(size):
            if said[i]:
                row = logits[:, i] if turned else logits[i]
                others = [j for j in range(size) if j == i or (recording[i] != recording[j] and tokens[i] != tokens[j])]
                others = [j for j in others if said[j] or turned]
                part.append(math.log(sum(math.exp(row[j]) for j in others)) - row[i].item())
    assert found == pytest.approx(sum(sum(part) / len(part) for part in losses) / 2, abs=1e-4)


def test_the_loss_is_the_reference_librarys():
    """Computed once with torch, for the x below, a = torch.arange(4) and s = x[0] @ x[1].T / 0.07:

    0.5 * (cross_entropy(s, a) + cross_entropy(s.T, a))
    """
    x = torch.nn.functional.normalize((torch.arange(24, dtype=torch.float64) * 1.3).sin().view(2, 4, 3), dim=-1)
    method = tiny.run("video_clip", *WORDS).method()
    method.embed = lambda modality, _: x[int(modality == "text")].float()
    batch = {"video": None, "tokens": torch.arange(4).view(4, 1, 1), "recording": torch.arange(4)}
    assert method(batch).loss.item() == pytest.approx(25.023978818815223, abs=1e-4)


def test_words_are_in_order_of_time_and_clips_of_any_length():
    run = tiny.run("video_clip", "inputs.frames=8", "method.area=1.0", *WORDS)
    assert run.needs.window == "inside"
    transform = run.kind.transform(run.cfg.method, run.inputs)
    item = tiny.sample(run.needs, 1)
    times = torch.tensor([[2.0, 3.0], [-1.0, 0.5], [math.nan, math.nan]])
    frames = torch.arange(8).mul(20).to(torch.uint8).view(1, 8, 1, 1, 1).expand(-1, -1, 3, 32, 32)
    item = dataclasses.replace(item, parts={"video": frames, "text": ("the bell", "the drum", ""), "times": times})
    texts, lengths = set(), set()
    for seed in range(40):
        out = transform(item, Generator().manual_seed(seed), 0.0)
        texts.add(tuple(out["tokens"][0].tolist()))
        shown = out["video"][:, 0, 16, 16].int()
        lengths.add(int(shown[-1] - shown[0]))
        assert abs(float(shown.float().mean()) - 70) <= 20, "the middle stays"
    one, two = run.inputs.tokens(["the bell", "the drum the bell"])
    assert texts == {tuple(one.tolist()), tuple(two.tolist())}, "nearest first, and in order of time"
    assert len(lengths) > 3


def test_neighborhoods_hold_each_item_once_and_like_beside_like():
    torch.manual_seed(0)
    kind = torch.arange(40) % 5
    vectors = torch.eye(5, 8)[kind] + torch.randn(40, 8) * 0.05
    order = neighborhoods(vectors, 4, 1)
    assert order.sort().values.tolist() == list(range(40))
    assert (kind[order].view(10, 4) == kind[order].view(10, 4)[:, :1]).all()
    torch.manual_seed(0)
    assert not torch.equal(order, neighborhoods(vectors, 4, 1)), "the groups are drawn"
    assert neighborhoods(vectors[:1], 4).tolist() == [0]


def test_who_joins_is_chosen_from_so_many_times_the_nearest():
    angles = torch.arange(12) * 0.1
    vectors = torch.stack([angles.cos(), angles.sin()], 1)
    ranks = set()
    for seed in range(40):
        torch.manual_seed(seed)
        founder, *joined = neighborhoods(vectors, 3, 2)[:3].tolist()
        nearest = (vectors @ vectors[founder]).argsort(descending=True).tolist()
        ranks |= {nearest.index(one) for one in joined}
    assert ranks == {1, 2, 3, 4}


def test_batches_follow_the_mined_order_from_the_second_epoch_on():
    run = tiny.run("video_clip", *WORDS)
    method = run.method()
    batches = list(tiny.loaded(run, 0, 1, 0))
    before = {key: value.clone() for key, value in method.state_dict().items()}
    method.before_epoch(batches)
    assert method.order() is None, "untrained vectors tell nothing"
    torch.manual_seed(1)
    method.before_epoch(batches)
    order = method.order()
    assert order.sort().values.tolist() == list(range(8))
    changed = {key for key, value in method.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"mined", "epochs"}, "looking teaches nothing, and the order is in the checkpoint"
    transform = run.kind.transform(run.cfg.method, run.inputs)
    with Loader(tiny.MadeUp(run.needs), transform, batch=3, seed=5, workers=0, length=8) as loader:
        chance = [batch["index"].tolist() for batch in loader.batches(0, 3)]
        loader.order = order
        mined = [batch["index"].tolist() for batch in loader.batches(0, 3)]
    assert mined == [order[:3].tolist(), order[3:6].tolist(), [*order[6:].tolist(), int(order[0])]]
    assert chance != mined


def test_items_that_cannot_be_read_come_last():
    run = tiny.run("video_clip", *WORDS)
    method = run.method()
    found = method.ordered(torch.tensor([0, 2, 3, 4, 5, 7]), torch.tensor([5, 0, 1, 2, 3, 4]))
    assert found.tolist() == [7, 0, 2, 3, 4, 5, 1, 6]


def test_the_order_can_be_left_to_chance():
    method = tiny.run("video_clip", "method.group=0").method()
    for _ in range(3):
        method.before_epoch([])
    assert method.order() is None
