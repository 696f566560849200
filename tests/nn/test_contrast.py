"""Contrastive losses against their formulas, pair by pair, and at their edges."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator

from avssl.nn.contrast import Temperature, info_nce, mil_nce, retrieval_accuracy


def literal_info_nce(logits, target, invalid):
    """Both directions' cross-entropies, one pair at a time."""
    n, total = len(logits), 0.0
    for i in range(n):
        for row in (True, False):
            own = target[i] if row else target.index(i)

            def entry(k, i=i, row=row):
                return (i, k) if row else (k, i)

            keep = [k for k in range(n) if k == own or not invalid[entry(k)[0]][entry(k)[1]]]
            below = sum(math.exp(logits[entry(k)[0]][entry(k)[1]]) for k in keep)
            total += -math.log(math.exp(logits[entry(own)[0]][entry(own)[1]]) / below)
    return total / (2 * n)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
def test_info_nce_is_its_formula(count, masked, mixed):
    draw = Generator().manual_seed(count)
    logits = torch.randn(count, count, generator=draw) * 3
    target = torch.randperm(count, generator=draw) if mixed else torch.arange(count)
    invalid = torch.rand(count, count, generator=draw) < (0.4 if masked else 0)
    expected = literal_info_nce(logits.tolist(), target.tolist(), invalid.tolist())
    assert info_nce(logits, target, invalid).item() == pytest.approx(expected, abs=1e-5)


def test_info_nce_defaults_to_the_diagonal_and_equals_its_reference():
    """Computed once with scipy: x = np.sin(np.arange(16.0)).reshape(4, 4); the mean over both axes of
    logsumexp(x, axis) - diag(x).
    """
    logits = torch.arange(16, dtype=torch.float64).sin().view(4, 4)
    assert info_nce(logits).item() == pytest.approx(1.9135007445606256, abs=1e-9)


def test_info_nce_does_not_depend_on_the_order_of_the_batch():
    logits = torch.randn(6, 6, generator=Generator().manual_seed(0))
    order = torch.randperm(6, generator=Generator().manual_seed(1))
    torch.testing.assert_close(info_nce(logits), info_nce(logits[order][:, order]))


def test_info_nce_pushes_negatives_down():
    logits = torch.zeros(4, 4, requires_grad=True)
    info_nce(logits).backward()
    own = torch.eye(4, dtype=torch.bool)
    assert (logits.grad[~own] > 0).all()
    assert (logits.grad[own] < 0).all()


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
    assert retrieval_accuracy(logits, torch.tensor([0, 0, 2])).item() == 1
