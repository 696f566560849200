"""avssl align as a user runs it: the manifest it writes, the histogram it tells, and what it refuses."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from contract import tiny

from avssl.cli import _network, run
from avssl.cli.align import EDGES, histogram, row
from avssl.data.encode import write_clip
from avssl.data.manifest import Manifest, Recording
from avssl.data.narration import Phrase
from avssl.embedding.alignment import Placed, moved

FPS, SECONDS = 8.0, 1.5


@pytest.fixture
def listed(tmp_path):
    """Ten clips in which something is said, and one in which nothing is."""
    recordings = []
    for number in range(11):
        path = tmp_path / f"{number}.mp4"
        draw = np.random.default_rng(number)
        frames = (draw.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(round(SECONDS * FPS)))
        tone = (0.3 * np.sin(np.arange(round(SECONDS * 16000)) * 0.02 * (number + 1))).astype(np.float32)
        write_clip(path, frames, FPS, tone, 16000)
        said = (Phrase(0.2, 0.8, f"the {tiny.WORDS[number % 8]} {number}"),) if number else ()
        stream = {"seconds": SECONDS}
        recordings.append(
            Recording(key=f"r{number}", path=str(path), sha256=str(number), seconds=SECONDS, video=stream, audio=stream,
                      narration=said, split="test" if number < 10 else "train")
        )  # fmt: skip
    Manifest(tuple(recordings)).save(tmp_path / "in.jsonl")
    return tmp_path


@pytest.fixture
def network(monkeypatch):
    """Loads an untrained tiny run in place of a folder."""

    def given(name):
        one = tiny.run(name)
        loaded = SimpleNamespace(method=one.method().eval(), inputs=one.inputs, digest="abc")
        monkeypatch.setattr(_network, "load", lambda run, **_: loaded)

    return given


def test_it_writes_a_manifest_and_tells_how_far_narration_moved(listed, network, capsys):
    network("mil_nce")
    words = ["align", "runs/x", str(listed / "in.jsonl"), "-o", str(listed / "out.jsonl"), "--split", "test"]
    assert run([*words, "--hop", "0.1", "--standing", "0.5", "--json", str(listed / "told.json")]) == 0
    shown = capsys.readouterr().out
    assert "dropped" in shown
    assert "stayed" in shown
    assert "all 9" in shown
    told = json.loads((listed / "told.json").read_text())
    assert told["edges"] == list(EDGES)
    assert told["total"]["sentences"] == 9
    assert sum(told["total"]["shifts"]) + told["total"]["dropped"] == 9
    before, after = Manifest.load(listed / "in.jsonl"), Manifest.load(listed / "out.jsonl")
    assert len(after.recordings) == 11
    assert sum(len(one.narration) for one in after.split("test")) == 9 - told["total"]["dropped"]
    assert after.split("train")[0].narration == before.split("train")[0].narration, "another split stays as it is"
    for one in told["recordings"]:
        (said,) = one["said"]
        (now,) = next(r for r in after.recordings if r.key == one["recording"]).narration or (None,)
        assert (now is None) == (said["shift"] is None)
        if now is not None:
            assert now.middle == pytest.approx((said["start"] + said["end"]) / 2 + said["shift"], abs=1e-3)


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("ave_net", [], "ave_net cannot align narration: its space main holds image, audio"),
        ("mil_nce", ["--standing", "3"], "standing is 3.0; it is a share"),
        ("mil_nce", ["--at", "end"], "at is end; one of middle, begin"),
    ],
)
def test_what_it_cannot_do_is_one_line(name, words, told, listed, network, capsys):
    network(name)
    given = ["align", "runs/x", str(listed / "in.jsonl"), "-o", str(listed / "out.jsonl"), *words]
    assert run(given) == 2
    errors = capsys.readouterr().err
    assert told in errors
    assert errors.count("\n") == 1
    assert not (listed / "out.jsonl").exists()


def test_a_histogram_counts_each_sentence_once():
    phrase = Phrase(5.0, 6.0, "x")
    shifts = [-1.4, -0.6, -0.05, 0.0, 0.04, 0.05, 0.06, 0.5, 0.7, 1.0, 1.2]
    said = [Placed(phrase, moved(phrase, shift, 60.0), 1.0) for shift in shifts] + [Placed(phrase, None, 0.2)]
    found = histogram(said)
    assert found == {"sentences": 12, "dropped": 1, "shifts": [2, 0, 0, 4, 1, 1, 3]}
    assert row(said[-1]) == {"text": "x", "start": 5.0, "end": 6.0, "shift": None, "standing": 0.2}
    assert row(Placed(phrase, phrase, float("nan")))["standing"] is None
