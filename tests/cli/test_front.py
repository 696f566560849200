"""What the front door says when something outside goes wrong."""

import errno
from pathlib import Path

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


@pytest.mark.parametrize(
    ("words", "called", "told"),
    [
        ("manifest FOLDER -o m.jsonl", "avssl.data.manifest.make", "stopped; nothing was written; run it again"),
        (
            "cluster run FOLDER",
            "avssl.cli._network.load",
            "stopped; vectors of what was finished (64 recordings or ten minutes) are kept",
        ),
        (
            "transcribe m.jsonl -o n.jsonl",
            "avssl.data.manifest.Manifest.load",
            "stopped; recordings that were heard are kept as .vtt beside the output; run it again to go on",
        ),
        ("doctor", "avssl.cli.doctor.Console", "stopped"),
    ],
)
def test_ctrl_c_says_what_was_kept_and_how_to_go_on(
    words: str,
    called: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(called, stop)
    assert cli.run(words.replace("FOLDER", str(tmp_path)).split()) == 130
    err = capsys.readouterr().err
    assert err.startswith(told)
    assert err.count("\n") == 1


def test_every_command_that_is_told_of_is_there() -> None:
    assert set(cli.STOPPED) <= set(cli.Commands())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("train trimodl", "no config trimodl; did you mean trimodal? `avssl methods` lists them"),
        ("train nomethod", "no config nomethod; `avssl methods` lists them"),
        ("preview simclrr", "no config simclrr; did you mean simclr? `avssl methods` lists them"),
        ("methods zzz", "unknown method zzz; `avssl methods` lists them"),
    ],
)
def test_a_name_that_is_none_gets_a_short_line(words: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(words.split()) == 2
    assert capsys.readouterr().err == f"error: {told}\n"


@pytest.mark.parametrize("words", ["manifest FOLDER -o m.jsonl", "prepare m.jsonl -o FOLDER", "world -o FOLDER"])
@pytest.mark.parametrize("count", ["0", "-2"])
def test_no_workers_are_too_few(words: str, count: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*words.replace("FOLDER", str(tmp_path)).split(), "--workers", count]) == 2
    err = capsys.readouterr().err
    assert "'--workers'" in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        "transcribe film.mp4 -o m.jsonl",
        "prepare film.mp4 -o copies",
        "align RUN film.mp4 -o m.jsonl",
        "embed RUN film.mp4 -o vectors",
        "evaluate RUN film.mp4",
        "probe RUN film.mp4",
        "train simclr data=film.mp4 -o RUN",
        "preview simclr data=film.mp4 -o sheet.png",
    ],
)
def test_a_film_in_place_of_a_manifest_is_told_how_to_make_one(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    assert cli.run(words.split()) == 2
    assert capsys.readouterr().err == (
        "error: film.mp4: not a manifest; a manifest of recordings is wanted here, "
        "made by: avssl manifest FOLDER -o film.jsonl\n"
    )


@pytest.mark.parametrize(
    ("config", "method"), [("paired_contrast_stereo", "paired_contrast"), ("demo", "trimodal"), ("simclr", "simclr")]
)
def test_of_a_config_its_method_is_told(config: str, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["methods", config]) == 0
    told = capsys.readouterr().out
    assert (f"{config} is a config of the method {method}: " in told) == (config != method)
    assert f"\n{method}  (" in f"\n{told}"
    assert f"avssl train {config} data=FOLDER -o runs/{config}" in told


def test_a_file_whose_name_begins_with_a_dash_is_told_how_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["sync", "run", "-dash.mp4"]) == 2
    assert capsys.readouterr().err == "error: No such option: -d\n"
    Path("-dash.mp4").touch()
    assert cli.run(["sync", "run", "-dash.mp4"]) == 2
    assert capsys.readouterr().err == "error: No such option: -d; for the file of that name, write ./-dash.mp4\n"
