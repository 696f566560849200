"""Rows that are kept: which are of today's settings."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import kept

from avssl import config
from avssl.methods import base
from avssl.train import build


def loaded(*words: str) -> config.RunConfig:
    return config.load("avid", ["data=x", *words], base.config_of)


def test_a_row_is_of_today_while_its_settings_are():
    row = {"run": build.dump(loaded("optim.lr=1e-3"))}
    assert kept.of_today(row, loaded("optim.lr=1e-3", "steps=7", "seed=3"))
    assert not kept.of_today(row, loaded())
    assert not kept.of_today(row, loaded("optim.lr=1e-3", "encoders.audio.width=64"))
    assert not kept.of_today(row, loaded("optim.lr=1e-3", "data.batch=2"))
    assert kept.of_today(row, loaded("optim.lr=1e-3", "data=y")), "the same recordings may lie elsewhere"
    assert kept.of_today({}, loaded()), "a row that tells no settings"


@pytest.mark.parametrize(("part", "option", "default"), [("method", "standardized", "false"),
                                                         ("encoders.video", "norm", "group")])  # fmt: skip
def test_an_option_that_came_later_is_at_its_default(part, option, default):
    row = {"run": build.dump(loaded())}
    told = row["run"]
    for name in part.split("."):
        told = told[name]
    del told[option]
    assert not kept.of_today(row, loaded()), "shipped with another value"
    assert kept.of_today(row, loaded(f"{part}.{option}={default}"))


def test_an_option_that_is_gone_makes_a_row_old():
    row = {"run": build.dump(loaded())}
    row["run"]["method"]["forgotten"] = 3
    assert not kept.of_today(row, loaded())


def test_an_interruption_is_no_training(tmp_path):
    times = [100.0, 110.0, 120.0, 5000.0, 5010.0]
    lines = [json.dumps({"step": 10 * (k + 1), "time": moment}) + "\n" for k, moment in enumerate(times)]
    (tmp_path / "log.jsonl").write_text("".join(lines))
    assert kept.seconds_at(tmp_path) == ([10, 20, 30, 40, 50], [0.0, 10.0, 20.0, 30.0, 40.0])
    assert kept.trained(tmp_path) == 40.0
