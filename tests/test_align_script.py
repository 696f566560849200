"""How narration put right is judged: by hand, with a stand-in for the network."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
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


def test_spoiled_narration_moved_back_is_what_was_said():
    """Sentences keep their place in the list, and move with their words; words change now and then, never the texts
    of all; about every third recording has a sentence of another one, which nothing moves back."""
    held = []
    for number in range(300):
        words = tuple((1.0 + 0.5 * k, 1.3 + 0.5 * k, f"w{number}.{k}") for k in range(4))
        held.append(recording(f"r{number}", Phrase(1.0, 2.8, " ".join(word for *_, word in words), words)))
    said = align.spoiled(held, ["wrong"], 0)
    assert list(said) == [one.key for one in held]
    shifts, changed = [], 0
    for one in held:
        own, *more = said[one.key]
        (told,) = one.narration
        assert own.right is not None
        assert own.phrase.start + own.right == pytest.approx(told.start, abs=2e-3)
        for late, true in zip(own.phrase.words, told.words, strict=True):
            assert late[0] + own.right == pytest.approx(true[0], abs=2e-3)
            changed += late[2] != true[2]
        assert own.phrase.text == " ".join(word for *_, word in own.phrase.words)
        assert 0 <= own.phrase.start <= own.phrase.end <= 4.0
        shifts.append(own.right)
        assert all(foreign.right is None for foreign in more)
        assert not any(word[2] in {true[2] for true in told.words} for foreign in more for word in foreign.phrase.words)
    assert np.std(shifts) == pytest.approx(align.JITTER_SECONDS, rel=0.15)
    assert changed / 1200 == pytest.approx(align.ERROR_RATE, rel=0.3)
    assert sum(len(rows) == 2 for rows in said.values()) / 300 == pytest.approx(align.FOREIGN_SHARE, rel=0.25)
    twice = align.spoiled(held, ["wrong"], 0, 2 * align.JITTER_SECONDS)
    assert sum(abs(row.right or 0) for rows in twice.values() for row in rows) > 1.5 * np.abs(shifts).sum()
    assert align.spoiled(held, ["wrong"], 0) == said
    assert align.spoiled(held, ["wrong"], 1) != said
