"""Every layout of folders and archives that is read: labels, parts, folds and groups; nothing is fetched."""

from __future__ import annotations

import tarfile
from collections import Counter
from pathlib import Path

import pytest
from probe.laid import picture, shades, told, touched

from avssl.data.manifest import make
from avssl.probe import importers


def test_class_folders_with_train_and_test_above_them(tmp_path):
    for half, count in (("train", 3), ("test", 2)):
        for kind in ("cat", "dog"):
            for k in range(count):
                picture(tmp_path / "set" / half / kind / f"{k}.png", 10 * k, also=ord(kind[0]) + 10 * count)
    touched(tmp_path / "set" / "README.md")
    data = importers.read(str(tmp_path / "set"), tmp_path)
    assert told(data) == {("train", "cat"): 3, ("train", "dog"): 3, ("test", "cat"): 2, ("test", "dog"): 2}
    assert data.kinds == {"image"}
    assert data.classes == ("cat", "dog")
    before = data.digest
    picture(tmp_path / "set" / "train" / "cat" / "0.png", 77)
    assert importers.read(str(tmp_path / "set"), tmp_path).digest != before, "another picture, another question"


def colors(root, count=4):
    """Two classes of pictures, each of its own shade."""
    for kind, shade in (("cat", 10), ("dog", 100)):
        for k in range(count):
            picture(root / kind / f"{k}.png", shade + k)


def test_files_are_those_that_a_manifest_lists(tmp_path):
    root = tmp_path / "set"
    colors(root)
    for hidden in (".ipynb_checkpoints/0.png", "cat/.thumbs/0.png", "cat/.0.png", "truth/mask/0.png"):
        picture(root / hidden, 7)
    (root / "truth" / ".nomedia").touch()
    picture(tmp_path / "else" / "bird.png", 8)
    (root / "dog" / "far.png").symlink_to(tmp_path / "else" / "bird.png")
    (root / "dog" / "more").symlink_to(tmp_path / "else")
    (root / "dog" / "near.png").symlink_to("0.png")
    data = importers.read(str(root), tmp_path)
    listed = make(root, labels=Path("folders"), workers=1)
    assert {one.label for one in data.examples} == {"cat", "dog"}
    assert {one.name for one in data.examples} == {one.path for one in listed.recordings}
    told = sorted(line.removeprefix(f"{root}/") for line in data.left_out)
    assert told == ["dog/far.png: a link that leads out of the folder",
                    "dog/more: a link to a folder; links are not followed",
                    "dog/near.png: the same content as dog/0.png",
                    "truth: a folder that holds .nomedia: it says that nothing in it is a recording"]  # fmt: skip
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "cat").symlink_to(root / "cat")
    with pytest.raises(ValueError, match=r"no picture, video or sound in it; .*cat: a link to a folder"):
        importers.read(str(tmp_path / "links"), tmp_path)


def test_files_in_no_class_folder_are_left_out_where_others_are_in_one(tmp_path):
    colors(tmp_path / "set")
    picture(tmp_path / "set" / "preview.png", 200)
    data = importers.read(str(tmp_path / "set"), tmp_path)
    assert len(data) == 8
    assert [line.partition(";")[0] for line in data.left_out] == [
        f"{tmp_path / 'set' / 'preview.png'}: lies in no class folder"
    ]
    for fold in range(1, 4):
        touched(tmp_path / "esc" / "audio" / f"{fold}-{1000 + fold}-A-{fold % 2}.ogg")
        touched(tmp_path / "esc" / "other" / f"{fold}-{2000 + fold}-A-{fold % 2}.ogg")
    picture(tmp_path / "esc" / "esc.png")
    assert {one.fold for one in importers.read(str(tmp_path / "esc"), tmp_path).examples} == {"1", "2", "3"}


def test_an_archive_of_class_folders_is_unpacked_once(tmp_path):
    for half in ("train", "test"):
        for kind in ("cat", "dog"):
            picture(tmp_path / "made" / half / kind / "0.jpg", len(half), also=ord(kind[0]))
    with tarfile.open(tmp_path / "made.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "made", "made")
    room = tmp_path / "room"
    room.mkdir()
    data = importers.read(str(tmp_path / "made.tar.gz"), room)
    assert (data.name, len(data)) == ("made", 4)
    assert all(one.path.is_relative_to(room) for one in data.examples)
    data.examples[0].path.unlink()
    assert len(importers.read(str(tmp_path / "made.tar.gz"), room)) == 3, "it lies there already"
    (tmp_path / "broken.tar").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="cannot be unpacked"):
        importers.read(str(tmp_path / "broken.tar"), room)


def packed(path, shade):
    """An archive of two classes, train and test, all pictures of one shade."""
    content = path.parent / f"content-{shade}"
    for half, side in (("train", 8), ("test", 9)):
        for kind, more in (("cat", 0), ("dog", 2)):
            picture(content / half / kind / "0.png", shade, side=side + more)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(content, "content")
    return path


def test_archives_of_one_name_are_each_their_own(tmp_path):
    (tmp_path / "room" / "set" / "train" / "cat").mkdir(parents=True)  # as rooms were laid out once
    picture(tmp_path / "room" / "set" / "train" / "cat" / "0.png", 5)
    for name in (".set.tar.gz.done", ".set.v2.tar.gz.done"):
        (tmp_path / "room" / name).touch()
    made = {}
    for shade, name in ((10, "a/set.tar.gz"), (20, "b/set.tar.gz"), (30, "a/set.v2.tar.gz"), (40, "b/set.tgz")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        made[shade] = packed(tmp_path / name, shade)
    for _ in range(2):
        for shade, path in made.items():
            assert shades(importers.read(str(path), tmp_path / "room")) == {shade}, path
    assert importers.read(str(made[30]), tmp_path / "room").name == "set.v2"
    assert importers.read(str(made[40]), tmp_path / "room").name == "set"
    packed(made[10], 50)
    assert shades(importers.read(str(made[10]), tmp_path / "room")) == {50}, "another archive in its place"


def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path):
    touched(tmp_path / "x.png")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.add(tmp_path / "x.png", "../../out.png")
    with pytest.raises(ValueError, match="cannot be unpacked"):
        importers.read(str(tmp_path / "evil.tar"), tmp_path / "room")
    assert not list(tmp_path.glob("**/out.png"))


def test_links_in_an_archive_are_the_pictures_they_lead_to(tmp_path):
    picture(tmp_path / "in" / "cat" / "x.png", shade=1)
    picture(tmp_path / "in" / "dog" / "y.png", shade=2)
    (tmp_path / "in" / "dog" / "also.png").symlink_to("../cat/x.png")
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        archive.add(tmp_path / "in", "in")
    importers.read(str(tmp_path / "in.tar"), tmp_path / "room")
    (also,) = (tmp_path / "room").rglob("also.png")
    assert not also.is_symlink()
    assert also.read_bytes() == (tmp_path / "in" / "cat" / "x.png").read_bytes()
    (tmp_path / "in" / "dog" / "z.png").symlink_to("/etc/hostname")
    with tarfile.open(tmp_path / "out.tar", "w") as archive:
        archive.add(tmp_path / "in", "in")
    with pytest.raises(ValueError, match="cannot be unpacked"):
        importers.read(str(tmp_path / "out.tar"), tmp_path / "room")


def test_esc_and_spoken_digits_bring_their_folds(tmp_path):
    for fold in range(1, 6):
        for number, kind in enumerate(("001 - Dog bark", "002 - Rain")):
            touched(tmp_path / "esc" / kind / f"{fold}-{1000 + number}-A.ogg")
    data = importers.read(str(tmp_path / "esc"), tmp_path)
    assert data.classes == ("001 - Dog bark", "002 - Rain")
    assert {one.fold for one in data.examples} == set("12345")
    assert data.examples[0].group == "1000"
    for speaker in ("ann", "bob", "eve"):
        for digit in range(3):
            touched(tmp_path / "fsdd" / "recordings" / f"{digit}_{speaker}_0.wav")
    data = importers.read(str(tmp_path / "fsdd"), tmp_path)
    assert data.classes == ("0", "1", "2")
    assert {one.fold for one in data.examples} == {one.group for one in data.examples} == {"ann", "bob", "eve"}
    assert data.kinds == {"audio"}


def test_a_label_chosen_among_class_folders_is_told_to_be_of_no_use(tmp_path):
    colors(tmp_path / "set")
    assert not importers.read(str(tmp_path / "set"), tmp_path).warnings
    (told,) = importers.read(str(tmp_path / "set"), tmp_path, label="colour").warnings
    assert told.startswith("set: --label colour chooses nothing here; a file's folder")


@pytest.mark.parametrize("spec", ["set.tar.gz", "torchvision:MNIST:set"])
def test_a_table_is_refused_where_it_would_not_be_looked_at(tmp_path, spec):
    (tmp_path / "labels.tsv").write_text("clip\tkind\n0\tx\n")
    with pytest.raises(ValueError, match=r"has labels of its own; unpack it into a folder"):
        importers.read(spec, tmp_path, labels=tmp_path / "labels.tsv")


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(ValueError, match="nothing is downloaded"):
        importers.read(str(tmp_path / "none"), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no picture, video or sound"):
        importers.read(str(tmp_path / "empty"), tmp_path)
    touched(tmp_path / "flat" / "x.png")
    with pytest.raises(ValueError, match="no class folder"):
        importers.read(str(tmp_path / "flat"), tmp_path)


def test_real_sets_have_their_folds_and_speakers(recordings):
    esc = importers.read(str(recordings / "esc10"), recordings)
    assert (len(esc), len(esc.classes)) == (400, 10)
    assert Counter(one.fold for one in esc.examples) == {str(k): 80 for k in range(1, 6)}
    folds = {}
    for one in esc.examples:
        assert folds.setdefault(one.group, one.fold) == one.fold, "a source is in one fold"
    digits = importers.read(str(recordings / "fsdd"), recordings)
    assert (len(digits), len(digits.classes), len({one.fold for one in digits.examples})) == (1500, 10, 6)


def test_real_digits_have_their_halves(recordings, tmp_path):
    digits = importers.read(str(recordings / "mnist"), tmp_path)
    assert (len(digits), len(digits.classes)) == (7500, 10)
    assert Counter(one.part for one in digits.examples) == {"train": 6000, "test": 1500}
    assert set(Counter(one.label for one in digits.examples).values()) == {750}
