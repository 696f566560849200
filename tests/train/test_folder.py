"""From a folder of real files to a run: its manifest, feedback, export, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torchvision.io import write_png

from avssl import cli
from avssl.config import load
from avssl.data.manifest import Manifest, Recording
from avssl.methods.base import config_of
from avssl.train import run
from avssl.train.checkpoint import load_run
from avssl.train.folder import changes_of

WORDS = [
    "inputs.height=32", "inputs.width=32", "encoders.image.name=small", "encoders.image.width=16", "method.hidden=16",
    "method.projection=8", "data.batch=4", "data.workers=0", "data.cache_gb=0", "steps=3", "checkpoint_every=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "pictures"
    path.mkdir()
    draw = torch.Generator().manual_seed(0)
    for number in range(12):
        coarse = torch.rand(1, 3, 4, 4, generator=draw)
        picture = torch.nn.functional.interpolate(coarse, (40, 40), mode="bilinear")[0]
        write_png((picture * 255).to(torch.uint8), str(path / f"{number:02}.png"))
    splits = ["train"] * 8 + ["val"] * 4
    lines = [f"{number:02}.png\tthing{number % 3}\t{split}" for number, split in enumerate(splits)]
    (path.parent / "labels.tsv").write_text("\n".join(["path\tkind\tsplit", *lines]) + "\n")
    return path


def words(folder: Path) -> list[str]:
    return [f"data={folder}", f"data.labels={folder.parent / 'labels.tsv'}", *WORDS]


def test_the_command_from_a_folder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "x")
    assert cli.run(["train", "simclr", *words(folder), "-o", out]) == 0
    told = capsys.readouterr().out
    assert "8 items of 8 recordings" in told
    assert "held out: score" in told
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        "checkpoints", "config.yaml", "lock", "log.jsonl", "manifest.jsonl", "run.json", "tensorboard",
    ]  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "x/log.jsonl").read_text().splitlines()]
    last = next(line for line in lines if "held_out/score" in line)
    assert last["step"] == 3
    assert last["held_out/score"] == -last["held_out/loss"] < 0
    assert cli.run(["train", out, "--resume"]) == 0
    assert "is trained: step 3 of 3" in capsys.readouterr().out
    assert cli.run(["train", out, "--resume", "steps=4"]) == 0
    assert "using" in capsys.readouterr().out
    assert load_run(out).step == 4
    assert load_run(out).manifest == tmp_path / "x/manifest.jsonl"
    assert cli.run(["config", out]) == 0
    assert "steps: 4" in capsys.readouterr().out
    assert cli.run(["export", out, "-o", str(tmp_path / "y")]) == 0


def test_wrong_requests_are_one_line_and_exit_2(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for request, told in {
        ("train", "simclr", "-o", "x"): "nothing to learn from: give a folder",
        ("train", "simclr", f"data={tmp_path / 'none'}"): "no such manifest or folder",
        ("train", "simclr", f"data={tmp_path / 'empty'}", *WORDS): "empty",
        ("train", "dense_av", f"data={folder}", "data.batch=4"): "sound",
        ("train", str(tmp_path / "empty"), "--resume"): "is no run to go on with",
        ("export", str(tmp_path / "empty"), "-o", "x"): "is no run",
        (
            "train",
            "simclr",
            f"data={folder}",
            "device=cuda" if not torch.cuda.is_available() else "device=tpu",
        ): "device",
        (
            "train",
            "simclr",
            *words(folder),
            "optim.chunks=2",
            "encoders.image.norm=batch",
        ): "encoders.image.norm=group, or",
    }.items():
        out = ["-o", str(tmp_path / "out")] if request[0] == "train" and "--resume" not in request else []
        assert cli.run([*request, *out]) == 2, request
        lines = capsys.readouterr().err.strip().splitlines()
        assert [line for line in lines if line.startswith("error: ")] == lines[-1:], lines
        assert told in lines[-1]
        assert not (tmp_path / "out").exists(), "what did not begin leaves nothing"


def test_a_folder_that_changed_is_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run goes on with the recordings it began with, and says so where the folder holds others now."""
    held = tmp_path / "pictures"
    shutil.copytree(folder, held)
    asked = ["train", "simclr", f"data={held}", *WORDS, "data.bad_budget=1", "-o", str(tmp_path / "x")]
    assert cli.run(asked) == 0
    assert cli.run([*asked, "steps=4"]) == 0
    said = capsys.readouterr().out
    assert "using" in said
    assert "since then" not in said
    (held / "00.png").rename(held / "new.png")
    (held / "01.png").unlink()
    (held / "notes.txt").write_text("no recording")
    assert cli.run([*asked, "steps=5"]) == 0
    told = (
        f"warning: {held} has 1 file new and 2 files gone since then; to learn from what is there now, name another -o"
    )
    assert told in capsys.readouterr().out


def test_what_is_known_of_a_folder_is_not_new(tmp_path: Path) -> None:
    """Copies and what was left out were seen; pictures of a stream lie in a folder that is its path."""
    for name in ("a.mp4", "copy.mp4", "a.depth/0.png", "a.depth/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    deep = {"depth": {"kind": "picture", "seconds": 1.0, "path": "a.depth"}}
    one = Recording(key="a", path="a.mp4", sha256="0" * 64, seconds=1.0, streams=deep)
    held = Manifest((one,), left_out=(("copy.mp4", "the same content as a.mp4"),), root=tmp_path)
    assert changes_of(tmp_path, held) == ""
    (tmp_path / "b.wav").write_bytes(b"x")
    (tmp_path / "a.mp4").unlink()
    assert changes_of(tmp_path, held) == "1 file new and 1 file gone"


def test_a_runs_files_do_not_come_among_recordings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.iterdir())
    for out, told in ((folder, "holds recordings: name another folder for the run"), (folder / "00.png", ": a file;")):
        assert cli.run(["train", "simclr", *words(folder), "-o", str(out)]) == 2
        assert f"error: -o {out}" in (said := capsys.readouterr().err)
        assert told in said
    assert sorted(folder.iterdir()) == before


def test_another_folder_is_another_run(folder: Path, tmp_path: Path) -> None:
    def cfg(*more: str):  # type: ignore[no-untyped-def]
        return load("simclr", [*words(folder), *more], config_of)

    run.start(cfg(), tmp_path / "x", progress=False)
    labels = tmp_path / "other.tsv"
    labels.write_text((folder.parent / "labels.tsv").read_text().replace("thing0", "thing9"))
    before = (tmp_path / "x/manifest.jsonl").read_text()
    with pytest.raises(ValueError, match=r"holds another run, the recordings.* changed: manifest"):
        run.start(cfg("steps=5", f"data.labels={labels}"), tmp_path / "x", progress=False)
    assert (tmp_path / "x/manifest.jsonl").read_text() == before
