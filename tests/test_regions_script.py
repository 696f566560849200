"""Boxes of an index beside the localizer's own and the truth: figures by hand, and the script from start to end."""

import json
import sys
from pathlib import Path

import pytest

from avssl.cli import run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import region_figures
import regions

TINY = (
    "steps=1", "data.batch=4", "data.workers=0", "data.cache_gb=0", "evaluate_every=0", "precision=fp32", "threads=1",
    "inputs.height=32", "inputs.width=32", "inputs.frames=4", "inputs.fps=4", "inputs.audio_seconds=1",
    "inputs.mels=16", "method.width=16", "method.moment_width=4", "encoders.text.layers=1",
    *(f"encoders.{name}.width=16" for name in ("video", "audio", "text")),
)  # fmt: skip


def test_boxes_by_hand():
    truth = (0.0, 0.0, 0.5, 0.5)
    assert region_figures.overlap(truth, truth) == 1.0
    assert region_figures.overlap((0.25, 0.0, 0.75, 0.5), truth) == pytest.approx(1 / 3)
    assert region_figures.overlap((0.5, 0.5, 1.0, 1.0), truth) == 0.0
    assert region_figures.points((0.4, 0.4, 0.6, 0.6), truth) == 1.0  # on its corner
    assert region_figures.points((0.4, 0.4, 0.7, 0.6), truth) == 0.0


def test_trivial_boxes_by_hand():
    found = region_figures.blind([(0.0, 0.0, 0.3, 0.5), (0.25, 0.25, 0.75, 0.75)], (0.5, 0.5), (2, 4), seed=0)
    assert found["pointing"]["center"] == 0.5
    assert found["iou"]["center"] == pytest.approx((0.0125 / (0.15 + 0.25 - 0.0125) + 1) / 2)
    assert found["pointing"]["random"] == pytest.approx((0.1 * 0.5 + 1.0) / 2, abs=0.06)
    # On two cells down and four across: 0 to 0.25 of 0.3; and all of the height, for halves round to even.
    assert found["iou"]["oracle"] == pytest.approx(((0.25 * 0.5) / (0.3 * 0.5) + 0.5) / 2)


def test_figures_by_hand():
    here, there = [0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]
    row = {"truth": here, "index": here, "localizer": here, "uncompressed": here, "case": "one", "rank": 1}
    rows = [
        row | {"lit": [True, True]},
        row | {"case": "bystander", "index": there, "rank": None, "lit": [False, True]},
        row | {"case": "offscreen", "truth": None, "lit": [False, False]},
    ]
    beside = {"iou": {"center": 0.25}}
    tree = region_figures.figures({"trained": rows, "untrained": [one | {"lit": None} for one in rows]}, beside)
    told = {name: held["trained"] for name, held in tree.items()}
    assert told == {
        "pointing": 0.5, "pointing_localizer": 1.0, "pointing_index_minus_localizer": -0.5,
        "iou": 0.5, "iou_localizer": 1.0, "iou_index_minus_localizer": -0.5,
        "pointing_bystander": 0.0, "pointing_bystander_localizer": 1.0,
        "pointing_bystander_index_minus_localizer": -1.0,
        "iou_bystander": 0.0, "iou_bystander_localizer": 1.0, "iou_bystander_index_minus_localizer": -1.0,
        "overlap_with_localizer": 0.5, "overlap_with_uncompressed": 0.5,
        "lit_shown": 0.5, "lit_shown_localizer": 1.0, "lit_offscreen": 0.0, "lit_offscreen_localizer": 0.0,
        "recording_first": 0.5, "recording_among_10": 0.5,
    }  # fmt: skip
    assert tree["iou"]["center"] == 0.25
    assert (tree["iou"]["low"], tree["iou"]["high"]) == (0.0, 1.0)
    assert "untrained" not in tree["lit_shown"]


def test_a_run_is_measured_once_and_goes_on_where_it_was_killed(tmp_path, capsys, monkeypatch):
    world, listed, trained = tmp_path / "world", tmp_path / "world.jsonl", tmp_path / "run"
    for words in (
        ["world", "-o", world, "--clips", 24, "--side", 32, "--seconds", 2, "--workers", 1],
        ["manifest", world / "videos", "-o", listed, "--labels", world / "labels.tsv", "--workers", 1],
        ["train", "trimodal", f"data={listed}", *TINY, "-o", trained],
    ):
        assert run([str(word) for word in words]) == 0
    rows = tmp_path / "rows.jsonl"
    words = [str(trained), str(listed), "-o", str(tmp_path / "out"), "--rows", str(rows), "--components", "64"]
    regions.main(words)
    (row,) = map(json.loads, rows.read_text().splitlines())
    assert (row["config"], row["method"], row["steps"]) == ("regions", "trimodal", 1)
    assert set(row["regions"]) == {"audio", "text"} == set(row["asked"])
    for kind, tree in row["regions"].items():
        assert row["asked"][kind] > 0
        for name in ("pointing", "iou"):
            assert {"trained", "untrained", "low", "high", "center", "random", "oracle"} <= set(tree[name])
            assert {"trained", "untrained", "low", "high"} <= set(tree[f"{name}_localizer"])
        # All components are kept: the index has what the localizer compares with.
        assert tree["overlap_with_uncompressed"]["trained"] > 0.9
    # Killed in the middle: what was asked is not asked again, and the row is the same.
    rows.unlink()
    kept = sorted((tmp_path / "out").glob("*.jsonl"))
    assert len(kept) == 2
    lines = kept[0].read_text().splitlines(keepends=True)
    kept[0].write_text("".join(lines[:-2]))
    asked = []
    judge = regions.Judge.row
    monkeypatch.setattr(regions.Judge, "row", lambda self, one: asked.append(one.name) or judge(self, one))
    regions.main(words)
    assert asked == [json.loads(line)["name"] for line in lines[-2:]]
    assert json.loads(rows.read_text()) == row
    monkeypatch.setattr(regions, "measured", lambda _: pytest.fail("measured again"))
    capsys.readouterr()
    regions.main(words)
    assert "pointing" in capsys.readouterr().out
    monkeypatch.undo()
    (tmp_path / "none.jsonl").touch()
    with pytest.raises(ValueError, match="knows nothing of the test clips"):
        regions.main([*words, "--seed", "1", "--truth", str(tmp_path / "none.jsonl")])
