"""Checkpoints: whole or not there, checked, and never more than data."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from avssl.train import checkpoint


def put(folder: Path, step: int, keep: int = 2) -> Path:
    weights = {"w": torch.full((3,), float(step)), "count": torch.tensor(step)}
    return checkpoint.save(folder, step, weights, {"main/w/m": torch.ones(3)}, {"finished": ""}, keep)


def test_round_trip_and_keep(tmp_path: Path) -> None:
    for step in (5, 10, 15, 1000000):
        put(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-000015", "step-1000000"]
    assert (tmp_path / "latest").read_text() == "step-1000000\n"
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.state == {"finished": "", "step": 1000000}
    assert torch.equal(found.model["w"], torch.full((3,), 1e6))
    assert found.optimizer.keys() == {"main/w/m"}
    assert checkpoint.latest(tmp_path / "none") is None


def test_a_run_that_went_back_drops_what_came_after(tmp_path: Path) -> None:
    put(tmp_path, 5)
    put(tmp_path, 10)
    put(tmp_path, 7)
    assert [path.name for path in checkpoint.steps_in(tmp_path)] == ["step-000005", "step-000007"]
    put(tmp_path, 7)
    assert [path.name for path in checkpoint.steps_in(tmp_path)] == ["step-000005", "step-000007"]


@pytest.mark.parametrize("file", [*checkpoint.FILES, "manifest.json"])
@pytest.mark.parametrize("how", ["flip", "cut", "empty", "gone"])
def test_damage_goes_back_to_the_one_before(tmp_path: Path, file: str, how: str) -> None:
    put(tmp_path, 5)
    path = put(tmp_path, 10) / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes({"flip": bytes(data), "cut": bytes(data)[:-7], "empty": b""}[how])
    told: list[str] = []
    found = checkpoint.latest(tmp_path, told.append)
    assert found is not None
    assert found.state["step"] == 5
    assert len(told) == 1
    assert "step-000010" in told[0]
    assert told[0].endswith("going back to step-000005")
    shutil.rmtree(tmp_path / "step-000005")
    with pytest.raises(ValueError, match=r"no checkpoint in .* is whole") as error:
        checkpoint.latest(tmp_path, told.append)
    assert "\n" not in str(error.value)


class Halt(Exception):
    pass


def test_stopped_at_any_moment_of_a_save_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every system call that writes, renames or syncs is once the last one that happens."""
    calls = 0
    left = 10**9

    def stopping(real):  # type: ignore[no-untyped-def]
        def call(*args, **kwargs):  # type: ignore[no-untyped-def]
            nonlocal calls
            calls += 1
            if calls > left:
                raise Halt
            return real(*args, **kwargs)

        return call

    for owner, name in ((os, "replace"), (os, "fsync"), (checkpoint, "save_file"), (shutil, "rmtree"), (Path, "mkdir")):
        monkeypatch.setattr(owner, name, stopping(getattr(owner, name)))
    put(tmp_path / "count", 5)
    calls = 0
    put(tmp_path / "count", 10)
    most = calls
    assert most > 10
    for point in range(most):
        folder = tmp_path / str(point)
        calls, left = 0, 10**9
        put(folder, 5, keep=1)
        calls, left = 0, point
        with pytest.raises(Halt):
            put(folder, 10, keep=1)
        calls, left = 0, 10**9
        found = checkpoint.latest(folder)
        assert found is not None, point
        assert found.state["step"] in (5, 10)
        assert torch.equal(found.model["w"], torch.full((3,), float(found.state["step"])))
        put(folder, 10, keep=1)
        assert [path.name for path in checkpoint.steps_in(folder)] == ["step-000010"]
        assert not list(folder.glob(f"{checkpoint.UNFINISHED}*"))


def test_full_disk_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, 5)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        put(tmp_path, 10)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.state["step"] == 5


def test_code_in_a_checkpoint_never_runs(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return os.mkdir, (str(tmp_path / "ran"),)

    path = put(tmp_path, 5)
    for file in checkpoint.FILES[:2]:
        (path / file).write_bytes(pickle.dumps(Evil()))
    sums = {file: checkpoint.sha256(path / file) for file in checkpoint.FILES}
    (path / "manifest.json").write_text(json.dumps(sums))
    with pytest.raises(ValueError, match="is damaged"):
        checkpoint.latest(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("size", [2**63 - 1, 2**40, 10])
def test_hostile_header(tmp_path: Path, size: int) -> None:
    path = put(tmp_path, 5)
    (path / "model.safetensors").write_bytes(size.to_bytes(8, "little") + b'{"w":{"dtype":"F32","shape":[9')
    sums = {file: checkpoint.sha256(path / file) for file in checkpoint.FILES}
    (path / "manifest.json").write_text(json.dumps(sums))
    with pytest.raises(ValueError, match="is damaged"):
        checkpoint.latest(tmp_path)
