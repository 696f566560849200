"""Parts, folds, groups and few labels: nothing that is judged is fitted on."""

from __future__ import annotations

import numpy as np
import pytest
from probe.labeled import listed, split

from avssl.probe.rounds import rounds, scarce


def disjoint(cut, count):
    parts = [set(part.tolist()) for part in cut]
    assert sum(map(len, parts)) == len(set().union(*parts)) <= count
    assert all(parts)


def test_the_given_parts_are_taken():
    data = split(50, 2)
    (cut,) = rounds(data)
    disjoint(cut, 50)
    assert [len(part) for part in cut] == [30, 10, 10]
    assert {data.examples[k].part for k in cut.test} == {"test"}
    assert cut.both.tolist() == sorted({*cut.train, *cut.val})


def test_a_fifth_of_each_class_chooses_where_no_part_does():
    part = ["train"] * 40 + ["test"] * 20
    data = listed([k % 4 for k in range(60)], part=part)
    (cut,) = rounds(data, seed=3)
    disjoint(cut, 60)
    assert len(cut.val) == 8
    assert np.bincount(data.labels[cut.val]).tolist() == [2, 2, 2, 2]
    assert rounds(data, seed=3)[0].val.tolist() == cut.val.tolist()
    assert rounds(data, seed=4)[0].val.tolist() != cut.val.tolist()
    assert rounds(data, seed=4)[0].test.tolist() == cut.test.tolist()


def test_a_speaker_is_never_on_both_sides():
    group = [f"speaker{k % 7}" for k in range(70)]
    data = listed([k % 2 for k in range(70)], part=["test" if k % 7 == 6 else "train" for k in range(70)], group=group)
    (cut,) = rounds(data)
    disjoint(cut, 70)
    names = [{group[k] for k in part} for part in cut]
    assert not names[0] & names[1]
    assert names[2] == {"speaker6"}


def test_every_fold_is_judged_once():
    fold = [str(k % 5) for k in range(40)]
    data = listed([k % 4 for k in range(40)], fold=fold)
    cuts = rounds(data)
    assert len(cuts) == 5
    assert sorted(np.concatenate([cut.test for cut in cuts]).tolist()) == list(range(40))
    for cut in cuts:
        disjoint(cut, 40)
        folds = [{fold[k] for k in part} for part in cut]
        assert len(folds[1]) == len(folds[2]) == 1
        assert not folds[0] & (folds[1] | folds[2])


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_few_labels_of_each_class_and_the_whole_test_part(fraction):
    data = split(500, 5)
    whole, few = rounds(data)[0], rounds(data, fraction=fraction)[0]
    assert few.test.tolist() == whole.test.tolist()
    assert set(few.train) <= set(whole.train)
    assert set(few.val) <= set(whole.val)
    for places, each in ((few.train, 60), (few.val, 20)):
        assert np.bincount(data.labels[places]).tolist() == [max(1, round(fraction * each))] * 5
    assert few.train.tolist() == rounds(data, fraction=fraction)[0].train.tolist()


def test_what_cannot_be_judged_is_told():
    with pytest.raises(ValueError, match="no labeled test part"):
        rounds(listed([0, 1, 0, 1]))
    with pytest.raises(ValueError, match="2 folds"):
        rounds(listed([0, 1, 0, 1], fold=["a", "b", "a", "b"]))
    with pytest.raises(ValueError, match="none left to choose"):
        rounds(listed([0, 1, 0, 1], part=["train", "train", "test", "test"]))
    with pytest.raises(ValueError, match="share of the labels"):
        rounds(split(50, 2), fraction=0)
    with pytest.raises(ValueError, match="tells classes apart"):
        listed([1, 1, 1])


def test_judged_classes_that_were_never_fitted_on_are_refused():
    part = ["train"] * 4 + ["test"] * 4
    for labels, told in (
        ("AAAABBBB", "to fit on are of A, those to be judged by of B"),
        ("AABBCCDD", "to fit on are of A, B, those to be judged by of C, D"),
        ("AAAAAABB", "to fit on are of A, those to be judged by of A, B"),
    ):
        with pytest.raises(ValueError, match=told):
            rounds(listed(labels, part=part))
    with pytest.raises(ValueError, match=r"of 0, 1, 2, 3, 4, ..., .* by of 7;"):
        rounds(listed([*range(7), 0, 7], part=["train"] * 8 + ["test"]))
    assert len(rounds(listed("AABBAACC", part=part))) == 1, "a class that was never fitted on is warned of"
    folds = [*"111222333"]
    with pytest.raises(ValueError, match="to fit on are of A, B, C"):
        rounds(listed("AAABBBCCC", fold=folds))
    assert len(rounds(listed("AAABBBABC", fold=folds))) == 3


def test_fewer_examples_are_always_the_same_and_of_every_class():
    data = split(100, 4)
    few = data.fewer(3)
    assert few.digest == data.fewer(3).digest != data.digest
    parts = [(one.part, one.label) for one in few.examples]
    assert {parts.count(cell) for cell in parts} == {3}
    assert data.fewer(0) is data


def test_classes_of_which_there_is_very_little_are_told():
    assert scarce(split(100, 4)) == []
    parts = ["train"] * 12 + ["test"] * 11
    data = listed([*"aaaaaaabbbbb", *"aaaaaabbccc"], part=parts)
    assert scarce(data) == [
        "made: 1 of 3 classes have fewer than 5 examples to fit on; c has 0",
        "made: 2 of 3 classes have fewer than 5 examples to be judged by; b has 2",
    ]
    folds = [str(k % 4) for k in range(24)]
    assert scarce(listed([k // 12 for k in range(24)], fold=folds)) == [
        "made: 2 of 2 classes have fewer than 5 examples to be judged by; 0 has 3"
    ]
