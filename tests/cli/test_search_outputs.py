"""Where avssl search writes to is looked at before it searches."""

import pytest

from avssl.cli import run


@pytest.mark.parametrize("option", ["--clips", "--localize"])
def test_a_file_where_a_folder_is_wanted_is_refused_at_once(tmp_path, monkeypatch, capsys, option):
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "manifest.json").write_text("{}")
    (tmp_path / "film.mp4").write_bytes(b"kept")
    monkeypatch.setattr("retrieval.store.Store.open", lambda folder: pytest.fail("it searched first"))
    assert run(["search", str(tmp_path / "index"), "--text", "a bell", option, str(tmp_path / "film.mp4")]) == 2
    told = capsys.readouterr().err
    assert told == f"error: {option} {tmp_path / 'film.mp4'}: a file; name a folder for the videos\n"
    assert (tmp_path / "film.mp4").read_bytes() == b"kept"
