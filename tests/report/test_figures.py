"""The figures of a run's page: each has words, and shares are drawn between 0 and 1."""

import re

import numpy as np
import pytest

from avssl.evaluation import locating
from avssl.evaluation.judged import Boxes, Judged
from avssl.report.plots import curves
from avssl.report.run import LOCATING, _learning

LEFT, RIGHT = (0.05, 0.1, 0.4, 0.6), (0.6, 0.4, 0.95, 0.9)


def heat(*boxes):
    maps = np.zeros((2, 8, 8))
    for left, top, right, bottom in boxes:
        maps[:, round(8 * top) : round(8 * bottom), round(8 * left) : round(8 * right)] = 0.9
    return maps


def thing(box, sounding=True):
    return Boxes(sounding, np.array([box]))


def test_every_figure_of_locating_has_words():
    dark, both = heat(), heat(LEFT, RIGHT)
    clips = [
        Judged("one", (thing(LEFT),), heat(LEFT), dark, noise=dark),
        Judged("bystander", (thing(LEFT, False), thing((0, 0, 1, 1))), heat(RIGHT), dark, silence=dark),
        Judged("two", (thing(LEFT), thing(RIGHT)), both, None, {0: heat(LEFT), 1: heat(RIGHT)}),
        Judged("silent", (thing(LEFT, False),), dark),
        Judged("offscreen", (thing(LEFT, False),), dark),
    ]
    told = locating.table(clips, clips, {"trained": 0.5, "untrained": 0.5})
    assert {"ap", "max_f1", "miou", "f_loc", "auc_n", "f_auc", "iiou"} <= set(told)
    assert set(told) <= set(LOCATING)
    assert all(len(meaning.split()) > 2 for _, meaning in LOCATING.values())


def heights(drawn):
    return [float(pair.split()[1]) for pair in re.search(r'd="M([^"]+)"', drawn)[1].split(" L")]


def test_an_axis_that_is_given_is_kept():
    creeping = {"accuracy": [(step, 0.5 + 0.001 * step) for step in range(11)]}
    free, kept = curves("accuracy", creeping), curves("accuracy", creeping, span=(0.0, 1.0))
    assert np.ptp(heights(free)) > 100
    assert np.ptp(heights(kept)) < 3
    assert ">0.5</text>" in kept
    assert ">1</text>" in kept


@pytest.mark.parametrize(("name", "whole"), [("accuracy", True), ("loss", False), ("held_out/audio_to_video_r1", True)])
def test_shares_are_drawn_between_0_and_1(tmp_path, name, whole):
    lines = [f'{{"step": {step}, "{name}": {0.5 + 0.001 * step}}}' for step in range(6)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    assert (np.ptp(heights(_learning(tmp_path / "log.jsonl"))) < 3) == whole
