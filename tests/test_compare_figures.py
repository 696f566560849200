"""Figures of the comparison of methods of pictures: what they choose, and by which pictures."""

import sys
from pathlib import Path

import numpy as np
import pytest
from probe.labeled import split

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import compare_figures
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


def seeds(*gains, learns=True):
    return [{"learns": learns, "figures": {"best": {"gain": gain}}} for gain in gains]


@pytest.mark.parametrize(
    ("gains", "low", "verdict"),
    [
        ([(0.03, 0.012, 0.05)], 0.012, "yes"),  # of one seed as it is
        ([(0.03, -0.012, 0.05)], -0.012, "within noise"),
        ([(0.03, 0.01, 0.05)] * 3, 0.01, "yes"),  # pictures are the same for all seeds: more of them help nothing
        # 0.005^2 of pictures and 0.01^2 / 3 of seeds: 0.00764; 2 x (5.83 / 3.33)^2 = 6.1 degrees of freedom, t 2.435
        ([(0.01, 0.0002, 0.0198), (0.02, 0.0102, 0.0298), (0.03, 0.0202, 0.0398)], 0.0014, "yes"),
        # 0.0102^2 and 0.04^2: 0.0413; 1.13 degrees of freedom, t 9.65
        ([(0.09, 0.07, 0.11), (0.01, -0.01, 0.03)], -0.348, "within noise"),
        ([(0.01, -0.01, 0.03), (-0.02, -0.04, 0.0)], -0.078, "no"),
    ],
)
def test_ahead_is_who_is_ahead_by_more_than_pictures_and_training_would_change(gains, low, verdict):
    value, least, most = compare_figures.gained(seeds(*gains))
    assert value == pytest.approx(sum(gain for gain, _, _ in gains) / len(gains))
    assert least == pytest.approx(low, abs=1e-3 if len(gains) == 2 else 1e-4)
    assert len(gains) == 1 or most - value == pytest.approx(value - least)
    assert compare_figures.beats(seeds(*gains)) == verdict
    assert compare_figures.beats(seeds(*gains, learns=False)) == compare_figures.gain(seeds(*gains, learns=False)) == ""
    assert compare_figures.gain(seeds(*gains)) == f"{100 * value:+.1f} ({100 * least:+.1f} to {100 * most:+.1f})"


def test_surely_ahead_of_labels_is_with_intervals_apart_in_all_seeds():
    def told(*figures):
        return {"figures": {name: {"trained": value, "interval": [value - 0.02, value + 0.02]}
                            for name, value in zip("abc", figures, strict=True)}}  # fmt: skip

    own, labels = [told(0.60, 0.53, 0.40), told(0.58, 0.53, 0.40)], [told(0.50, 0.50, 0.50), told(0.52, 0.50, 0.50)]
    assert compare_figures.wins(own, labels, ["a", "b", "c"]) == (2, 1)
    assert compare_figures.wins([*own, told(0.55, 0.53, 0.40)], labels, ["a", "b", "c"]) == (2, 0)
