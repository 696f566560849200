"""Every layout that is read: labels, parts, folds and groups as they lie on the disk; nothing is fetched."""

from __future__ import annotations

import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from probe.laid import picture, shades, told, touched

from avssl.config import InputsConfig
from avssl.data.manifest import Manifest, Recording, make
from avssl.data.narration import Phrase
from avssl.inputs import Inputs, Vocabulary
from avssl.probe import decoded, importers, parts
from avssl.probe.examples import content_of


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


def manifest(tmp_path):
    video = {"width": 8, "height": 8, "fps": 5.0, "frames": 10, "seconds": 2.0, "codec": "h264"}
    sound = {"hz": 8000, "channels": 1, "seconds": 2.0, "codec": "aac"}
    rows = [
        Recording(
            key=f"clip{k}", path=f"clip{k}.mp4", sha256=str(k), seconds=2.0, video=video, audio=sound if k else None,
            narration=(Phrase(0.0, 1.0, "bin blue" if k % 2 else "set red"),), split="test" if k > 3 else "train",
            labels={"colour": "blue" if k % 2 else "red", "adverb": "now" if k % 3 else "soon"},
        )
        for k in range(6)
    ]  # fmt: skip
    Manifest(tuple(rows)).save(tmp_path / "made.jsonl")
    return tmp_path / "made.jsonl"


def test_a_manifest_gives_the_label_that_is_asked_for(tmp_path):
    data = importers.read(str(manifest(tmp_path)), tmp_path, label="colour")
    assert told(data) == {("train", "red"): 2, ("train", "blue"): 2, ("test", "red"): 1, ("test", "blue"): 1}
    assert data.kinds == {"video", "image", "text"}, "the first has no sound"
    assert importers.read(str(manifest(tmp_path)), tmp_path).name == "made/adverb", "the first in the alphabet"
    with pytest.raises(ValueError, match="its labels are adverb, colour"):
        importers.read(str(manifest(tmp_path)), tmp_path, label="sort")


def test_a_label_chosen_among_class_folders_is_told_to_be_of_no_use(tmp_path):
    colors(tmp_path / "set")
    assert not importers.read(str(tmp_path / "set"), tmp_path).warnings
    (told,) = importers.read(str(tmp_path / "set"), tmp_path, label="colour").warnings
    assert told.startswith("set: --label colour chooses nothing here; a file's folder")


def test_a_table_labels_a_manifest_and_tells_the_parts(tmp_path):
    rows = [f"clip{k}\t{'bin' if k < 2 else 'set'}\t{'test' if k % 2 else 'train'}\n" for k in range(6)]
    (tmp_path / "labels.tsv").write_text("clip\tcommand\tsplit\n" + "".join(rows))
    data = importers.read(str(manifest(tmp_path)), tmp_path, labels=tmp_path / "labels.tsv")
    assert data.name == "made/command"
    assert told(data) == {("train", "bin"): 1, ("train", "set"): 2, ("test", "bin"): 1, ("test", "set"): 2}


def test_rows_of_a_table_that_name_no_recording_are_told(tmp_path):
    rows = [f"clip{k}\t{'bin' if k < 2 else 'set'}\n" for k in range(9)]
    (tmp_path / "labels.tsv").write_text("clip\tcommand\n" + "".join(rows))
    data = importers.read(str(manifest(tmp_path)), tmp_path, labels=tmp_path / "labels.tsv")
    assert data.warnings == (
        f"{tmp_path / 'labels.tsv'}: 3 of 9 rows name no recording, or several: clip6, ...",
    )  # fmt: skip
    (tmp_path / "none.tsv").write_text("clip\tcommand\nother\tbin\n")
    Manifest(tuple(replace(one, labels={}) for one in Manifest.load(manifest(tmp_path)).recordings)).save(
        tmp_path / "bare.jsonl"
    )
    with pytest.raises(ValueError, match=r"^bare: nothing in it is labeled; .*1 of 1 rows name no recording"):
        importers.read(str(tmp_path / "bare.jsonl"), tmp_path, labels=tmp_path / "none.tsv")
    for label in ("", "sort"):
        with pytest.raises(ValueError, match=r"^bare: nothing in it is labeled; give --labels TSV.*labels folders"):
            importers.read(str(tmp_path / "bare.jsonl"), tmp_path, label=label)


def test_which_encoder_judges(tmp_path):
    data = importers.read(str(manifest(tmp_path)), tmp_path)
    assert decoded.modality_of(data, ["audio", "video"]) == "video"
    assert decoded.modality_of(data, ["video", "text"], "text") == "text"
    with pytest.raises(ValueError, match="no audio to judge"):
        decoded.modality_of(data, ["audio", "video"], "audio")
    with pytest.raises(ValueError, match="encodes audio"):
        decoded.modality_of(data, ["audio"])


def test_words_are_those_said_in_the_middle(tmp_path):
    inputs = Inputs(InputsConfig(tokens=6), Vocabulary.train(["bin blue", "set red"], 60))
    held = importers.read(str(manifest(tmp_path)), tmp_path, label="colour")
    _, made = decoded.decode(held, inputs, "text", tmp_path)
    assert torch.equal(made.batch(slice(1, 2)), inputs.tokens(["bin blue"]))


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
