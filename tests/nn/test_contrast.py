"""Contrastive losses against their formulas, pair by pair, and at their edges."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator

from avssl.nn.contrast import Temperature, info_nce, mil_nce, retrieval_accuracy


def literal_info_nce(logits, extra, invalid):
    """Row by row and column by column; the extra columns stand against rows only."""
    count, total = len(logits), 0.0
    for i in range(count):
        across = sum(math.exp(logits[i][j]) for j in range(count) if i == j or not invalid[i][j])
        across += sum(math.exp(x) for x in extra[i])
        down = sum(math.exp(logits[j][i]) for j in range(count) if i == j or not invalid[j][i])
        total += math.log(across) + math.log(down) - 2 * logits[i][i]
    return total / (2 * count)


def scores(count, more, share):
    draw = Generator().manual_seed(count * 10 + more)
    invalid = torch.rand(count, count, generator=draw) < share
    return torch.randn(count, count, generator=draw) * 3, torch.randn(count, more, generator=draw) * 3, invalid


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("more", [0, 1, 3])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_info_nce_is_its_formula(count, more, share):
    """With a share of one even the pairs are marked invalid; they never are."""
    logits, extra, invalid = scores(count, more, share)
    expected = literal_info_nce(logits.tolist(), extra.tolist(), invalid.tolist())
    assert info_nce(logits, invalid, extra).item() == pytest.approx(expected, abs=1e-5)


def test_info_nce_with_extra_negatives_equals_its_reference():
    """Computed once with scipy: x = np.sin(np.arange(16.0)).reshape(4, 4); e = np.cos(np.arange(8.0)).reshape(4, 2);
    the mean of (logsumexp(np.concatenate([x, e], 1), 1) - np.diag(x)).mean() and (logsumexp(x, 0) - np.diag(x)).mean()
    """
    logits = torch.arange(16, dtype=torch.float64).sin().view(4, 4)
    extra = torch.arange(8, dtype=torch.float64).cos().view(4, 2)
    loss = info_nce(logits, extra=extra)
    assert loss.item() == pytest.approx(2.1122091249936146, abs=1e-9)


def test_info_nce_equals_its_reference():
    """Computed once with scipy: x = np.sin(np.arange(16.0)).reshape(4, 4); the mean over both axes of
    logsumexp(x, axis) - diag(x).
    """
    logits = torch.arange(16, dtype=torch.float64).sin().view(4, 4)
    assert info_nce(logits).item() == pytest.approx(1.9135007445606256, abs=1e-9)


def test_without_anything_extra_or_invalid_it_is_the_plain_one():
    logits, extra, invalid = scores(5, 0, 0.0)
    torch.testing.assert_close(info_nce(logits, invalid, extra), info_nce(logits))


def test_negatives_silence_and_noise_are_pushed_down_and_the_pair_up():
    logits, extra = torch.zeros(4, 4, requires_grad=True), torch.zeros(4, 2, requires_grad=True)
    invalid = torch.zeros(4, 4, dtype=torch.bool)
    invalid[1, 2] = invalid[2, 1] = True
    info_nce(logits, invalid | torch.eye(4, dtype=torch.bool), extra).backward()
    own = torch.eye(4, dtype=torch.bool)
    assert (logits.grad[own] < 0).all()
    assert (logits.grad[invalid] == 0).all()
    assert (logits.grad[~own & ~invalid] > 0).all()
    assert (extra.grad > 0).all()


def test_the_order_of_the_batch_and_of_the_extra_sounds_does_not_matter():
    logits, extra, invalid = scores(6, 3, 0.3)
    order, others = (torch.randperm(n, generator=Generator().manual_seed(1)) for n in (6, 3))
    shuffled = info_nce(logits[order][:, order], invalid[order][:, order], extra[order][:, others])
    torch.testing.assert_close(info_nce(logits, invalid, extra), shuffled)


def test_collapse_costs_more_than_separation():
    apart = info_nce(torch.eye(8) * 10, extra=torch.zeros(8, 2))
    same = info_nce(torch.full((8, 8), 10.0), extra=torch.full((8, 2), 10.0))
    assert same.item() == pytest.approx(0.5 * (math.log(10) + math.log(8)), abs=1e-5)
    assert apart < same - 1


def literal_mil_nce(logits, positive, valid):
    losses = []
    for row, bag, there in zip(logits, positive, valid, strict=True):
        above = sum(math.exp(x) for x, p, v in zip(row, bag, there, strict=True) if p and v)
        below = sum(math.exp(x) for x, v in zip(row, there, strict=True) if v)
        if above:
            losses.append(-math.log(above / below))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("columns", [1, 2, 9])
@pytest.mark.parametrize("share", [0.2, 0.7])
def test_mil_nce_is_its_formula(rows, columns, share):
    draw = Generator().manual_seed(rows * 10 + columns)
    logits = torch.randn(rows, columns, generator=draw) * 4
    positive, valid = (torch.rand(rows, columns, generator=draw) < p for p in (share, 0.8))
    expected = literal_mil_nce(logits.tolist(), positive.tolist(), valid.tolist())
    assert mil_nce(logits, positive, valid).item() == pytest.approx(expected, abs=1e-5)


def test_mil_nce_without_positives_is_zero_with_a_zero_gradient():
    logits = torch.randn(3, 4, requires_grad=True)
    none = torch.zeros(3, 4, dtype=torch.bool)
    loss = mil_nce(logits, none, ~none)
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()
    assert mil_nce(logits, ~none, none) == 0


def test_mil_nce_survives_large_scores_in_bf16():
    logits = torch.tensor([[300.0, -300.0], [0.0, 300.0]]).bfloat16()
    loss = mil_nce(logits, torch.eye(2, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool))
    assert loss.isfinite()
    assert loss.item() == pytest.approx(0, abs=1e-2)


def test_the_temperature_stays_in_its_bounds():
    scale = Temperature(0.07)
    assert scale().item() == pytest.approx(1 / 0.07, rel=1e-5)
    assert scale.log_scale.shape == (1,)
    scale.log_scale.data.fill_(50)
    assert scale().item() == pytest.approx(100)
    scale.log_scale.data.fill_(-50)
    assert scale().item() == pytest.approx(1)


def test_accuracy_counts_rows_whose_pair_is_first():
    logits = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [0.0, 0.0, 1.0]])
    assert retrieval_accuracy(logits).item() == pytest.approx(2 / 3)
