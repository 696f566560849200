"""Class folders, from the first command to the last: labels, training by them, judging, and the page."""

import json

import numpy as np
import pytest
from PIL import Image

from avssl.cli import run

SMALL = ["inputs.height=24", "inputs.width=24", "encoders.image.width=16", "steps=40", "data.batch=16",
         "data.workers=0", "method.classes=2", "evaluate_every=20", "log_every=20"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Red and green pictures in class folders below train, val and test."""
    root, draw = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    for part, count in (("train", 24), ("val", 16), ("test", 16)):
        for channel, kind in enumerate(("red", "green")):
            for k in range(count):
                x = draw.integers(0, 90, (24, 24, 3), np.uint8)
                x[..., channel] += 120
                path = root / "pictures" / part / kind / f"{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(x).save(path)
    return root


def test_the_start_line_of_what_needs_labels_works_on_class_folders(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["methods", "supervised"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "avssl train supervised" in line)
    words = line.split("avssl ")[1].replace("data=FOLDER", f"data={folder / 'pictures'}").split()
    words[words.index("runs/supervised")] = str(folder / "run")
    assert run([*words, *SMALL]) == 0
    log = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    last = [line for line in log if "held_out/accuracy" in line][-1]
    assert last["held_out/chance_accuracy"] == 0.5
    assert last["held_out/items"] == 32
    assert last["held_out/accuracy"] > 0.9

    capsys.readouterr()
    assert run(["evaluate", str(folder / "run"), str(folder / "run" / "manifest.jsonl")]) == 0
    told = capsys.readouterr().out
    assert "own task" in told
    assert "avssl probe" in told
    task = json.loads((folder / "run" / "results.json").read_text())["task"]
    assert task["accuracy"]["trained"] > 0.9
    assert task["accuracy"]["chance"] == 0.5
    assert task["loss"]["trained"] < task["loss"]["untrained"]

    assert run(["report", str(folder / "run"), "-o", str(folder / "page.html")]) == 0
    page = (folder / "page.html").read_text()
    assert "Its own task" in page
    assert "avssl probe" in page
    assert "What its encoder knows" not in page

    monkeypatch.chdir(folder)  # rows are in results/probe.jsonl by default, for both commands
    assert run(["probe", "run", "pictures", "--how", "linear", "--how", "knn"]) == 0
    rows = [json.loads(line) for line in (folder / "results" / "probe.jsonl").read_text().splitlines()]
    assert run(["report", "run", "-o", "page.html"]) == 0
    page = (folder / "page.html").read_text()
    assert "image encoder on pictures, 32 examples judged" in page
    assert "avssl probe" not in page, "what was done is not asked for"
    for row in rows:
        figures = f'<td>{row["probe"]}</td><td class="best">{100 * row["accuracy"]:.1f}</td>'
        assert figures in page
    other = folder / "other.jsonl"
    other.write_text("".join(json.dumps({**row, "digest": "0" * 64}) + "\n" for row in rows))
    assert run(["report", "run", "-o", "page.html", "--probes", str(other)]) == 0
    assert "What its encoder knows" not in (folder / "page.html").read_text(), "of other weights"
    capsys.readouterr()
    assert run(["report", "run", "-o", "page.html", "--probes", "none.jsonl"]) == 2
    assert "none.jsonl: no such file; avssl probe run LABELED --rows none.jsonl writes it" in capsys.readouterr().err


def test_what_lacks_labels_is_told_how_to_get_them(folder, capsys):
    assert run(["train", "supervised", f"data={folder / 'pictures'}", *SMALL, "-o", str(folder / "bare")]) == 2
    told = capsys.readouterr().err
    assert "no recording with the label kind in the train split: 48 recordings, 48 without the label kind" in told
    assert "data.labels=folders" in told


def test_what_has_no_labels_of_its_task_is_judged_without(folder, capsys):
    assert run(["manifest", str(folder / "pictures"), "-o", str(folder / "plain.jsonl")]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(folder / "run"), str(folder / "plain.jsonl"), "--json", str(folder / "x.json")]) == 0
    told = capsys.readouterr().out
    assert "its own task is not judged" in told
    assert json.loads((folder / "x.json").read_text())["task"] == {}


def test_one_picture_alone_teaches_nothing(tmp_path, capsys):
    path = tmp_path / "pictures" / "train" / "one.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)).save(path)
    words = [word for word in SMALL if not word.startswith("method.")]
    assert run(["train", "simclr", f"data={tmp_path / 'pictures'}", *words, "-o", str(tmp_path / "run")]) == 2
    told = capsys.readouterr()
    assert "1 item to train on; nothing is learnt where nothing is compared" in told.err
    assert "1 item of 1 recording to train on" in told.out
