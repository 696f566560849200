"""What the front door says when something outside goes wrong."""

import errno

import pytest

from avssl import cli


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "error: nothing more can be written (No space left on device)",
        ),
        (OSError(errno.EACCES, "Permission denied", "x/y"), "error: x/y: Permission denied"),
        (ValueError("one\nline each"), "error: one\nerror: line each"),
    ],
)
def test_errors_of_the_outside_are_one_line_and_exit_code_2(
    error: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli._explain(error) == 2
    assert capsys.readouterr().err.startswith(told)


def test_errors_of_ours_are_not_explained_away() -> None:
    with pytest.raises(RuntimeError, match="ours"):
        cli._explain(RuntimeError("ours"))


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.Front, "main", lambda self, *args, **kwargs: stop())
    assert cli.run(["doctor"]) == 130
    assert "run it again to go on" in capsys.readouterr().err
