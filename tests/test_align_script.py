"""How narration put right is judged: by hand, with a stand-in for the network."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import align
from align import Said

from avssl.data.manifest import Recording
from avssl.data.narration import Phrase
from avssl.embedding.alignment import Placed


def recording(name, *phrases):
    return Recording(key=name, path=f"{name}.mp4", sha256="0" * 64, seconds=4.0, narration=phrases, split="test")


def test_what_is_dropped_counts_as_it_was_and_what_is_kept_as_it_is_now():
    spoken = [Phrase(k, k + 0.5, f"sentence {k}") for k in range(4)]
    said = {"a": [Said(spoken[0], 0.4), Said(spoken[1], -0.6), Said(spoken[2], None), Said(spoken[3], None)]}
    moved = replace(spoken[0], start=0.3, end=0.8)  # 0.1 s too early still
    placed = [Placed(spoken[0], moved, 0.9), *(Placed(one, None, 0.1) for one in spoken[1:3]),
              Placed(spoken[3], spoken[3], 0.9)]  # fmt: skip
    found = align.judged(SimpleNamespace(place=lambda tell: [(recording("a", *spoken), placed)]), said)
    assert found["median_before"] == pytest.approx(0.5)
    assert found["median_error"] == pytest.approx(0.1)
    assert found["median_error_of_all"] == pytest.approx((0.1 + 0.6) / 2), "the dropped one is still 0.6 s off"
    assert (found["drop_precision"], found["drop_recall"], found["dropped"]) == (0.5, 0.5, 0.5)


def test_a_reader_cannot_tell_what_was_misheard_from_what_is_foreign(tmp_path):
    rows = [
        {"text": "the whistle blows", "start": 0.0, "true_time": 1.0, "kind": "whistle"},
        {"text": "the wrestle on the left", "start": 1.0, "true_time": 1.0, "kind": "whistle"},
        {"text": "so what do you think", "start": 2.0, "true_time": 2.0, "kind": None},
        {"text": "i had soup for lunch", "start": 3.0, "true_time": 3.0, "kind": None},
    ]
    (tmp_path / "truth.jsonl").write_text(json.dumps({"id": "a", "narration": rows}) + "\n")
    spoken = [Phrase(row["start"], row["start"] + 1, row["text"]) for row in rows]
    joined = Phrase(0.5, 3.5, "said twice")  # no row of the truth tells of it alone
    said = align.of_world([recording("a", *spoken, joined)], tmp_path / "truth.jsonl")
    assert [row.named for row in said["a"]] == [True, False, True, True]
    assert [row.right for row in said["a"]] == [0.5, -0.5, None, None]
    assert align.readable(said) == pytest.approx(2 / 3)
    assert align.readable({"a": said["a"][:1]}) == 1.0
