"""Class folders that are cut into parts, and equal files: on one side of a cut, left out of training, or told."""

from __future__ import annotations

from probe.laid import picture, told, touched

from avssl.probe import importers, parts
from avssl.probe.examples import content_of


def test_each_class_is_cut_alike_where_no_part_is_told(tmp_path):
    for kind, count in (("cat", 60), ("dog", 20), ("eel", 3), ("fox", 2), ("gnu", 1)):
        for k in range(count):
            picture(tmp_path / kind / f"{k}.png", shade=k + 2 * len(kind), also=ord(kind[0]))
    found = importers.read(str(tmp_path), tmp_path)
    assert told(found) == {
        ("train", "cat"): 48, ("val", "cat"): 6, ("test", "cat"): 6,
        ("train", "dog"): 16, ("val", "dog"): 2, ("test", "dog"): 2,
        ("train", "eel"): 1, ("val", "eel"): 1, ("test", "eel"): 1,
        ("train", "fox"): 1, ("test", "fox"): 1, ("train", "gnu"): 1,
    }  # fmt: skip
    assert importers.read(str(tmp_path), tmp_path).examples == found.examples


def test_equal_files_stand_on_one_side_of_a_cut_that_nobody_told(tmp_path):
    for kind in ("cat", "dog"):
        for k in range(6):
            picture(tmp_path / kind / f"{k}.png", shade=10 * (k // 2), also=ord(kind[0]))
    found = importers.read(str(tmp_path), tmp_path)
    assert len(found) == len({content_of(one.path) for one in found.examples}) == 6
    assert [line.split(": ")[1] for line in found.left_out][:1] == ["the same content as cat/0.png"]
    assert len(found.fewer(1).left_out) == 6, "told of a part of it too"


def test_a_told_test_part_stays_whole_and_its_copies_are_left_out_of_training(tmp_path):
    for half, base in (("train", 0), ("val", 50), ("test", 100)):
        for number, kind in enumerate(("cat", "dog")):
            for k in range(6):
                picture(tmp_path / "set" / half / kind / f"{k}.png", base + k, also=200 + number)
    for k in range(3):
        picture(tmp_path / "set" / "train" / "cat" / f"copy{k}.png", 100 + k, also=200)
    picture(tmp_path / "set" / "train" / "dog" / "copy.png", 50, also=201)
    picture(tmp_path / "set" / "val" / "dog" / "copy.png", 101, also=201)
    picture(tmp_path / "set" / "test" / "dog" / "twice.png", 101, also=201)
    data = importers.read(str(tmp_path / "set"), tmp_path)
    assert told(data) == {
        **{(part, kind): 6 for part in ("train", "val", "test") for kind in ("cat", "dog")}, ("test", "dog"): 7
    }  # fmt: skip
    assert data.warnings == (
        "set: 3 files of train with the same content as one of test, left out of train, so that test stays whole: "
        "train/cat/copy0.png is test/cat/0.png, ...",
        "set: 1 file of train with the same content as one of val, left out of train, so that val stays whole: "
        "train/dog/copy.png is val/dog/0.png",
        "set: 1 file of val with the same content as one of test, left out of val, so that test stays whole: "
        "val/dog/copy.png is test/dog/1.png",
    )
    assert len(data.left_out) == 5
    assert data.left_out[0] == f"{tmp_path / 'set/train/cat/copy0.png'}: the same content as test/cat/0.png"


def test_one_content_with_several_labels_or_in_several_folds_is_told(tmp_path):
    for half, base in (("train", 0), ("test", 50)):
        for kind in ("dog", "ship"):
            for k in range(4):
                picture(tmp_path / "set" / half / kind / f"{k}.png", base + k, also=ord(kind[0]))
    for kind in ("dog", "ship"):
        picture(tmp_path / "set" / "train" / kind / "both.png", 200)
    data = importers.read(str(tmp_path / "set"), tmp_path)
    assert (len(data), data.left_out) == (18, ()), "which label is wrong, nobody knows"
    assert data.fewer(1).warnings == data.warnings == (
        "set: 1 file with several labels: train/dog/both.png (label dog) has the content of train/ship/both.png "
        "(label ship)",
    )  # fmt: skip
    for fold in range(1, 4):
        for number, kind in enumerate(("dog", "rain")):
            touched(tmp_path / "esc" / kind / f"{fold}-{1000 + number}-A.ogg", f"{min(fold, 2)} {number}")
    data = importers.read(str(tmp_path / "esc"), tmp_path)
    assert len(data) == 6, "folds are somebody's, and stay"
    assert data.warnings == (
        "esc: 2 files in several folds, so fitted on and judged: dog/2-1000-A.ogg (fold 2) has the content of "
        "dog/3-1000-A.ogg (fold 3), ...",
    )


def test_only_files_that_could_be_copies_are_read(tmp_path, monkeypatch):
    for half, size in (("train", 8), ("test", 20)):
        for kind in ("cat", "dog"):
            for k in range(2):
                touched(tmp_path / "set" / half / kind / f"{k}.png", "x" * (size + (kind == "dog")))
    touched(tmp_path / "set" / "test" / "cat" / "2.png", "y" * 8)
    read = []
    monkeypatch.setattr(parts, "content_of", lambda path: read.append(path) or content_of(path))
    data = importers.read(str(tmp_path / "set"), tmp_path)
    assert [str(path.relative_to(tmp_path / "set")) for path in read] == [
        "test/cat/2.png", "train/cat/0.png", "train/cat/1.png"
    ]  # fmt: skip
    assert len(data) == 9
