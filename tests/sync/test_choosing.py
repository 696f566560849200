"""How confident sync must be: shares by hand, the same recordings with foreign sounds, and what the command keeps."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from test_synchrony import CFG, Flicker, recording

from avssl.cli import run
from avssl.data.manifest import Manifest, Recording
from avssl.inputs import Inputs
from avssl.sync.asked import FILE, Asked, Chosen, chosen, stored
from avssl.sync.choosing import choose
from avssl.sync.recording import synchrony

OWN = [(0.0, 0.9)] * 18 + [(0.6, 0.95), (0.6, 0.3)]


def test_one_foreign_sound_in_twenty_passes_either_way():
    # four of forty fit best in place, so that half of them may pass to be 2 of 40, and elsewhere 2 of 36
    near = [(0.02 * place, 0.1 * place) for place in (1, 2, 3, 4)]
    far = [(0.3, 0.5 - 0.01 * place) for place in range(36)]
    found = chosen(OWN, near + far, 1.0, 0.1, "abc")
    everything = sorted(confidence for _, confidence in near + far)
    assert found.in_sync == pytest.approx((everything[19] + everything[20]) / 2, abs=1e-4)
    assert found.shifted == pytest.approx(everything[36] + 0.83333 * (everything[37] - everything[36]), abs=1e-3)
    asked = found.asked
    passed = [asked.verdict(*one, 0.1) for one in near + far]
    assert passed.count("shifted") == 3, "by how sure all are: those that fit elsewhere are surer here"
    assert found.foreign_flagged == 1 - passed.count("in sync") / 40
    assert found.own_flagged == sum(asked.verdict(*one, 0.1) != "in sync" for one in OWN) / 20 == 2 / 20
    assert (found.recordings, found.digest) == (20, "abc")


def test_no_validation_recording_in_place_is_flagged_whatever_else_passes():
    foreign = [(0.0, 0.5)] * 40
    assert chosen(OWN, foreign, 1.0, 0.1, "abc").in_sync == 0.5
    found = chosen([*OWN, (-0.1, 0.2), (0.2, 0.1)], foreign, 1.0, 0.1, "abc")
    assert found.in_sync == 0.2
    assert found.own_flagged == 3 / 22
    assert found.foreign_flagged == 0


@pytest.mark.parametrize(("offset", "in_sync", "shifted"), [(0.0, 0.3, 0.6), (0.5, 0.3, 0.6), (0.0, 0.0, 0.6)])
def test_foreign_sounds_that_are_all_alike(offset, in_sync, shifted):
    """All in place, or none: what never happened needs nothing, and nothing is divided by."""
    found = chosen(OWN, [(offset, 0.4)] * 20, 1.0, 0.1, "abc")
    assert (found.in_sync, found.shifted) == ((0.4, 0.0) if offset == 0 else (0.0, 0.4))


def test_verdicts_at_the_ends():
    asked = Asked(0.3, 0.6)
    said = [asked.verdict(*one, 0.1) for one in ((0.1, 0.3), (-0.1, 0.29), (0.11, 0.6), (-0.11, 0.59))]
    assert said == ["in sync", "dubbed", "shifted", "dubbed"]
    assert Asked().verdict(0.0, 0.5, 0.1) == "in sync"


def test_too_few_tell_no_share():
    with pytest.raises(ValueError, match="19 could be compared, and at least 20 are needed"):
        chosen(OWN, OWN[:19], 1.0, 0.1, "abc")


def test_what_is_kept_is_of_one_checkpoint(tmp_path):
    made = Chosen(0.3, 0.6, 1.0, 0.1, "abc", 20, 0.0, 0.9)
    made.save(tmp_path)
    assert stored(tmp_path, "abc") == stored(tmp_path / "checkpoints" / "step-7", "abc") == made
    assert stored(tmp_path, "other") is None
    assert stored(tmp_path / "runs" / "x", "abc") is None, "what lies above a run is not its own"
    (tmp_path / FILE).write_text('{"in_sync": 1}')
    with pytest.raises(ValueError, match="is damaged"):
        stored(tmp_path, "abc")


def test_another_sound_from_the_same_seconds(tmp_path):
    one, other = (recording(tmp_path / f"{seed}.mp4", 6, light=seed, sound=seed) for seed in (1, 2))
    crossed = synchrony(Flicker(), Inputs(CFG), one, sound_of=other)
    dubbed = synchrony(Flicker(), Inputs(CFG), recording(tmp_path / "dubbed.mp4", 6, light=1, sound=2))
    assert crossed.offset == pytest.approx(dubbed.offset, abs=0.02)
    assert crossed.confidence == pytest.approx(dubbed.confidence, abs=0.02)
    with pytest.raises(ValueError, match=r"3\.mp4: has no sound"):
        synchrony(Flicker(), Inputs(CFG), one, sound_of=recording(tmp_path / "3.mp4", 1, sound=0))


def test_recordings_are_spread_over_all_of_a_long_list(monkeypatch):
    looked = []

    def heard(method, inputs, path, **_):
        looked.append(path)
        return SimpleNamespace(offset=0.0, confidence=0.5)

    monkeypatch.setattr("avssl.sync.choosing.synchrony", heard)
    found = choose(Flicker(), Inputs(CFG), list(range(150)), "abc")
    assert found.recordings == 100
    assert (looked[0], looked[-1]) == (0, 149)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A run that loads as the flickering method, and the manifest of recordings that fit, one of which is silent."""
    loaded = SimpleNamespace(
        method=Flicker().eval(), inputs=Inputs(CFG), digest="abc", step=7, cfg=SimpleNamespace(steps=600),
        manifest=tmp_path / "x.jsonl",
    )  # fmt: skip
    monkeypatch.setattr("avssl.train.checkpoint.load_run", lambda folder: loaded)
    rows = []
    for number in range(1, 23):
        made = recording(tmp_path / f"{number}.mp4", 3, light=number, sound=number, noise=0.4 if number > 1 else 0.0)
        about = {"hz": 8000, "channels": 1, "seconds": 3.0, "codec": "aac"}
        seen = {"width": 32, "height": 32, "fps": 12.5, "frames": 37, "seconds": 3.0, "codec": "h264"}
        told = {"key": made.name, "path": made.name, "sha256": f"{number:064d}", "seconds": 3.0, "split": "val"}
        rows.append(Recording(**told, video=seen, audio=about))
    Manifest(tuple(rows), root=tmp_path).save(tmp_path / "x.jsonl")
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def call(*words):
    return run(["sync", *map(str, words), "--device", "cpu"])


def test_the_command_chooses_keeps_and_asks(kept, capsys):
    listed, good = kept.parent / "x.jsonl", kept.parent / "5.mp4"
    assert call(kept, good) == 0
    assert f"avssl sync {kept} --choose {listed}" in capsys.readouterr().err
    assert call(kept, "--choose", listed) == 0
    told = capsys.readouterr()
    assert "of 21 validation recordings 0% are flagged, with another's sound" in told.err
    made = json.loads((kept / FILE).read_text())
    assert made["own_flagged"] == 0
    assert made["reach_seconds"] == 1
    assert made["foreign_flagged"] >= 0.8
    assert call(kept, good, "--json") == 0
    told = capsys.readouterr()
    assert "choose" not in told.err
    assert json.loads(told.out)["verdict"] == "in sync"
    (kept / FILE).write_text(json.dumps({**made, "in_sync": 1.9}))
    assert call(kept, good, "--json") == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "dubbed", "what is kept is what is asked for"
    assert call(kept, good, "--json", "--confidence", 0.1) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "in sync"
    assert call(kept, good, "--reach", 0.5) == 0
    assert "it was chosen for other limits" in capsys.readouterr().err


def test_wrong_requests_for_choosing_are_one_line(kept, capsys):
    Manifest((), root=kept.parent).save(kept.parent / "none.jsonl")
    for words, said in (
        ((kept,), "which recordings?"),
        (
            (kept, "--choose", kept.parent / "none.jsonl"),
            "none.jsonl: of its 0 validation recordings with picture",
        ),
        ((kept, "--choose", kept.parent / "gone.jsonl"), "gone.jsonl"),
    ):
        assert call(*words) == 2
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        assert len(errors) == 1
        assert said in errors[0]
