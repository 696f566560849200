"""Linear and nearest-neighbor probes: the solution they claim, and that what is judged chooses nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from avssl.probe import knn, linear
from avssl.probe.rounds import Round


def made(count=120, width=6, classes=3, noise=1.0, seed=0):
    """Features around a center for each class, on axes of very different scales, and a round."""
    draw = np.random.default_rng(seed)
    y = np.arange(count) % classes
    scales = 10.0 ** np.arange(-2, width - 2)
    x = (draw.normal(size=(classes, width))[y] * 2 + noise * draw.normal(size=(count, width))) * scales + scales
    places = np.arange(count)
    cut = Round(places[: count // 2], places[count // 2 : count * 3 // 4], places[count * 3 // 4 :])
    return x.astype(np.float32), y, cut


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("penalty", [1.0, 0.01])
def test_the_solution_is_that_of_the_penalized_mean_loss(classes, penalty):
    """At the optimum the gradient of mean cross-entropy + penalty / 2 |w|^2 is zero, written out by hand."""
    x, y, cut = made(classes=classes)
    found = linear.fit(x, y, cut, classes, (penalty,))
    both = cut.both
    mean, deviation = x[both].mean(0, dtype=float), x[both].std(0, dtype=float)
    z = (x[both] - mean) / deviation
    weights = found.weights * deviation  # on standardized features
    scores = z @ weights.T + found.bias + found.weights @ mean
    np.testing.assert_allclose(scores, found.scores(x[both]), rtol=1e-3, atol=1e-3)
    chances = np.exp(scores - scores.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    wrong = chances - np.eye(classes)[y[both]]
    gradient = wrong.T @ z / len(both) + penalty * weights
    if classes == 2:  # one row is penalized there, and the two say the same
        gradient = (wrong.T @ z / len(both))[1] + penalty * (weights[1] - weights[0])
    assert np.abs(gradient).max() < 2e-3
    assert np.abs(wrong.mean(0)).max() < 2e-3, "the offset is not penalized"


def test_it_finds_what_is_there_and_chance_where_nothing_is():
    x, y, cut = made(count=300)
    assert (linear.fit(x, y, cut, 3).predict(x[cut.test]) == y[cut.test]).mean() > 0.9
    noise = np.random.default_rng(1).normal(size=(300, 40)).astype(np.float32)
    assert (linear.fit(noise, y, cut, 3).predict(noise[cut.test]) == y[cut.test]).mean() < 0.55


@pytest.mark.parametrize("fit", [linear.fit, knn.fit])
def test_what_is_judged_is_neither_read_nor_chooses(fit):
    x, y, cut = made(noise=4.0)
    other, labels = x.copy(), y.copy()
    other[cut.test] = np.nan
    labels[cut.test] = 77
    for one, two in zip(vars(fit(x, y, cut, 3)).values(), vars(fit(other, labels, cut, 3)).values(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_penalty_is_the_one_that_validation_likes_best():
    x, y, cut = made(noise=3.0, width=30, count=160)
    found = linear.fit(x, y, cut, 3)
    for penalty in linear.PENALTIES:
        alone = Round(cut.train, cut.train[:1], cut.test)  # fitted on the training part alone
        probe = linear.fit(x, y, alone, 3, (penalty,))
        accuracy = (probe.predict(x[cut.val]) == y[cut.val]).mean()
        assert accuracy <= found.validation + 0.03, penalty
    assert found.penalty in linear.PENALTIES
    assert linear.fit(x, y, cut, 3, (1.0, 0.1)).at_edge


@pytest.mark.parametrize("seed", range(6))
def test_strong_penalties_that_tell_nothing_do_not_end_the_search(seed):
    """What the features share hides the classes from strong penalties, whose validation accuracies go up and down."""
    draw = np.random.default_rng(seed)
    y = np.arange(480) % 12
    x = 12 * draw.normal(size=(480, 6)) @ draw.normal(size=(6, 40)) + 2 * draw.normal(size=(12, 40))[y]
    x = (x + draw.normal(size=x.shape)).astype(np.float32)
    places = np.arange(480)
    cut = Round(places[:240], places[240:300], places[300:])
    found = linear.fit(x, y, cut, 12, tuple(10.0**power for power in range(1, -6, -1)), patience=1)
    assert found.penalty < 0.1
    assert (found.predict(x[cut.test]) == y[cut.test]).mean() > 0.8


def test_one_miss_where_all_were_right_is_not_surely_worse(monkeypatch):
    x, y, cut = made(count=60, noise=0.01)
    cut = Round(cut.train, cut.val[:6], cut.test)
    solved, solve = [], linear._Path.solve

    def missing(path, penalty):
        solved.append(penalty)
        weights, offsets, names = solve(path, penalty)
        return (weights, offsets, names) if penalty > 5 else (0 * weights, np.eye(3)[0], names)

    assert linear.fit(x, y, cut, 3).validation == 1.0
    monkeypatch.setattr(linear._Path, "solve", missing)
    linear.fit(x, y, cut, 3, (10.0, 1.0, 0.1), patience=1)
    assert solved[:3] == [10.0, 1.0, 10.0], "four of six wrong are, so the last fit follows"
    solved.clear()
    one = Round(
        cut.train, np.array([k for k in cut.val if y[k] == 0] + [k for k in cut.val if y[k] == 1][:1]), cut.test
    )
    linear.fit(x, y, one, 3, (10.0, 1.0, 0.1), patience=1)
    assert solved[:3] == [10.0, 1.0, 0.1], "one is not"


def test_what_is_surely_worse_ends_the_search(monkeypatch):
    x, y, cut = made(count=1200, noise=3.0, width=30)
    solved, solve = [], linear._Path.solve

    def once(path, penalty):
        solved.append(penalty)
        weights, offsets, names = solve(path, penalty)
        return (weights, offsets, names) if penalty > 0.01 else (0 * weights, np.eye(3)[0], names)

    monkeypatch.setattr(linear._Path, "solve", once)
    assert linear.fit(x, y, cut, 3).penalty > 0.01
    tried = solved[: solved.index(10.0, 1)]
    assert tried == list(linear.PENALTIES[: len(tried)])
    assert sum(penalty <= 0.0101 for penalty in tried) == 3


def test_the_scale_of_a_feature_does_not_matter_and_constant_ones_do_nothing():
    x, y, cut = made(noise=2.0)
    scaled = np.concatenate([x * np.float32(1000), np.full((len(x), 2), 7, np.float32)], 1)
    one, two = linear.fit(x, y, cut, 3), linear.fit(scaled, y, cut, 3)
    np.testing.assert_array_equal(one.predict(x[cut.test]), two.predict(scaled[cut.test]))
    assert (two.weights[:, -2:] == 0).all()


def test_a_class_without_examples_never_wins():
    x, y, cut = made(classes=2)
    found = linear.fit(x, y, cut, 4)
    assert set(found.predict(x)) <= {0, 1}
    assert found.weights.shape == (4, 6)
    alone = linear.fit(x, np.ones_like(y), cut, 4)
    assert set(alone.predict(x)) == {1}


def literal(x, held, labels, k):
    """Weighted votes of the k nearest by cosine, one example at a time."""
    told = []
    for row in x:
        cosines = [float(np.dot(row, other) / np.linalg.norm(row) / np.linalg.norm(other)) for other in held]
        near = sorted(range(len(held)), key=lambda place: -cosines[place])[:k]
        votes: dict[int, float] = {}
        for place in near:
            votes[labels[place]] = votes.get(labels[place], 0.0) + math.exp(cosines[place] / 0.1)
        told.append(max(votes, key=lambda number: votes[number]))
    return told


@pytest.mark.parametrize("k", [1, 4, 7, 1000])
@pytest.mark.parametrize("width", [3, 8])
def test_neighbors_vote_as_written_out(k, width):
    x, y, cut = made(width=width, noise=2.0)
    x = np.random.default_rng(3).normal(size=x.shape).astype(np.float32) + np.eye(3, width, dtype=np.float32)[y]
    found = knn.fit(x, y, cut, 3, (k,))
    assert found.predict(x[cut.test]).tolist() == literal(x[cut.test], x[cut.both], y[cut.both], k)


def test_the_number_of_neighbors_is_chosen_on_validation():
    """One example in five is labeled at random: one neighbor alone is led astray."""
    x, y, cut = made(count=800, noise=0.3)
    draw = np.random.default_rng(0)
    x = (np.eye(3, 6)[y] * 3 + draw.normal(size=x.shape) * 0.3).astype(np.float32)
    wrong = draw.random(len(y)) < 0.3
    noisy = np.where(wrong, draw.integers(0, 3, len(y)), y)
    assert knn.fit(x, noisy, cut, 3).k > 1
