"""Scales of scores: stored with checkpoint and kind of query, replaced by hand, refused where they cannot be."""

import json

import numpy as np
import pytest
from bright import CFG, Bright

from avssl.inputs import Inputs, Vocabulary
from avssl.localize import calibration
from avssl.localize.looking import Looking


@pytest.mark.parametrize("given", [{"ceiling": 0.1}, {"threshold": float("nan")}, {"ceiling": float("inf")}])
def test_a_scale_that_cannot_be_is_refused_before_anything_is_looked_at(tmp_path, given):
    calibration.Calibration(0.2, 0.8, "abc", "validation").save(tmp_path)
    look = Looking(tmp_path, "abc", Bright().eval(), Inputs(CFG))
    with pytest.raises(ValueError, match="of the scale"):
        look(tmp_path / "not looked for.mp4", {"its own sound": None}, **given)


def test_a_stored_scale_without_end_is_named(tmp_path):
    calibration.Calibration(0.2, 0.8, "abc", "validation").save(tmp_path)
    held = tmp_path / calibration.FILE
    held.write_text(held.read_text().replace("0.8", "Infinity"))
    with pytest.raises(ValueError, match=rf"{calibration.FILE} is damaged \(the ceiling of the scale is inf"):
        calibration.load(tmp_path, "abc")


def test_scale_is_stored_with_its_checkpoint_and_kind(tmp_path):
    scale = calibration.from_peaks(np.arange(101) / 100, 0.2, "abc", "on 101 validation clips")
    assert scale.ceiling == pytest.approx(0.95)
    scale.save(tmp_path)
    assert calibration.load(tmp_path, "abc") == scale
    assert calibration.load(tmp_path, "abc", "text") is None, "scores of texts are on another scale"
    words = calibration.Calibration(0.01, 0.02, "abc", "on phrases")
    words.save(tmp_path, "text")
    assert (calibration.load(tmp_path, "abc"), calibration.load(tmp_path, "abc", "text")) == (scale, words)
    assert calibration.load(tmp_path, "another") is None
    assert calibration.load(tmp_path / "nowhere", "abc") is None
    assert calibration.stored(tmp_path / "checkpoints" / "step-1", "abc", "text") == words
    newer = calibration.Calibration(0.5, 0.6, "def", "of other weights")
    newer.save(tmp_path)
    assert calibration.load(tmp_path, "def", "text") is None, "of other weights nothing stays"
    (tmp_path / calibration.FILE).write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        calibration.load(tmp_path, "abc")
    assert calibration.from_peaks([0.3, 0.3], 0.3, "abc", "").ceiling > 0.3


def test_scale_of_an_earlier_run_is_that_of_sounds(tmp_path):
    flat = {"threshold": 0.2, "ceiling": 0.9, "digest": "abc", "chosen": "before texts had their own"}
    (tmp_path / calibration.FILE).write_text(json.dumps(flat))
    assert calibration.load(tmp_path, "abc") == calibration.Calibration(**flat)
    calibration.Calibration(0.01, 0.02, "abc", "on phrases").save(tmp_path, "text")
    assert calibration.load(tmp_path, "abc") == calibration.Calibration(**flat)


def test_stand_in_lies_above_what_means_nothing():
    vocabulary = Vocabulary.train(["the bell rings", "a dog barks at the bell", "rain pours"], 60)
    texts = calibration.deaf("text", Inputs(CFG, vocabulary))
    assert len(set(texts)) > 4
    assert all(vocabulary.knows(text) for text in texts)
    assert texts == calibration.deaf("text", Inputs(CFG, vocabulary))
    with pytest.raises(ValueError, match="no vocabulary"):
        calibration.deaf("text", Inputs(CFG))
    own, nothing = np.array([[[0.1, 0.6]]]), [np.array([[[0.3, 0.2]]]), np.array([[[0.0, 0.4]]])]
    scale = calibration.stand_in("text", own, nothing, "abc")
    assert 0.4 < scale.threshold < 0.4 + 1e-9
    assert scale.ceiling == 0.6
    assert "words in no order" in scale.chosen
    assert calibration.stand_in("text", own / 10, nothing, "abc").ceiling > 0.4


def test_what_a_person_asks_for_replaces_the_stored_scale():
    stored = calibration.Calibration(0.2, 0.8, "abc", "validation")
    maps = np.array([[[0.1, 0.6]]])
    assert calibration.settle(stored, maps, None, None, "abc") == stored
    given = calibration.settle(stored, maps, 0.5, None, "abc")
    assert (given.threshold, given.ceiling, given.chosen) == (0.5, 0.8, "as given")
    assert calibration.settle(None, maps, 0.3, None, "abc").ceiling == 0.6
    assert calibration.settle(None, maps, 0.9, None, "abc").ceiling > 0.9
    with pytest.raises(ValueError, match="not above its threshold"):
        calibration.settle(stored, maps, 0.5, 0.4, "abc")
