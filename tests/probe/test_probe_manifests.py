"""Manifests as label sets: the label that is asked for, tables of labels, and which encoder judges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from probe.laid import told

from avssl.config import InputsConfig
from avssl.data.labels import FOLDERS
from avssl.data.manifest import Manifest, Recording, make
from avssl.data.narration import Phrase
from avssl.inputs import Inputs, Vocabulary
from avssl.probe import decoded, importers


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


def test_the_question_changes_with_the_files_not_with_what_a_manifest_tells_of_them(tmp_path):
    for part, kind in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")):
        path = tmp_path / "set" / part / kind / f"{part}{kind}.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8), (len(part), ord(kind), 0)).save(path)
    make(tmp_path / "set", labels=Path(FOLDERS), workers=1).save(tmp_path / "made.jsonl")
    before = importers.read(str(tmp_path / "made.jsonl"), tmp_path).digest
    assert importers.read(str(tmp_path / "made.jsonl"), tmp_path).digest == before
    Image.new("RGB", (8, 8), (9, 9, 9)).save(path)
    assert importers.read(str(tmp_path / "made.jsonl"), tmp_path).digest != before


def test_files_that_cannot_be_read_are_told_of_a_folder_with_a_table_too(tmp_path):
    (tmp_path / "set").mkdir()
    for name in "abcdef":
        Image.new("RGB", (8, 8), (ord(name), 0, 0)).save(tmp_path / "set" / f"{name}.png")
    (tmp_path / "set" / "g.png").write_text("no picture")
    rows = "".join(f"{name}\t{'bin' if name < 'd' else 'set'}\n" for name in "abcdefg")
    (tmp_path / "labels.tsv").write_text("clip\tcommand\n" + rows)
    data = importers.read(str(tmp_path / "set"), tmp_path, labels=tmp_path / "labels.tsv")
    assert len(data.examples) == 6
    (told,) = data.left_out
    assert told.startswith(f"{tmp_path / 'set' / 'g.png'}: ")


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
