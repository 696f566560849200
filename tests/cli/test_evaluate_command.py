"""avssl evaluate without a run: the trivial predictors on a list, its figures as a file, and wrong combinations."""

import json

import numpy as np
import pytest
from rich.console import Console

from avssl.cli import run
from avssl.cli.evaluate import show
from avssl.evaluation import finding


@pytest.fixture
def listed(tmp_path):
    """Two sounds in each of two pictures: one thing in the middle, one in a corner."""
    boxes = {"cat": [56, 56, 168, 168], "bell": [0, 0, 56, 56]}
    rows = [
        {"image": f"/x/{n}_{name}.jpg", "audio": f"/x/{n}_{name}.wav", "gt_box": box}
        for n in (1, 2)
        for name, box in boxes.items()
    ]
    path = tmp_path / "list.json"
    path.write_text(json.dumps(rows))
    return path


def test_a_list_is_judged_without_a_run(listed, tmp_path, capsys):
    assert run(["evaluate", "--trivial", str(listed), "--json", str(tmp_path / "out.json")]) == 0
    told = capsys.readouterr().out
    assert "list.json: 4 items; 2 pictures with several sounds" in told
    assert "F_LOC" in told
    for words in ("top half", "adaptive", "center", "average", "whole", "random", "oracle", "iiou"):
        assert words in told
    judged = json.loads((tmp_path / "out.json").read_text())
    adaptive = judged["rules"]["adaptive"]
    assert judged["list"] == "list.json"
    assert adaptive["center"]["ciou"] == 0.5  # the thing in the middle
    assert adaptive["center"]["iiou"] == 0.0
    assert adaptive["oracle"]["iiou"] == 1.0
    assert judged["rules"]["top_half"]["oracle"]["ciou"] == 0.5  # half must be marked: a quarter of it is the most


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "RUN and MANIFEST are missing"),
        (["runs/x"], "MANIFEST is missing"),
        (["runs/x", "x.jsonl", "--trivial", "{list}"], "without a run"),
        (["--trivial", "{list}", "--truth", "t.jsonl"], "without a run"),
        (["--trivial", "none.json"], "none.json: No such file"),
        (["--trivial", "{ids}"], "ids.csv: a_000001: the list has no boxes"),
        (["--trivial", "{broken}"], "broken.json, item 0: expected file and bbox"),
    ],
)
def test_wrong_words_are_one_clear_line(words, expected, listed, tmp_path, capsys):
    (tmp_path / "ids.csv").write_text("a_000001\n")
    (tmp_path / "broken.json").write_text("[{}]")
    places = {"list": listed, "ids": tmp_path / "ids.csv", "broken": tmp_path / "broken.json"}
    assert run(["evaluate", *(word.format(**places) for word in words)]) == 2
    told = capsys.readouterr()
    assert expected in told.err
    assert told.err.count("\n") == 1
    assert not told.out


def test_all_nine_directions_are_printed(capsys):
    """Picture, sound and text, each to each: within one modality by label, without the query's own recording."""
    modalities, labels = ("video", "audio", "text"), ["bell", "drum"] * 3
    meaning = np.eye(6, 8, dtype=np.float32)
    meaning[:, 6], meaning[:, 7] = [label == "bell" for label in labels], [label == "drum" for label in labels]
    same = {name: dict(enumerate(meaning / np.linalg.norm(meaning, axis=1, keepdims=True))) for name in modalities}
    noise = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
    deaf = {name: dict(enumerate(noise)) for name in modalities}
    table = finding.table(same, deaf, labels)
    result = {"run": "runs/x", "step": 3, "split": "test", "recordings": 6, "left_out": 0, "label": "kind"}
    show(Console(width=120), result | {"retrieval": table})
    told = capsys.readouterr().out
    lines = [line.split() for line in told.splitlines() if "trained" in line and "untrained" not in line]
    found = {" ".join(words[:3]): words[3:] for words in lines}
    assert set(found) == {f"{one} to {other}" for one in modalities for other in modalities}
    for one in modalities:
        for other in modalities:
            # The recording itself comes first, or where it is left out, another of its label.
            assert found[f"{one} to {other}"] == ["trained", "1.000", "1.000", "1.000", "1.0", "1.000"]
    assert "among one modality, the same kind" in told
    assert "one of them moves a share by 0.17" in told


@pytest.mark.parametrize(("recordings", "told"), [(1, "by 1.00"), (29, "by 0.03"), (30, ""), (0, "")])
def test_a_handful_is_told_to_be_rough(recordings, told, capsys):
    result = {"run": "runs/x", "step": 3, "split": "test", "recordings": recordings, "left_out": 0, "label": ""}
    show(Console(width=120), result | {"retrieval": {}})
    lines = [line for line in capsys.readouterr().out.splitlines() if "rough" in line]
    assert [told in line for line in lines] == [True] * bool(told)
