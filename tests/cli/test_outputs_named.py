"""Where a command is to write is looked at before it works, and what is missing is named."""

import pytest

from avssl.cli import run


@pytest.mark.parametrize(
    "words",
    [
        "report RUN -o FILE.html",
        "preview simclr -o FILE.png",
        "localize RUN clip.mp4 --page FILE.html",
        "probe RUN labels.jsonl --how cam -o FILE.png",
    ],
)
@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("gone/x", "gone: no such folder; make it first"),
        ("clip.mp4/x", "clip.mp4: not a folder"),
        ("folder", "a folder; name the file to write"),
    ],
)
def test_what_is_missing_is_named(words, place, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"no film")
    for suffix in (".html", ".png"):
        (tmp_path / f"folder{suffix}").mkdir()
    assert run(words.replace("FILE", place).split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: -")
    assert err.rstrip().endswith(told)
    assert "partial" not in err
    assert err.count("\n") == 1
