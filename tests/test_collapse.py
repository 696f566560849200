"""Collapse: what is measured, from its formula, on healthy and on collapsed vectors of every kind."""

from __future__ import annotations

import math

import numpy as np
import pytest

from avssl.evaluation.collapse import Health, alarm, health


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def normal(count, width, seed=0):
    return np.random.default_rng(seed).standard_normal((count, width))


@pytest.mark.parametrize(("count", "width"), [(9, 3), (40, 16), (12, 30)])
def test_measures_are_their_formulas(count, width):
    x = unit(normal(count, width) * np.linspace(1, 3, width))
    mean = [sum(row[d] for row in x) / count for d in range(width)]
    centered = np.array([[row[d] - mean[d] for d in range(width)] for row in x], np.float64)
    spread = math.sqrt(sum(float(row @ row) for row in centered) / count)
    values = np.sqrt(np.clip(np.linalg.eigvalsh(centered.T @ centered), 0, None))
    shares = [value / values.sum() for value in values if value > 1e-7]
    rank = math.exp(-sum(share * math.log(share) for share in shares))
    found = health(x)
    assert found.spread == pytest.approx(spread, rel=1e-5)
    assert found.rank == pytest.approx(rank, rel=1e-3)
    assert found.twins == 0


def test_effective_rank_of_a_cross_is_the_number_of_its_arms():
    arms = np.concatenate([np.eye(5), -np.eye(5)]).astype(np.float32)
    assert health(arms).rank == pytest.approx(5)
    assert health(arms).spread == pytest.approx(1)


def test_healthy_vectors_raise_no_alarm():
    for width in (4, 16, 128):
        assert alarm(health(unit(normal(200, width))), 200) == ""
    clustered = unit(np.repeat(normal(10, 32), 20, 0) + 0.2 * normal(200, 32, 1))
    assert alarm(health(clustered), 200) == "", "ten kinds of things are no collapse"
    narrow = unit(np.ones((200, 32)) + 0.3 * normal(200, 32))
    assert alarm(health(narrow), 200) == "", "a young network's vectors lie in a cone"


@pytest.mark.parametrize(
    ("vectors", "told"),
    [
        (unit(np.ones((50, 32)) + 0.01 * normal(50, 32)), "nearly the same"),
        (np.tile(unit(normal(1, 32)), (50, 1)), "nearly the same"),
        (unit(normal(50, 1) * normal(1, 32, 1) + 1e-3 * normal(50, 32, 2)), "on a line"),
        (unit(np.repeat(normal(3, 32), 20, 0)), "100% of the vectors have a twin"),
    ],
)
def test_collapsed_vectors_do(vectors, told):
    assert told in alarm(health(vectors), len(vectors))


def test_a_few_vectors_say_nothing():
    assert alarm(Health(0.0, 0.0, 1.0), 7) == ""
