"""What contrasts over a batch have in common: each option against a slow literal formula, and at work in methods."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch
from torch import Generator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))

import tiny

from avssl import ops
from avssl.methods.rivals import Rivals, RivalsConfig
from avssl.nn.contrast import info_nce

SHARERS = ("trimodal", "paired_contrast", "cav_mae")
RECORDING = torch.tensor([0, 0, 1, 2, 3, 3])
SECONDS = torch.tensor([0.0, 4.0, 0.0, 0.0, 1.0, 1.5])
SCALE = 7.0


def vectors(seed):
    return ops.unit(torch.randn(6, 4, generator=Generator().manual_seed(seed)))


def batch():
    return {"recording": RECORDING, "seconds": SECONDS}


def literal(first, second, positives, negatives):
    """Mean over rows of the mean over positives p of -log(e^p / (e^p + sum of e^n)), n the negatives; one direction."""
    total = 0.0
    for row in range(len(first)):
        scores = [SCALE * float(first[row] @ second[column]) for column in range(len(second))]
        far = sum(math.exp(scores[column]) for column in negatives[row])
        each = [-math.log(math.exp(scores[p]) / (math.exp(scores[p]) + far)) for p in positives[row]]
        total += sum(each) / len(each)
    return total / len(first)


def same(a, b):
    return bool(RECORDING[a] == RECORDING[b])


def test_as_it_is_it_is_info_nce_without_the_same_recording():
    first, second = vectors(0), vectors(1)
    loss, logits = Rivals(RivalsConfig(), 4).pairs(first, second, SCALE, batch())
    assert loss.item() == pytest.approx(info_nce(logits, RECORDING[:, None] == RECORDING).item())


def test_windows_of_a_recording_far_enough_apart_are_negatives():
    first, second = vectors(0), vectors(1)
    near = [[b for b in range(6) if not same(a, b)] for a in range(6)]
    near[0].append(1)
    near[1].append(0)  # 4 s apart; items 4 and 5 are half a second apart
    own = [[a] for a in range(6)]
    expected = (literal(first, second, own, near) + literal(second, first, own, near)) / 2
    loss, _ = Rivals(RivalsConfig(gap_seconds=2), 4).pairs(first, second, SCALE, batch())
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    all_, _ = Rivals(RivalsConfig(gap_seconds=0.5), 4).pairs(first, second, SCALE, batch())
    assert all_.item() > loss.item(), "more negatives"


@pytest.mark.parametrize("count", [1, 2])
def test_mined_pairs_are_positives_and_no_negatives(count):
    first, second = vectors(0), vectors(1)
    positives, negatives = [], []
    for a in range(6):
        agreement = {
            b: min(float(first[a] @ first[b]), float(second[a] @ second[b])) for b in range(6) if not same(a, b)
        }
        mined = sorted(agreement, key=lambda b: -agreement[b])[:count]
        positives.append([a, *mined])
        negatives.append([b for b in agreement if b not in mined])
    expected = (literal(first, second, positives, negatives) + literal(second, first, positives, negatives)) / 2
    loss, _ = Rivals(RivalsConfig(mined=count), 4).pairs(first, second, SCALE, batch())
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_likeness_is_the_gap_of_tables_both_ways():
    first, second = vectors(0), vectors(1)

    def shares(x, y):
        rows = []
        for a in x:
            powers = [math.exp(SCALE * float(a @ b)) for b in y]
            rows.append([power / sum(powers) for power in powers])
        return rows

    def gap(one, other):
        return sum(abs(p - q) for a, b in zip(one, other, strict=True) for p, q in zip(a, b, strict=True)) / 36

    expected = (
        gap(shares(first, first), shares(first, second)) + gap(shares(second, second), shares(second, first))
    ) / 2
    plain, _ = Rivals(RivalsConfig(), 4).pairs(first, second, SCALE, batch())
    loss, _ = Rivals(RivalsConfig(alike=3), 4).pairs(first, second, SCALE, batch())
    assert (loss - plain).item() == pytest.approx(3 * expected, rel=1e-4)


def test_the_bank_holds_the_last_pairs_which_are_negatives_of_other_recordings():
    rivals = Rivals(RivalsConfig(bank=8), 4).train()
    first, second = vectors(0), vectors(1)
    plain, _ = Rivals(RivalsConfig(), 4).pairs(first, second, SCALE, batch())
    empty, _ = rivals.pairs(first, second, SCALE, batch())
    assert empty.item() == pytest.approx(plain.item()), "nothing is remembered yet"
    newer = {"recording": torch.tensor([0, 9, 9, 8, 7, 6]), "seconds": SECONDS}
    rivals.pairs(vectors(2), vectors(3), SCALE, newer)
    assert rivals.recording.tolist() == [0, 9, 9, 8, 7, 6, 0, 0]
    torch.testing.assert_close(rivals.first, torch.cat([vectors(2), first[:2]]))
    held = rivals.eval()
    loss, _ = held.pairs(first, second, SCALE, batch())
    expected = 0.0
    for x, y, remembered in ((first, second, held.second), (second, first, held.first)):
        for a in range(6):
            far = sum(math.exp(SCALE * float(x[a] @ y[b])) for b in range(6) if not same(a, b))
            far += sum(
                math.exp(SCALE * float(x[a] @ one))
                for one, recording in zip(remembered, held.recording, strict=True)
                if recording != RECORDING[a]
            )
            own = math.exp(SCALE * float(x[a] @ y[a]))
            expected -= math.log(own / (own + far)) / 12
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert held.recording.tolist() == [0, 9, 9, 8, 7, 6, 0, 0], "what is only judged is not remembered"


@pytest.mark.parametrize("name", SHARERS)
def test_checkpoints_without_a_bank_hold_nothing_of_it(name):
    assert not [key for key in tiny.run(name).method().state_dict() if key.startswith("rivals")]


@pytest.mark.parametrize("name", SHARERS)
def test_every_option_changes_what_a_method_learns_and_reaches_its_weights(name):
    plain = tiny.run(name)
    torch.manual_seed(0)
    usual = plain.method()(plain.batch()).loss
    for words in (("gap_seconds=0.5",), ("mined=1",), ("alike=50",), ("bank=8",)):
        changed = tiny.run(name, *(f"method.rivals.{word}" for word in words))
        method = changed.method()
        for _ in range(2):  # the first fills the bank
            torch.manual_seed(0)
            loss = method(changed.batch()).loss
        assert loss.isfinite()
        assert loss.item() != pytest.approx(usual.item(), abs=1e-6), words
        loss.backward()
        assert all(one.grad is None or one.grad.isfinite().all() for one in method.parameters())
        if words == ("bank=8",):
            assert {"rivals.first", "rivals.second", "rivals.recording"} <= set(method.state_dict())
