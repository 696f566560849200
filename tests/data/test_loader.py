"""What a loader gives: every item once in an epoch, the same batches whatever the workers, ranks and bad items."""

from typing import Any

import pytest
import torch
from toy_loader import loader, same
from toy_source import Toy, growing, ragged, wrong

from avssl.data.maker import mix


def test_mix_is_stable_and_spreads() -> None:
    assert mix(0) == mix(0) != mix(1) != mix(0, 0)
    assert mix(3, 1, 7) == 3917494694551952799, "runs of other versions of avssl go on"
    assert all(0 <= mix(k) < 2**63 for k in range(100))
    assert len({mix(k, 1) % 1000 for k in range(200)}) > 170


def test_an_epoch_holds_every_item_once_and_epochs_differ() -> None:
    with loader(Toy(24)) as it:
        batches = list(it.batches(0, 6))
    first = torch.cat([b["index"] for b in batches[:3]])
    second = torch.cat([b["index"] for b in batches[3:]])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(24))
    assert not torch.equal(first, second)
    assert torch.equal(batches[0]["recording"], batches[0]["index"] // 2)
    with loader(Toy(24), seed=6) as other:
        assert not torch.equal(next(iter(other.batches(0, 1)))["index"], batches[0]["index"])


@pytest.mark.parametrize("batch", [7, 8])
def test_items_are_shown_in_so_many_draws(batch: int) -> None:
    """Eight epochs of 21; batches of 8 reach over their ends, where an item may come twice in one batch, and alike."""
    with loader(Toy(21), draws=3, batch=batch) as it:
        batches = list(it.batches(0, 8 * 21 // batch))
    index, drawn = (torch.cat([b[name] for b in batches]) for name in ("index", "noise"))
    shown = {item: drawn[index == item].sum(1).tolist() for item in range(21)}
    assert all(len(values) == 8 and len(set(values)) == 3 for values in shown.values())
    assert len({value for values in shown.values() for value in values}) == 63
    if batch == 7:
        assert all(values[epoch] == values[epoch % 3] for values in shown.values() for epoch in range(8))
    with loader(Toy(21), draws=3, batch=batch, workers=1) as there:
        assert same(batches[4:9], list(there.batches(4, 9)))


@pytest.mark.parametrize("settings", [{}, {"draws": 2}])
def test_windows_of_one_item_stand_together_each_drawn_by_itself(settings: dict[str, Any]) -> None:
    source = Toy(21, bad=(4,))
    with loader(source, together=2, **settings) as here:
        batches = list(here.batches(0, 11))
    pairs = torch.cat([b["index"] for b in batches])[:42].unflatten(0, (21, 2))
    kept = pairs[pairs[:, 0] == pairs[:, 1], 0]
    assert len(kept) >= 20, "all but the one that cannot be read"
    assert len(set(kept.tolist())) == len(kept), "an epoch holds each item once"
    for batch in batches:
        noise, index = batch["noise"], batch["index"]
        assert not (noise[::2] == noise[1::2])[index[::2] == index[1::2]].any()
    with loader(source, together=2, workers=1, **settings) as there:
        assert same(batches[4:9], list(there.batches(4, 9)))
    with pytest.raises(ValueError, match=r"data\.batch=8 is no multiple of data\.together=3"):
        loader(source, together=3)


def test_a_batch_says_when_its_windows_begin() -> None:
    with loader(Toy(8)) as it:
        batch = next(iter(it.batches(0, 1)))
    assert batch["seconds"].tolist() == batch["index"].tolist(), "as these items do"


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_do_not_depend_on_workers_or_where_the_run_began(workers: int) -> None:
    source = Toy(21, bad=(4, 11))
    settings: dict[str, Any] = {"progress": lambda step: step / 10}
    with loader(source, **settings) as here:
        expected = list(here.batches(0, 8))
    with loader(source, workers=workers, **settings) as there:
        whole = list(there.batches(0, 8))
        assert same(whole, expected)
        assert same(list(there.batches(5, 8)), expected[5:])
        assert there.bad == here.bad == {"r2": "item 4 is broken", "r5": "item 11 is broken"}
    assert whole[3]["progress"].tolist() == pytest.approx([0.3] * 8)
    assert {x for batch in whole for x in batch["threads"].tolist()} == {1}
    assert not {4, 11} & {x for batch in whole for x in batch["index"].tolist()}


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_the_global_batch(world: int) -> None:
    source = Toy(21, bad=(4, 11))
    whole = list(loader(source).batches(0, 6))
    parts = [list(loader(source, rank=rank, world=world).batches(0, 6)) for rank in range(world)]
    for step, batch in enumerate(whole):
        for name, value in batch.items():
            assert torch.equal(torch.cat([part[step][name] for part in parts]), value)
    with pytest.raises(ValueError, match="batch is 8, which 3 ranks cannot share"):
        loader(source, world=3)


def test_stand_ins_are_not_in_the_batch_already() -> None:
    batches = list(loader(Toy(40, bad=(7,)), batch=20).batches(0, 30))
    for batch in batches:
        assert len(set(batch["index"].tolist())) == 20


def test_known_bad_items_give_the_same_batches() -> None:
    source = Toy(21, bad=(4, 11))
    first = loader(source)
    expected = list(first.batches(0, 6))
    state = first.state_dict()
    assert state == {"bad": {"4": "item 4 is broken", "11": "item 11 is broken"}}
    again = loader(Toy(21))  # the file was mended meanwhile: it stays dropped
    again.load_state_dict(state)
    assert same(list(again.batches(0, 6)), expected)
    assert again.bad == first.bad


@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_bad_items_end_the_run(workers: int) -> None:
    with (
        loader(Toy(20, bad=(1, 2, 3)), workers=workers, bad_budget=0.1) as it,
        pytest.raises(ValueError, match=r"3 of 20 items cannot be read, more than data\.bad_budget = 0\.1 .*is broken"),
    ):
        list(it.batches(0, 5))
    with pytest.raises(ValueError, match=r"20 items cannot be read|in a row cannot be read"):
        list(loader(Toy(20, bad=tuple(range(20)))).batches(0, 1))


@pytest.mark.parametrize("workers", [0, 2])
def test_in_order(workers: int) -> None:
    with loader(Toy(21, bad=(4,)), workers=workers) as it:
        batches = list(it.batches_in_order())
        assert torch.cat([b["index"] for b in batches]).tolist() == [k for k in range(21) if k != 4]
        assert [len(b["index"]) for b in batches] == [7, 8, 5]
        assert float(batches[0]["progress"][0]) == 1.0
        some = list(it.batches_in_order([9, 3, 20, 4]))
        assert some[0]["index"].tolist() == [9, 3, 20]
        assert torch.equal(some[0]["noise"][1], batches[0]["noise"][3]), "an item's randomness is its own"


def test_training_and_evaluation_share_the_workers() -> None:
    source = Toy(24)
    expected = list(loader(source).batches(0, 6))
    with loader(source, workers=2) as it:
        stream = it.batches(0, 6)
        got = [next(stream), next(stream)]
        assert sum(len(b["index"]) for b in it.batches_in_order()) == 24
        abandoned = it.batches_in_order()
        next(abandoned)
        abandoned.close()
        got += list(stream)
    assert same(got, expected)


def test_batches_stay_as_they_are_while_they_are_held() -> None:
    with loader(Toy(24), workers=1) as it:
        held, copies = [], []
        for batch in it.batches(0, 20):
            held.append(batch)
            copies.append({name: value.clone() for name, value in batch.items()})
        assert same(held, copies, but=())
        del held, batch
        memory = len(it._pool._free) if it._pool else 0
        for _ in it.batches(20, 60):
            pass
        assert it._pool is not None
        assert len(it._pool._free) <= memory + 1, "memory that is given back is used again"


def test_layouts_may_change_but_not_within_a_batch() -> None:
    expected = list(loader(Toy(24), growing, progress=float).batches(0, 5))
    with loader(Toy(24), growing, workers=2, progress=float) as it:
        assert same(list(it.batches(0, 5)), expected)
    with loader(Toy(24), ragged, workers=1) as it, pytest.raises((ValueError, RuntimeError), match=r"shape|size"):
        list(it.batches(0, 3))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bug_in_the_transform_is_an_error(workers: int) -> None:
    with loader(Toy(24), wrong, workers=workers) as it, pytest.raises((KeyError, RuntimeError), match="no such part"):
        list(it.batches(0, 3))
