"""While a method looks at all items before an epoch, no step advances: it is told how far that is."""

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
