"""Progress is told where nobody draws bars, and nothing before there is something to tell."""

import pytest

from avssl.cli import _counting


def test_without_a_terminal_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    clock = iter([0.0, 1.0, 2.5, 12.0, 12.5, 14.0])
    monkeypatch.setattr(_counting.time, "monotonic", lambda: next(clock))
    with _counting.counting("clips") as tell:
        for done in (1, 5, 6, 10, 20):
            tell(done, 20)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "clips: 5 of 20, 2.0/s, 8 s left", "clips: 10 of 20, 0.8/s, 12 s left", "clips: 20 of 20, 1.4/s, 0 s left"
    ]  # fmt: skip


def test_one_tells_no_time_left(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    clock = iter([0.0, 3.0])
    monkeypatch.setattr(_counting.time, "monotonic", lambda: next(clock))
    with _counting.counting("clips") as tell:
        tell(1, 900)
    assert capsys.readouterr().err == "clips: 1 of 900, 0.3/s\n"


def test_what_is_quickly_done_is_not_told(capsys) -> None:
    with _counting.counting("clips") as tell:
        tell(1, 1)
    assert capsys.readouterr().err == ""


def test_nothing_is_shown_before_it_is_told(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal
    with pytest.raises(ValueError, match="no such folder"), _counting.counting("files"):
        raise ValueError("no such folder")
    assert capsys.readouterr().err == "", "not even an empty line"
