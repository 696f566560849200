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
        "align RUN labels.jsonl -o FILE.jsonl",
        "align RUN labels.jsonl -o right.jsonl --json FILE.json",
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
    for suffix in (".html", ".png", ".jsonl", ".json"):
        (tmp_path / f"folder{suffix}").mkdir()
    assert run(words.replace("FILE", place).split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: -")
    assert err.rstrip().endswith(told)
    assert "partial" not in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", ["report RUN -o -", "search INDEX --text rain --csv -", "evaluate RUN x --json -"])
def test_no_file_of_the_name_of_the_standard_output_is_written(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "INDEX").mkdir()
    (tmp_path / "INDEX" / "manifest.json").write_text("{}")
    assert run(words.split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: -")
    assert "not to the standard output" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", ["manifest . -o FILE.jsonl", "transcribe x.jsonl -o FILE.jsonl"])
def test_a_place_that_cannot_be_made_is_named_before_the_scan(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"no film")
    assert run(words.replace("FILE", "clip.mp4/new/x").split()) == 2
    err = capsys.readouterr().err
    assert "clip.mp4: not a folder" in err
    assert "files" not in err


@pytest.mark.parametrize("words", ["transcribe x.jsonl -o ./x.jsonl", "align RUN x.jsonl -o ../here/x.jsonl"])
def test_a_manifest_does_not_take_the_place_of_what_it_is_made_from(words, tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "x.jsonl").write_text("kept")
    assert run(words.split()) == 2
    assert capsys.readouterr().err.rstrip().endswith("x.jsonl: that is the manifest itself; name another file")
    assert (tmp_path / "here" / "x.jsonl").read_text() == "kept"


@pytest.mark.parametrize("words", ["manifest . -o FILE", "transcribe x.jsonl -o FILE", "align RUN x.jsonl -o FILE"])
@pytest.mark.parametrize(("name", "right"), [("m.txt", "m.jsonl"), ("m", "m.jsonl"), ("a.b/m.json", "a.b/m.jsonl")])
def test_a_manifest_is_written_under_a_name_that_tells_it(words, name, right, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.b").mkdir()
    assert run(words.replace("FILE", name).split()) == 2
    assert capsys.readouterr().err == f"error: -o {name}: a manifest is a .jsonl file; name it {right}\n"
