"""Recordings that lack sound or words: what the script takes away, and a tiny comparison from start to end."""

import json
import sys
from pathlib import Path

import pytest
from test_regions_script import TINY

from avssl.data.manifest import Manifest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import lacking


def test_a_row_for_each_folder_on_the_same_held_out_recordings(tmp_path, monkeypatch, capsys):
    rows = tmp_path / "rows.jsonl"
    words = ["lacking", "-o", str(tmp_path / "out"), "--clips", "20", "--seeds", "0", "--rows", str(rows), *TINY]
    monkeypatch.setattr(sys, "argv", words)
    lacking.main()
    held = {name: Manifest.load(tmp_path / "out" / f"{name}-20.jsonl") for name in lacking.FOLDERS}
    parts = {name: (one.split("train"), one.split("val") + one.split("test")) for name, one in held.items()}
    assert [len(learnt) for learnt, _ in parts.values()] == [16, 16, 6]
    silent = [one.key for one in parts["lacking"][0] if one.audio is None]
    mute = [one.key for one in parts["lacking"][0] if not one.narration]
    assert (len(silent), len(mute), set(silent) & set(mute)) == (5, 5, set())
    assert all(one.video is not None for one in parts["lacking"][0])
    complete = {one.key for one in parts["complete"][0]}
    assert complete == {one.key for one in parts["whole"][0]} - {*silent, *mute}
    for name in ("lacking", "complete"):
        assert [one.sha256 for one in parts[name][1]] == [one.sha256 for one in parts["whole"][1]], "nothing held out"
    made = [json.loads(line) for line in rows.read_text().splitlines()]
    told = [(one["overrides"][0], one["recordings"]) for one in made]
    assert told == [("whole", 16), ("lacking", 16), ("complete", 6)]
    assert len({one["data"] for one in made}) == 1, "judged on the same recordings"
    for one in made:
        assert len(one["retrieval"]) == 6
        assert one["retrieval"]["video_to_text"]["ndcg10"].keys() == {"trained", "untrained", "chance"}
    assert "nDCG@10 of" in capsys.readouterr().out
    before = rows.read_bytes()
    monkeypatch.setattr(lacking, "row", lambda *given: pytest.fail("what is done is done again"))
    lacking.main()
    assert rows.read_bytes() == before
