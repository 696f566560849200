"""Figures of the comparison of methods of pictures: what they choose, and by which pictures."""

import sys
from pathlib import Path

import numpy as np
import pytest
from probe.labeled import split

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import examiner


def test_the_best_stage_is_the_one_that_validation_pictures_prefer():
    """Of ten test pictures in two classes, each stage has so many right."""
    held = {examiner.MAIN: examiner.LabelSet(split(50, 2), None)}
    truth = held[examiner.MAIN].truth(0)

    def answers(*stages):
        told = {}
        for number, (validation, right) in enumerate(stages, 1):
            predicted = np.where(np.arange(10) < right, truth, 1 - truth)
            told[f"stage{number}"] = examiner.Answer(predicted, {"validation": validation})
        return told

    best = examiner.figures(answers((0.5, 9), (0.7, 6)), answers((0.6, 3), (0.4, 8)), held, 0)["best"]
    assert best["chosen"] == {"stage": "stage2", "untrained_stage": "stage1"}
    assert (best["trained"], best["untrained"]) == (0.6, 0.3)
    assert best["gain"][0] == pytest.approx(0.3)
