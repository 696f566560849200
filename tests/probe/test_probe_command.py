"""avssl probe as a user runs it: figures beside what they are compared with, rows that are kept, one-line refusals."""

from __future__ import annotations

import io
import json
import shutil
import tarfile

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from probe.labeled import colored, split
from rich.console import Console

from avssl.cli import _probed, run
from avssl.probe import cam, kept, transfer

SMALL = ["inputs.height=16", "inputs.width=16", "encoders.image.width=16", "steps=2", "data.batch=4", "data.workers=0"]


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Tables whose words are not broken, whatever terminal the tests run in."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Colored pictures in class folders, and a run of two steps on them."""
    folder = tmp_path_factory.mktemp("probe")
    data = split(100, 4)
    for place, (x, one) in enumerate(zip(colored(data, 16), data.examples, strict=True)):
        path = folder / "colors" / one.part / f"kind{one.label}" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(x.transpose(1, 2, 0))).save(path)
    assert run(["train", "simclr", f"data={folder / 'colors'}", *SMALL, "-o", str(folder / "run")]) == 0
    return folder


def probed(home, *words):
    return run(["probe", str(home / "run"), str(home / "colors"), "--room", str(home / "room"), *map(str, words)])


def test_figures_stand_beside_what_has_learnt_nothing(home, capsys):
    out = home / "results" / "probe.jsonl"
    words = ["--how", "linear", "--how", "knn", "--how", "stages", "--fraction", 0.2, "--size", 32,
             "--under", "noise 5"]  # fmt: skip
    assert probed(home, *words, "--rows", out) == 0
    told = capsys.readouterr().out
    for word in ("untrained", "raw pixels", "majority", "chance", "linear 20 %", "knn", "stage4", "Wilson"):
        assert word in told, word
    rows = kept.read(out)
    assert [row["probe"] for row in rows] == ["linear", "linear", "knn", "knn", *["stages"] * 4]
    for row in rows:
        assert row["method"] == row["config"]["method"]["name"] == "simclr"
        assert len(row["digest"]) == len(row["data_digest"]) == 64
        assert (row["seed"], row["step"], row["classes"], row["judged"], row["modality"]) == (0, 2, 4, 20, "image")
        assert row["interval"][0] <= row["accuracy"] <= row["interval"][1]
        assert row["beside"]["chance"]["accuracy"] == row["beside"]["majority"]["accuracy"] == 0.25
        assert row["gain"][0] == pytest.approx(row["accuracy"] - row["beside"]["untrained"]["accuracy"])
        assert row["intervals"]["accuracy"].startswith("Wilson")
        assert row["fitted"] == [16], "a fifth of 80"
    assert [row["under"] for row in rows[:4]] == ["", "noise 5"] * 2
    assert all("penalty" in row["chosen"][0] for row in rows if row["probe"] != "knn")

    before = out.read_text()
    assert probed(home, *words, "--rows", out) == 0
    assert out.read_text() == before, "what was asked is not asked again"
    assert "linear 20 %" in capsys.readouterr().out
    assert probed(home, "--how", "knn", "--seed", 1, "--rows", out) == 0
    assert [row["seed"] for row in kept.read(out)][-1] == 1
    assert out.read_text().startswith(before)


def test_a_map_pooled_by_its_maximum_is_a_question_of_its_own(home, capsys, tmp_path):
    out = tmp_path / "probe.jsonl"
    assert probed(home, "--how", "knn", "--rows", out) == 0
    older = [{name: value for name, value in row.items() if name != "pooled"} for row in kept.read(out)]
    out.write_text("".join(json.dumps(row) + "\n" for row in older))
    assert probed(home, "--how", "knn", "--pooled", "mean", "--rows", out) == 0
    assert len(kept.read(out)) == 1, "rows that do not tell it are of the encoder's own vectors"
    capsys.readouterr()
    assert probed(home, "--how", "knn", "--pooled", "mean", "--pooled", "max", "--rows", out) == 0
    assert [row.get("pooled") for row in kept.read(out)] == [None, "max"]
    told = capsys.readouterr().out
    assert "knn max-pooled" in told
    assert told.count("\nknn ") == 2


@pytest.mark.parametrize("how", ["linear", "stages"])
def test_a_row_whose_penalties_were_searched_otherwise_is_asked_again(home, capsys, tmp_path, how):
    out = tmp_path / "probe.jsonl"
    assert probed(home, "--how", how, "--size", 32, "--rows", out) == 0
    now = kept.read(out)
    for search in (None, [3, 0.0]):
        dropped = [{key: row[key] for key in row if key != "search"} for row in now]
        older = [{**row, "search": search} for row in dropped] if search else dropped
        out.write_text("".join(json.dumps(row) + "\n" for row in older))
        assert probed(home, "--how", how, "--size", 32, "--rows", out) == 0
        assert len(kept.read(out)) == 2 * len(now)
        assert [row["search"] for row in kept.read(out)[len(now) :]] == [[3, 2.0]] * len(now)


def test_a_transfer_table_is_of_the_encoders_own_vectors(home, capsys, tmp_path):
    out = tmp_path / "probe.jsonl"
    assert probed(home, "--how", "transfer", "--pooled", "max", "--steps", 1, "--rate", 0.1, "--rows", out) == 0
    assert [row.get("pooled") for row in kept.read(out)] == ["mean", "max", None]
    told = capsys.readouterr().out
    assert "protocol" in told
    assert "linear   " in told.split("protocol")[1]


def test_transfer_freezing_and_maps(home, capsys, tmp_path, monkeypatch):
    titles, titled = [], Figure.suptitle
    monkeypatch.setattr(
        Figure, "suptitle", lambda self, text, **more: titles.append(text) or titled(self, text, **more)
    )
    out = tmp_path / "rows.jsonl"
    words = ["--how", "transfer", "--how", "finetune", "--how", "cam", "--freeze", 0, "--freeze", 4,
             "--steps", 3, "--batch", 8, "--rate", 0.1, "--rest", "random", "--per-class", 6]  # fmt: skip
    assert probed(home, *words, "--rows", out, "-o", tmp_path / "cam.png") == 0
    told = capsys.readouterr().out
    for word in ("0 frozen", "4 frozen", "protocol", "surely ahead of random on", "wrote"):
        assert word in told, word
    rows = kept.read(out)
    asked = [(row["probe"], row.get("freeze")) for row in rows]
    assert asked == [("linear", None), ("finetune", 0), ("finetune", 4)]
    assert rows[1]["gain"] == [0, 0, 0], "all of it random is random initialization"
    assert (tmp_path / "cam.png").read_bytes().startswith(b"\x89PNG")
    assert "".join(titles[0].split()).startswith(f"{home / 'run'}oncolors"), "in lines"


def row(probe, run, method, data, accuracy, untrained, gain):
    return {"probe": probe, "run": run, "method": method, "data": data, "fraction": 1, "accuracy": accuracy,
            "beside": {"untrained": {"accuracy": untrained}}, "gain": gain}  # fmt: skip


def asked(probe, **more):
    whole = {"modality": "image", "judged": 9, "interval": [0.1, 0.9], "part": {}, "rest": "kept", **more}
    return {**row(probe, "own", "simclr", "food", 0.5, 0.3, [0.2, 0.1, 0.3]), **whole}


def shown(rows, *hows):
    console = Console(file=io.StringIO(), width=200)
    _probed.show(console, rows, list(hows))
    return console.file.getvalue()


def test_accuracy_against_frozen_stages_is_told_from_two_values_on():
    tuned = [asked("finetune", freeze=k) for k in (0, 3)]
    assert "0 frozen" in shown(tuned, "finetune")
    assert "0 frozen" not in shown([asked("linear"), tuned[0]], "linear", "finetune")
    assert "0 frozen" in shown([asked("linear"), *tuned], "linear", "finetune")


def test_a_transfer_table_without_a_row_is_told():
    few = [asked("linear", fraction=0.1), asked("finetune", fraction=0.1, freeze=0), asked("linear", under="noise 1"),
           asked("linear", pooled="max"), asked("finetune", freeze=1), asked("finetune", freeze=0, rest="random"),
           asked("knn")]  # fmt: skip
    told = shown(few, "transfer")
    assert "no transfer table: it takes rows of --fraction 1" in told
    assert "protocol" not in told
    assert "protocol" in shown([*few, asked("linear")], "transfer")


def test_few_examples_of_a_class_are_warned_of(home, capsys, tmp_path):
    words = ["--how", "knn", "--rows", tmp_path / "rows.jsonl"]
    assert probed(home, *words, "--per-class", 2) == 0
    assert "warning: colors: 4 of 4 classes have fewer than 5 examples to be judged by" in capsys.readouterr().err
    assert probed(home, *words) == 0
    assert "warning" not in capsys.readouterr().err


def test_a_test_picture_that_lies_in_train_too_is_warned_of_and_not_fitted_on(home, capsys, tmp_path):
    shutil.copytree(home / "colors", tmp_path / "colors")
    first = min((tmp_path / "colors" / "test" / "kind1").iterdir())
    shutil.copy(first, tmp_path / "colors" / "train" / "kind0" / "copy.png")
    rows = tmp_path / "rows.jsonl"
    words = ["probe", str(home / "run"), str(tmp_path / "colors"), "--how", "knn", "--rows", str(rows)]
    assert run([*words, "--beside", str(home / "run")]) == 0
    told = capsys.readouterr().err
    assert told.count("warning: colors: 1 file of train with the same content as one of test, left out of train") == 1
    assert told.count(f"warning: colors: 1 file with several labels: test/kind1/{first.name} (label kind1) has") == 1
    assert (kept.read(rows)[0]["fitted"], kept.read(rows)[0]["judged"]) == ([80], 20)


def test_what_cannot_be_read_is_named_and_left_out(home, capsys, tmp_path):
    shutil.copytree(home / "colors", tmp_path / "colors")
    broken = sorted((tmp_path / "colors" / "test").glob("*/*.png"))[:2]
    for path in broken:
        path.write_bytes(b"no picture")
    words = ["probe", str(home / "run"), str(tmp_path / "colors"), "--how", "knn", "--rows", str(tmp_path / "r.jsonl")]
    assert run(words) == 0
    told = capsys.readouterr()
    assert "warning: colors: 2 files left out" in told.err
    assert all(str(path) in told.err for path in broken)
    assert kept.read(tmp_path / "r.jsonl")[0]["judged"] == 18, "not judged as what they are not"
    assert run([*words, "--bad-budget", "0.01"]) == 2
    assert "2 of 100 examples cannot be read, more than the budget of 1% (--bad-budget)" in capsys.readouterr().err


def test_what_is_unpacked_is_said_and_how_it_is_kept(home, capsys, tmp_path):
    packed = tmp_path / "colors.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(home / "colors", "colors")
    words = ["probe", str(home / "run"), str(packed), "--how", "knn", "--rows", str(tmp_path / "rows.jsonl")]
    said = f"unpacking {packed}"
    for _ in range(2):
        assert run(words) == 0
        assert f"{said}; to keep it for the next time: --room FOLDER\n" in capsys.readouterr().err
    assert run([*words, "--room", str(tmp_path / "room")]) == 0
    assert f"{said}\n" in capsys.readouterr().err
    assert run([*words, "--room", str(tmp_path / "room")]) == 0
    assert "unpacking" not in capsys.readouterr().err
    assert run(["probe", "--help"]) == 0
    assert "unless given, they are gone at the end" in " ".join(capsys.readouterr().out.replace("│", "").split())


def test_a_label_set_that_fails_leaves_the_figures_of_the_others(home, capsys, tmp_path):
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "flat" / "x.png")
    for name in ("train/A/0", "train/A/1", "test/B/2"):
        path = tmp_path / "apart" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"no picture {name}")
    rows = tmp_path / "rows.jsonl"
    sets = [str(tmp_path / "flat"), str(tmp_path / "apart"), str(home / "colors")]
    assert run(["probe", str(home / "run"), *sets, "--how", "knn", "--rows", str(rows)]) == 2
    told = capsys.readouterr()
    assert "lies in no class folder" in told.err
    assert "examples to fit on are of A" in told.err, "before anything is decoded"
    assert "knn" in told.out
    assert len(kept.read(rows)) == 1


def test_a_question_that_cannot_be_answered_leaves_the_others(home, capsys, tmp_path):
    rows = tmp_path / "rows.jsonl"
    words = ["--how", "finetune", "--steps", 1, "--rate", 0.1, "--freeze", 9, "--freeze", 1, "--how", "knn"]
    assert probed(home, *words, "--rows", rows) == 2
    assert "freeze=9: the image encoder has 4 stages" in capsys.readouterr().err
    assert [(row["probe"], row.get("freeze")) for row in kept.read(rows)] == [("finetune", 1), ("knn", None)]


def test_label_sets_of_one_name_are_told_apart(home, capsys, tmp_path):
    other = tmp_path / "colors"
    shutil.copytree(home / "colors", other)
    (path,) = sorted(other.glob("test/kind0/*.png"))[:1]
    path.unlink()
    rows = tmp_path / "rows.jsonl"
    words = ["probe", str(home / "run"), str(home / "colors"), str(other), "--how", "transfer", "--steps", "1"]
    assert run([*words, "--rate", "0.1", "--rows", str(rows)]) == 0
    told = capsys.readouterr().out
    assert f"run on {other}, 19 examples judged" in told
    assert "run on colors, 20 examples judged" in told
    assert "on 0 of 2" in told or "on 1 of 2" in told or "on 2 of 2" in told
    (titles,) = (line for line in told.splitlines() if line.startswith("protocol"))
    assert titles.split() == ["protocol", "network", "colors", str(other)]


def test_rows_computed_again_are_shown_once(home, capsys, tmp_path):
    rows = tmp_path / "rows.jsonl"
    for again in (["--again"], ["--again"], []):
        assert probed(home, "--how", "stages", "--size", 32, "--rows", rows, *again) == 0
        told = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("stages")]
        assert len(kept.read(rows)) % 4 == 0
    assert len(kept.read(rows)) == 8
    assert len(told) <= 4 * 1 + 1, told


def test_maps_are_drawn_of_classes_that_were_fitted_on(home, capsys, tmp_path, monkeypatch):
    shutil.copytree(home / "colors", tmp_path / "colors")
    for folder in [one for one in tmp_path.glob("colors/*/kind2") if one.parent.name != "test"]:
        shutil.rmtree(folder)
    drawn = []
    monkeypatch.setattr(cam, "sheet", lambda *given: drawn.append((given[4], given[6])))
    words = ["probe", str(home / "run"), str(tmp_path / "colors"), "--how", "cam", "--rows", str(tmp_path / "r.jsonl")]
    assert run([*words, "-o", str(tmp_path / "cam.png")]) == 0
    ((names, labels),) = drawn
    assert {names[label] for label in labels} == {"kind0", "kind1", "kind3"}
    assert "of 15 judged" in capsys.readouterr().out


def test_the_transfer_table_says_who_is_ahead_of_labels():
    rows = [
        row("linear", "own", "simclr", "food", 0.769, 0.3, [0.469, 0.4, 0.5]),
        row("linear", "own", "simclr", "cars", 0.600, 0.59, [0.01, -0.1, 0.1]),
        row("linear", "ceiling", "supervised", "food", 0.752, 0.3, [0.45, 0.4, 0.5]),
        row("linear", "ceiling", "supervised", "cars", 0.688, 0.59, [0.1, 0.0, 0.2]),
    ]
    titles, lines = transfer.table(rows)
    assert titles == ["protocol", "network", "food", "cars"]
    assert lines[0] == ["linear", "own", "76.9", "60.0"]
    assert ["linear", "random (own)", "30.0", "59.0"] in lines
    assert transfer.summary(rows) == [
        "linear, own: surely ahead of random on 1 of 2, by +46.9 at most; ahead of labels on 1 of 2"
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--how", "magic"], "--how magic: there are linear"),
        (["--modality", "audio"], "no audio to judge"),
        (["--freeze", "9", "--how", "finetune", "--steps", "1"], "has 4 stages"),
        (["--fraction", "2"], "share of the labels"),
        (["--under", "fog 1"], "noise, blur, contrast"),
        (["--rest", "gone"], "kept or random"),
        (["--steps", "0"], "--steps 0"),
        (["--how", "transfer", "--rest", "random"], "--rest random is for --how finetune; --how transfer has no use"),
        (["--rest", "random"], "--how linear has no use for it"),
        (["--how", "stages", "--under", "noise 1"], "--under is for --how linear and knn; --how stages has no use"),
        (["--pooled", "sum"], "--pooled sum: there are mean, max"),
        (["--how", "stages", "--pooled", "max"], "--pooled is for --how linear and knn; --how stages has no use"),
        (["--how", "linear", "--freeze", "1"], "--freeze is for --how finetune; --how linear has no use for it"),
        (["--size", "0", "--how", "stages"], "'--size': "),
        (["--per-class", "-1"], "'--per-class': "),
        (["--seed", "-1"], "'--seed': "),
        (["--threads", "0"], "'--threads': "),
        (["--how", "cam", "-o", "x.jpg"], "the sheet is a .png"),
    ],
)
def test_wrong_words_are_one_line(home, words, expected, capsys, tmp_path):
    assert probed(home, *words, "--rows", tmp_path / "rows.jsonl") == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1
    assert expected in told[0]


def test_a_file_of_other_rows_is_not_added_to(home, capsys, tmp_path):
    (tmp_path / "grid.jsonl").write_text(json.dumps({"config": "grid"}) + "\n")
    assert probed(home, "--rows", tmp_path / "grid.jsonl") == 2
    assert "not a row of avssl probe" in capsys.readouterr().err
    assert run(["probe", str(home / "none"), str(home / "colors")]) == 2
    assert run(["probe", str(home / "run"), str(home / "none")]) == 2
