"""avssl evaluate --list: maps of any system on a released list, as tables on 80 columns, and wrong words."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from avssl.cli import _lists, run


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A list of boxes with two sounds in each of three pictures, one of masks, maps of both, and negatives."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    sides = {"cat": 28, "bell": 84, "drum": 130, "horn": 200}
    rows = [
        {"image": f"/x/{n}_{name}.jpg", "audio": f"/x/{n}_{name}.wav", "gt_box": [0, 0, side, side]}
        for n in (1, 2, 3)
        for name, side in sides.items()
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    (tmp_path / "masks.json").write_text(json.dumps([row | {"gt_box": f"/y/{row['image'][3:-4]}.png"} for row in rows]))
    (tmp_path / "ids.csv").write_text("a_000001\n")
    (tmp_path / "plus.csv").write_text("video,audio,label\na,b,non-sounding\n")
    for folder in ("maps", "masks", "silence", "noise", "offscreen", "held", "few"):
        (tmp_path / folder).mkdir()
    for row in rows:
        key, side = row["image"][3:-4], row["gt_box"][2]
        place = np.arange(224) < side
        np.save(tmp_path / "maps" / f"{key}.npy", (place & place[:, None]).astype(np.float32))
        Image.fromarray(255 * (place & place[:, None]).astype(np.uint8)).save(tmp_path / "masks" / f"{key}.png")
    for index, folder in enumerate(("silence", "noise", "offscreen", "held")):
        np.save(tmp_path / folder / "x.npy", np.full((7, 7), 0.1 * index))
    np.save(tmp_path / "few" / f"{rows[0]['image'][3:-4]}.npy", np.zeros((2, 2)))
    return tmp_path


def told(words, capsys):
    assert run(["evaluate", *words.split()]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert "…" not in said
    return said


def test_all_figures_of_maps_are_told_and_written(made, capsys):
    said = told(
        "--list boxes.json --maps maps --silence silence --noise noise --offscreen offscreen --validation held "
        "--json out.json",
        capsys,
    )
    assert "boxes.json: 12 items; 3 pictures with several sounds; maps of maps" in said
    # each predictor's row is one line, under every rule, and again for detection
    for who, count in (("maps", 5 + 5), ("center", 4 + 4), ("oracle", 4)):
        assert len(re.findall(rf"^(?:top half|strict|adaptive|fixed|universal|) +{who} +\d", said, re.M)) == count, who
    rows = [line.split() for line in said.splitlines()]
    perfect = next(row for row in rows if row[:2] == ["universal", "maps"])
    assert perfect == ["universal", "maps", "100", "100..100", "100", "100", "100", "100", "100", "100", "100"]
    assert next(row for row in rows if row[:1] == ["silence"]) == ["silence", "0.0", "100"]
    assert "at the threshold 0.3 (third quartile of the peaks of validation negatives): mean" in said
    assert "left out: mIoU, F-measure of masks (a list of boxes)" in said
    judged = json.loads((made / "out.json").read_text())
    assert (judged["list"], judged["maps"]) == ("boxes.json", "maps")
    assert judged["threshold"]["f_loc"] == judged["rules"]["adaptive"]["maps"]["ciou"] == 1.0
    assert judged["rules"]["top_half"]["maps"]["ciou"] == 0.25  # all is tied with the middle value, but of the largest


def test_masks_are_told_and_what_is_left_out(made, capsys):
    said = told("--list masks.json --maps maps --masks masks", capsys)
    figures = {line[:21].strip(): line[21:].split() for line in said.splitlines()}
    assert figures["F-measure"][0] == figures["mIoU, adaptive"][0] == figures["pointing"][0] == "100"
    assert len(figures["mIoU, top half strict"]) == 6
    flat = " ".join(said.split())
    assert "average is of the list's own masks" in flat
    assert "the range of all maps of the list, 0 to 1, becomes 0 to 1" in flat
    assert (
        "left out: AP, max-F1, LocAcc (no maps of negatives); "
        "universal rule, pIA, AUC_N, F_LOC, F_AUC (no threshold)" in flat
    )
    assert "a threshold is never chosen on the list itself: give --threshold or --validation" in flat


def test_a_trivial_table_fits_on_80_columns(made, capsys):
    said = told("--trivial boxes.json", capsys)
    assert sum(line.split()[:1] == ["oracle"] for line in said.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--maps maps", "--maps: only with --list"),
        ("runs/x x.jsonl --silence silence --threshold 0.5", "--silence, --threshold: only with --list"),
        ("--trivial boxes.json --maps maps", "--maps: only with --list"),
        ("--trivial boxes.json --list boxes.json --maps maps", "--trivial and --list: give one"),
        ("--list boxes.json", "--list judges maps: name their folder with --maps"),
        ("runs/x --list boxes.json --maps maps", "--list judges a list without a run: leave out RUN"),
        ("--list boxes.json --maps maps --split val --choose", "without a run: leave out --split, --choose"),
        ("--list boxes.json --maps maps --threshold 1 --validation held", "--threshold and --validation: give one"),
        ("--list boxes.json --maps maps --threshold inf", "the threshold is inf; it must be a finite number"),
        ("--list boxes.json --maps maps --json no/such.json", "--json no/such.json: no: no such folder"),
        ("--list none.json --maps maps", "none.json: No such file"),
        ("--list boxes.json --maps none", "none: no such folder"),
        ("--list boxes.json --maps masks", "masks holds no .npy file"),
        ("--list boxes.json --maps few", "few/1_bell.npy is missing: 11 of 12 items have no map"),
        ("--list boxes.json --maps maps --masks masks", "boxes.json: 1_cat: the list names no mask"),
        ("--list masks.json --maps maps", "masks.json: 1_cat: the list has masks, no boxes: give the folder"),
        ("--list ids.csv --maps maps", "ids.csv: a_000001: the list has neither boxes nor masks"),
        ("--list plus.csv --maps maps", "plus.csv: a: the list holds items that do not sound"),
        ("--list boxes.json --maps maps --validation maps", "must not be chosen on a map that is judged"),
        ("--list boxes.json --maps maps --noise maps", "is given as an item's map and as one on which"),
    ],
)
def test_wrong_words_about_maps_are_one_clear_line(words, expected, made, capsys):
    assert run(["evaluate", *words.split()]) == 2
    said = capsys.readouterr()
    assert expected in said.err
    assert said.err.count("\n") == 1
    assert not said.out


def test_a_broken_map_is_named(made, capsys):
    (made / "maps" / "2_drum.npy").write_bytes(b"no array")
    assert run(["evaluate", "--list", "boxes.json", "--maps", "maps"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: maps/2_drum.npy is no .npy file of numbers")
    assert said.err.count("\n") == 1


def test_it_is_told_how_far_it_is_when_it_takes_long(monkeypatch):
    heard = []
    monkeypatch.setattr(_lists, "QUIET_SECONDS", 1e9)
    _lists._later(lambda *told: heard.append(told))(1, 3)
    assert not heard
    monkeypatch.setattr(_lists, "QUIET_SECONDS", 0.0)
    _lists._later(lambda *told: heard.append(told))(2, 3)
    assert heard == [(2, 3)]
