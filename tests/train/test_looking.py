"""What a run tells beside its steps: how far looking at all items is, and that there is nothing held out."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy

from avssl.train import log
from avssl.train.run import start


def test_it_is_told_how_far_looking_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    toy.install(monkeypatch)
    start(toy.cfg_of("steps=2"), tmp_path / "quick")
    assert "before the epoch" not in capsys.readouterr().out, "what is over at once is not told"
    monkeypatch.setattr(log, "QUIET_SECONDS", 0.0)
    start(toy.cfg_of("steps=2"), tmp_path / "slow")
    said = [line for line in capsys.readouterr().out.splitlines() if "before the epoch" in line]
    assert said == [f"before the epoch: looked at {done} of 10 items" for done in (8, 10)]


def test_that_nothing_is_held_out_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    toy.install(monkeypatch)
    start(toy.cfg_of("steps=4", "evaluate_every=1"), tmp_path / "run", evaluate=lambda method, step: {})
    said = capsys.readouterr().out
    assert "held out: " not in said
    assert (
        said.count("no held-out figures: the val split (a folder val/) has no recording that this method can use") == 1
    )
    assert "held_out" not in (tmp_path / "run" / "log.jsonl").read_text()


@pytest.mark.parametrize(("figures", "few"), [({"items": 20.0}, 0), ({"items": 99.0, "with_text": 3.0}, 3), ({}, 0)])
def test_that_figures_are_of_few_items_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], figures, few
) -> None:
    toy.install(monkeypatch)
    start(toy.cfg_of("steps=4", "evaluate_every=1"), tmp_path / "run",
          evaluate=lambda method, step: {"score": 1.0, **figures})  # fmt: skip
    said = capsys.readouterr().out
    assert said.count("held out: score 1.000") == 4
    told = f"these figures are of {few} held-out items: too few to tell much"
    assert said.count("too few to tell much") == said.count(told) == (1 if few else 0)
