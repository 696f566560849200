"""CMA: both terms against the literal formula, positives mined by the lesser similarity, and the start from AVID."""

from __future__ import annotations

import math
import re

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl import ops
from avssl.nn.agreement import NONE
from avssl.nn.bank import UNSEEN
from avssl.train.build import fill_encoders

SMALL = ("method.width=8", "method.negatives=5", "method.within_negatives=6")


def made(*words):
    """A tiny CMA, and vectors that stand for its encoders' outputs."""
    run = tiny.run("cma", *SMALL, *words)
    method = run.method()
    batch = run.batch()
    vectors = {kind: ops.unit(torch.randn(8, 8, generator=Generator().manual_seed(n))) for n, kind in enumerate(batch)}
    method.embed = lambda modality, x: vectors[modality]
    return method, batch, vectors


def literal(method, batch, vectors, temperature, weight):
    """Both terms, one item at a time; the table of positives is given."""
    banks = {kind: bank.vectors.tolist() for kind, bank in method.banks.items()}
    recordings, positives = method.banks["audio"].recording.tolist(), method.positives.tolist()
    across, within = 0.0, 0.0
    for kind, other in (("video", "audio"), ("audio", "video")):
        for i, x in enumerate(vectors[kind].tolist()):
            index, recording = int(batch["index"][i]), int(batch["recording"][i])
            mined = [row for row in positives[index] if row != NONE]

            def power(bank, row, x=x):
                return math.exp(sum(p * q for p, q in zip(x, banks[bank][row], strict=True)) / temperature)

            rows = [draw % 8 for draw in batch["draw"][i].tolist()]
            fair = [row not in mined and row != index and recordings[row] != recording for row in rows]
            cross = sum(power(other, row) for row, good in zip(rows[:5], fair[:5], strict=True) if good)
            across += math.log(1 + cross / power(other, index)) / 16
            far = sum(power(kind, row) for row, good in zip(rows[5:], fair[5:], strict=True) if good)
            if mined:
                within += sum(math.log(1 + far / power(kind, row)) for row in mined) / len(mined) / 16
    return across + weight * within


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("weight", [0.0, 0.7])
@pytest.mark.parametrize("count", [1, 3])
def test_the_loss_is_the_papers_with_info_nce(temperature, weight, count):
    method, batch, vectors = made(f"method.temperature={temperature}", f"method.within={weight}")
    method(batch)
    method.after_step(0.0)
    rows = [[2, 5, 7], [0, 4, 6], [1, 5, 0], [7, 6, 4], [3, 0, NONE], [NONE] * 3, [1, 2, NONE], [5, 0, 1]]
    table = torch.tensor(rows)
    method.positives = table[:, :count].clone()
    expected = literal(method, batch, vectors, temperature, weight)
    assert method(batch).loss.item() == pytest.approx(expected, rel=1e-4)
    if weight:
        assert expected > literal(method, batch, vectors, temperature, 0.0) + 0.01


def test_before_anything_is_mined_it_is_avid():
    method, batch, vectors = made("method.within=5")
    step = method(batch)
    assert step.metrics["within"] == 0
    assert step.metrics["mined"] == 0
    assert step.loss.item() == pytest.approx(literal(method, batch, vectors, 0.07, 0.0), rel=1e-4)


def examples(run, size=4):
    """The training items in order, as the trainer gives them."""
    whole = run.batch()
    for first in range(0, 8, size):
        yield {key: value[first : first + size] for key, value in whole.items()}


def test_the_first_epoch_fills_the_banks_and_mines_by_the_lesser_similarity():
    run = tiny.run("cma", *SMALL)
    method = run.method()
    method.before_epoch(examples(run))
    assert method.training
    assert method.banks["audio"].recording.tolist() == list(tiny.RECORDING)
    with torch.no_grad():
        x = {kind: method.eval().embed(kind, run.batch()[kind]) for kind in ("video", "audio")}
    for kind, bank in method.banks.items():
        torch.testing.assert_close(bank.vectors, x[kind], atol=1e-5, rtol=0)
    alike = torch.minimum(x["video"] @ x["video"].T, x["audio"] @ x["audio"].T)
    recording = torch.tensor(tiny.RECORDING)
    alike[recording[:, None] == recording] = -2
    assert method.positives[:, 0].tolist() == alike.argmax(1).tolist()
    assert method.train()(run.batch()).metrics["mined"] == 1


def test_mines_again_after_so_many_epochs_and_looks_only_once():
    run = tiny.run("cma", *SMALL, "method.every=2", "method.alone=1")
    method = run.method()

    def never():
        raise AssertionError("the banks know all items: nothing is to be looked at")
        yield

    method.before_epoch(never())  # AVID alone: nothing is mined
    assert (method.positives == NONE).all()
    assert (method.banks["video"].recording == UNSEEN).all()
    method.before_epoch(examples(run))
    first = method.positives.clone()
    for bank in method.banks.values():
        bank.vectors.copy_(ops.unit(torch.randn(8, 8)))
    method.before_epoch(never())
    assert torch.equal(method.positives, first), "not yet"
    method.before_epoch(never())
    assert not torch.equal(method.positives, first), "of what the banks hold now"


def test_a_mined_positive_is_pulled_and_never_pushed():
    method, batch, vectors = made("method.temperature=0.5", "method.within_negatives=64")
    method(batch)
    method.after_step(0.0)
    video = vectors["video"].clone().requires_grad_()
    method.embed = lambda modality, x: video if modality == "video" else vectors["audio"]
    plain = torch.autograd.grad(method(batch).loss, video)[0]
    method.positives = torch.tensor([[3], [2], [4], [0], [2], [6], [5], [0]])
    mined = torch.autograd.grad(method(batch).loss, video)[0]
    for i, row in enumerate(method.positives[:, 0]):
        assert -(mined - plain)[i] @ method.banks["video"].vectors[row] > 0.01, "towards what looks and sounds alike"
    only = method(batch | {"draw": torch.full_like(batch["draw"], 3)})
    assert torch.autograd.grad(only.loss, video)[0][0].abs().max() == 0, "item 3 is no negative of item 0"


def test_begins_from_an_avid_runs_encoders_and_projections():
    donor = tiny.run("avid", "method.width=8").method(seed=3).eval()
    run = tiny.run("cma", "method.width=8")
    method = run.method(seed=4).eval()
    fill_encoders(method, donor.state_dict(), "runs/avid")
    with torch.no_grad():
        torch.testing.assert_close(method.embed("video", run.x("video")), donor.embed("video", run.x("video")))
    other = tiny.run("avid", "method.width=16").method()
    told = re.escape("init=runs/avid: heads.video.4.weight is (16, 256) there, (8, 256) here")
    with pytest.raises(ValueError, match=told):
        fill_encoders(method, other.state_dict(), "runs/avid")


def test_picture_and_sound_are_of_one_window():
    needs = tiny.run("cma").needs
    assert needs.clips == 1
    assert needs.frames > 1
    assert needs.audio_seconds > 0


def test_held_out_items_have_no_rows_and_no_positives():
    method, batch, vectors = made("method.temperature=0.05")
    vectors["audio"] = vectors["video"]
    method.positives.copy_((torch.arange(8)[:, None] + 1) % 8)
    assert method(batch).metrics["within"] > 0
    found = method.eval()(batch).metrics
    assert found["accuracy"] == 1
    assert found["mined"] == found["within"] == 0
