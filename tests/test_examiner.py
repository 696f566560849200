"""What the comparison of pictures asks of a network: how many labels, which pictures, and which of them worse."""

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from contract import tiny
from probe.labeled import colored, split

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import examiner

from avssl.probe import corrupted, features, finetune, knn, linear
from avssl.probe.decoded import Decoded

KINDS = ("blur", "noise", "contrast")
COUNTS = {examiner.MAIN: (150, 3), "mnist": (100, 2)}
"""label set -> pictures, classes; a fifth of the pictures judges"""


@pytest.fixture(scope="module")
def sets():
    made = {}
    for name, (count, classes) in COUNTS.items():
        data, run = split(count, classes, name), tiny.run("simclr")
        made[name] = examiner.LabelSet(data, Decoded("image", colored(data), np.arange(count), run.inputs))
    return made


@pytest.fixture
def examined(sets, tmp_path):
    """An untrained network before both label sets."""
    method = tiny.run("simclr").method().eval()
    return examiner.Examination(method, sets, 0, 7, tmp_path, lambda what, done, total: None)


@pytest.fixture
def fits(monkeypatch):
    """What each probe is fitted on; the class of the nearest picture in place of what takes seconds."""
    seen = []

    def nearest(x, y, cut, classes, *rest):
        seen.append(SimpleNamespace(x=x.copy(), y=y, cut=cut, classes=classes))

        def predict(asked):
            return y[cut.both][np.square(asked[:, None] - x[cut.both]).sum(2).argmin(1)]

        return SimpleNamespace(predict=predict, k=1, **dict.fromkeys(linear.TOLD, 0))

    def tuned(method, fresh, data, y, cut, classes, *, plan, seed):
        seen.append(SimpleNamespace(x=data.x, y=y, cut=cut, classes=classes, plan=plan, method=method))
        return finetune.Tuned(np.zeros(len(cut.test), np.int64), plan.rates[0], None, False)

    monkeypatch.setattr(linear, "fit", nearest)
    monkeypatch.setattr(knn, "fit", nearest)
    monkeypatch.setattr(finetune, "fit", tuned)
    return seen


def inverted(x, severity, draw):
    return 255 - x


def wiped(x, severity, draw):
    return torch.full_like(x, 120)


def right(examined, under=""):
    answer = examined.linear(examiner.MAIN, 1.0, under)
    return float((answer.predicted == examined.sets[examiner.MAIN].truth(0)).mean())


def test_each_question_is_learnt_from_its_share_of_the_labels_and_from_no_picture_that_judges(examined, fits):
    learnt, of = defaultdict(list), {}
    for name, which, _, ask in examined.questions():
        before = len(fits)
        answer = ask()
        of[name], learnt[name] = which, fits[before:]
        assert len(answer.predicted) == COUNTS[which][0] / 5, "all test pictures are judged"
    cifar, mnist = 120, 80
    shares = {"labels_1": 3 + 3, "labels_10": 9 + 3}  # of 30 of each class, and of the 10 that choose; one at least
    assert {name: [len(one.cut.both) for one in given] for name, given in learnt.items()} == {
        **{name: [cifar] for name in ("stage1", "stage2", "stage3", "stage4", "linear", "knn", "tuned")},
        **{name: [count] for name, count in shares.items()},
        **{name: [] for name in KINDS},  # fitted on clean pictures, for the question "linear"
        **{name: [mnist] for name in ("mnist_linear", "mnist_tuned")},
    }
    for name, given in learnt.items():
        data = examined.sets[of[name]].data
        parts = np.array([example.part for example in data.examples])
        for one in given:
            assert set(parts[one.cut.train]) == {"train"}, name
            assert set(parts[one.cut.val]) == {"val"}, name
            assert one.cut.test.tolist() == np.flatnonzero(parts == "test").tolist(), name
            assert one.y.tolist() == data.labels.tolist(), name
            assert one.classes == COUNTS[of[name]][1], name
            assert set(one.y[one.cut.both]) == set(range(one.classes)), f"{name} has labels of every class"


def test_what_is_tuned_is_the_network_for_as_many_steps_as_are_told(examined, fits):
    examined.tuned("mnist")
    (one,) = fits
    assert one.method is examined.method
    assert one.x is examined.sets["mnist"].decoded.x
    assert (one.plan.steps, one.plan.rates, one.plan.flip) == (7, (examiner.RATE,), True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_is_wiped_tells_nothing_and_only_for_its_own_question(examined, fits, monkeypatch, kind):
    for one in KINDS:
        monkeypatch.setitem(corrupted._PICTURES, one, wiped if one == kind else lambda x, severity, draw: x)
    asked = {name: ask for name, _, _, ask in examined.questions()}
    clean = asked["linear"]().predicted
    assert right(examined) > 0.8
    for one in KINDS:
        predicted = asked[one]().predicted
        if one == kind:
            assert len(set(predicted.tolist())) == 1, "one answer for all"
        else:
            assert predicted.tolist() == clean.tolist()
    under = next(under for under in examiner.CORRUPTED if under.startswith(kind))
    assert right(examined, under) == pytest.approx(1 / 3)


def test_only_pictures_that_judge_are_seen_worse_each_in_its_place(examined, monkeypatch):
    monkeypatch.setitem(corrupted._PICTURES, "blur", inverted)
    held = examined.sets[examiner.MAIN]
    test = held.cut(0).test
    x = held.decoded.x.copy()
    x[test] = 255 - x[test]
    expected = features.vectors(examined.method, replace(held.decoded, x=x))
    np.testing.assert_allclose(examined.vectors(examiner.MAIN, "blur 2"), expected, atol=1e-5)
    assert np.abs(examined.vectors(examiner.MAIN)[test] - expected[test]).max() > 1e-2


@pytest.mark.parametrize("first", ["clean", "worse"])
def test_clean_answers_and_what_is_fitted_on_are_clean_whatever_was_asked_before(examined, fits, monkeypatch, first):
    monkeypatch.setitem(corrupted._PICTURES, "noise", wiped)
    clean = features.vectors(examined.method, examined.sets[examiner.MAIN].decoded)
    before = examined.linear(examiner.MAIN).predicted.tolist() if first == "clean" else None
    worse = examined.linear(examiner.MAIN, 1.0, "noise 3").predicted.tolist()
    np.testing.assert_array_equal(examined.vectors(examiner.MAIN), clean)
    after = examined.linear(examiner.MAIN).predicted.tolist()
    assert before in (None, after)
    assert after != worse
    assert right(examined) > 0.8
    (one,) = fits
    np.testing.assert_array_equal(one.x[one.cut.both], clean[one.cut.both])


def test_an_answer_is_found_only_for_the_very_question(sets, fits, tmp_path, monkeypatch):
    method = tiny.run("simclr").method().eval()

    def fitted(seed=0):
        before = len(fits)
        examiner.Examination(method, sets, seed, 7, tmp_path, lambda what, done, total: None).answers()
        return len(fits) - before

    whole = fitted()
    assert whole > 10
    assert fitted() == 0
    assert fitted(seed=1) == whole, "another draw of labels"
    monkeypatch.setattr(examiner, "STAGE_PENALTIES", (1.0,))
    assert 0 < fitted() < whole, "stages alone"
    monkeypatch.setattr(examiner, "SEARCH", [1, 0.0])
    assert 4 < fitted() < whole, "all whose penalty is searched"
    assert fitted() == 0
    with torch.no_grad():
        next(method.encoders["image"].parameters()).mul_(1.5)
    assert fitted() == whole
